#include <fstream>

#include <sqlite3.h>
#include <unistd.h>

#include "auth/account_store.hpp"
#include "auth/schema.hpp"
#include "scratch.hpp"

namespace postern::auth {
namespace {

using namespace std::chrono_literals;
using test::account_named;
using test::noon;
using test::open_store;
using test::Scratch;
using test::settings_at;

/// Another process, as far as SQLite can tell.
class Stranger {
  public:
    explicit Stranger(const std::filesystem::path& path) {
        REQUIRE(sqlite3_open(path.c_str(), &handle_) == SQLITE_OK);
    }
    ~Stranger() { sqlite3_close(handle_); }
    Stranger(const Stranger&) = delete;
    Stranger& operator=(const Stranger&) = delete;
    void run(const char* sql) {
        REQUIRE(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    }

  private:
    sqlite3* handle_ = nullptr;
};

Fault open_fault(const std::filesystem::path& path) {
    const auto opened = AccountStore::open(settings_at(path));
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().text.find(path.filename().string()) != std::string::npos);
    return opened.error();
}

TEST_CASE("the store's files are private") {
    const Scratch scratch;
    const auto store = open_store(settings_at(scratch / "accounts.db"));
    REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    for (const char* const name : {"accounts.db", "accounts.db-wal", "accounts.db-shm"}) {
        const auto mode =
            std::filesystem::status(scratch / name).permissions() & std::filesystem::perms::all;
        CHECK(mode == (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    }
}

TEST_CASE("a newer schema is refused by name and left alone") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    (void)open_store(settings_at(path));
    {
        Stranger(path).run("PRAGMA user_version = 7");
    }
    const Fault fault = open_fault(path);
    CHECK(fault.code == AuthError::store_newer_schema);
    CHECK(fault.text.find("schema 7") != std::string::npos);
    {
        Stranger(path).run(("PRAGMA user_version = " + std::to_string(schema_version)).c_str());
    }
    (void)open_store(settings_at(path));
}

TEST_CASE("a file of the first schema is brought up to date, with what is in it") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    REQUIRE(open_store(settings_at(path))->add(account_named("ann@example.net"), noon).has_value());
    {
        Stranger old(path);
        old.run("DROP TABLE suppression");
        for (const std::string index : {"crypt", "certificate", "device"})
            old.run(("DROP INDEX credential_" + index).c_str());
        for (const std::string column :
             {"crypt", "scram_sha1", "certificate", "source", "listener", "rcpts"})
            old.run(("ALTER TABLE credential DROP COLUMN " + column).c_str());
        old.run("DROP TABLE customer_rule");
        old.run("DROP TABLE customer_domain");
        old.run("ALTER TABLE customer DROP COLUMN contact");
        old.run("ALTER TABLE customer DROP COLUMN abuse_contact");
        old.run("ALTER TABLE credential DROP COLUMN plan");
        old.run("PRAGMA user_version = 1");
    }
    const auto store = open_store(settings_at(path));
    const auto found = store->find("ann@example.net");
    REQUIRE(found.has_value());
    REQUIRE((*found)->credentials.size() == 1);
    CHECK((*found)->credentials[0].verifier.has_value());
    CHECK((*found)->credentials[0].plan.empty());
}

TEST_CASE("a file that is no database is refused") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    std::ofstream(path) << std::string(8192, 'x');
    CHECK(open_fault(path).code == AuthError::store_damaged);
}

TEST_CASE(
    "a file with damaged pages is refused at start or answers with errors, and never crashes") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    {
        const auto store = open_store(settings_at(path));
        for (int i = 0; i < 200; ++i)
            REQUIRE(store->add(account_named("user" + std::to_string(i) + "@example.net", ""), noon)
                        .has_value());
    }
    const auto size = std::filesystem::file_size(path);
    int refused = 0;
    for (std::uintmax_t at = 4096; at + 4096 <= size; at += 4096) {
        const auto copy = scratch / "copy.db";
        std::filesystem::copy_file(path, copy, std::filesystem::copy_options::overwrite_existing);
        {
            std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
            file.seekp(static_cast<std::streamoff>(at));
            file << std::string(4096, '\x5A');
        }
        auto opened = AccountStore::open(settings_at(copy));
        if (!opened) {
            ++refused;
            CHECK(opened.error().code == AuthError::store_damaged);
            continue;
        }
        for (int i = 0; i < 200; i += 7)
            (void)(*opened)->find("user" + std::to_string(i) + "@example.net");
        (void)(*opened)->list({}, "", 1000);
        (void)(*opened)->add(account_named("new@example.net", ""), noon);
    }
    CHECK(refused > 5);
}

TEST_CASE("a truncated file is refused") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    {
        const auto store = open_store(settings_at(path));
        REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    }
    std::filesystem::resize_file(path, 4096 + 100);
    CHECK(open_fault(path).code == AuthError::store_damaged);
}

TEST_CASE("rows that make no sense are damage, not logins") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    {
        const auto store = open_store(settings_at(path));
        REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    }
    {
        Stranger(path).run("UPDATE credential SET stored_key = x'00'");
    }
    const auto store = open_store(settings_at(path));
    CHECK(store->find("ann@example.net").error() == AuthError::store_damaged);
}

TEST_CASE("a file that another process holds is an error after a bounded time") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    const auto store = open_store(settings_at(path));
    REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    Stranger stranger(path);
    stranger.run("BEGIN IMMEDIATE");
    const auto start = std::chrono::steady_clock::now();
    CHECK(store->add(account_named("bob@example.net", ""), noon).error() ==
          AuthError::store_locked);
    store->record_login("ann@example.net", "", "192.0.2.7", noon);
    CHECK(store->flush(noon).error() == AuthError::store_locked);
    CHECK(std::chrono::steady_clock::now() - start < 5s);
    CHECK(store->find("ann@example.net").has_value());  // Readers go on.
    stranger.run("ROLLBACK");
    CHECK(store->add(account_named("bob@example.net", ""), noon).has_value());
    REQUIRE(store->flush(noon - 1h).has_value());  // And nothing noted was lost.
    CHECK(store->known_pairs(noon - 1h)->size() == 1);
}

TEST_CASE("a file held exclusively cannot be opened") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    (void)open_store(settings_at(path));
    Stranger stranger(path);
    stranger.run("PRAGMA locking_mode = EXCLUSIVE");
    stranger.run("BEGIN EXCLUSIVE");
    CHECK(open_fault(path).code == AuthError::store_locked);
}

TEST_CASE("a folder that is not there, or not ours, is an I/O fault") {
    const Scratch scratch;
    CHECK(open_fault(scratch / "missing/accounts.db").code == AuthError::store_io);
    std::filesystem::create_directory(scratch / "accounts.db");
    CHECK(open_fault(scratch / "accounts.db").code == AuthError::store_io);
}

TEST_CASE("a change that did not commit leaves nothing behind") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    const auto store = open_store(settings_at(path));
    REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    {
        Stranger(path).run(
            "CREATE TRIGGER no_more BEFORE INSERT ON credential BEGIN SELECT RAISE(ABORT, 'no'); "
            "END");
    }
    int heard = 0;
    const auto token = store->subscribe([&](std::string_view, Change) { ++heard; });
    const std::uint64_t generation = store->generation();
    CHECK_FALSE(store->add(account_named("bob@example.net"), noon).has_value());
    CHECK_FALSE(store->passwd("ann@example.net", proto::Secret("x"), noon).has_value());
    CHECK(store->find("bob@example.net").error() == AuthError::not_found);
    CHECK(store->find("ann@example.net").value()->credentials.size() == 1);
    CHECK(heard == 0);
    CHECK(store->generation() == generation);
}

}  // namespace
}  // namespace postern::auth
