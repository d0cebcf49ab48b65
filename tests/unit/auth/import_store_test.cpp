// Imports into the store: all or nothing, and what the imported accounts can do.
#include <algorithm>
#include <thread>

#include <sqlite3.h>

#include "auth/import_reader.hpp"
#include "auth/sqlite.hpp"
#include "crypt_samples.hpp"
#include "login_bench.hpp"

namespace postern::auth {
namespace {

using test::LoginBench;
using test::noon;
using test::open_store;
using test::outcome;
using test::plain;
using test::run_scram;
using test::says;
using test::ScramClient;
using test::Scratch;
using test::settings_at;

std::vector<ImportedAccount> read(std::string_view text) {
    ImportReader reader(ImportFormat::dovecot, "example.net");
    reader.feed(text);
    reader.finish();
    REQUIRE(reader.faults().count() == 0);
    return reader.take();
}

/// What import_accounts says: "done", or the faults.
std::string import_into(AccountStore& store, std::string_view text) {
    std::vector<ImportedAccount> accounts = read(text);
    CHECK(store.derive(accounts));
    ImportFaults faults;
    const auto done = store.import_accounts(accounts, noon, faults);
    if (!done) return done.error().message();
    std::string out;
    for (const ImportFault& fault : faults.kept())
        out += std::to_string(fault.line) + " " + fault.what + ";";
    return out.empty() ? "done" : out;
}

std::string line_of(std::string_view name, std::string_view proof) {
    return std::string(name) + ":" + std::string(proof) + "\n";
}

std::string by_plain(const LoginBench& bench, std::string_view name, std::string_view password) {
    const auto exchange = bench.begin("PLAIN");
    return outcome(exchange->step(says(plain(name, password))));
}

std::string by_scram(const LoginBench& bench, std::string name, std::string password) {
    ExchangeContext context = LoginBench::context("SCRAM-SHA-256");
    context.offered = {"SCRAM-SHA-256"};
    ScramClient client{.name = std::move(name), .password = std::move(password), .binding = {}};
    return outcome(run_scram(*bench.server->begin(context), client));
}

TEST_CASE("every kind of imported password logs in, first by PLAIN and then by SCRAM") {
    LoginBench bench;
    const std::pair<std::string, std::string_view> kinds[] = {
        {"sha512", test::sha512_crypt},
        {"sha256", test::sha256_crypt},
        {"blfa", test::bcrypt_a},
        {"blfb", test::bcrypt_b},
        {"blfy", test::bcrypt_y},
        {"scram", test::dovecot_scram},
        {"rfc5803", test::rfc5803_scram},
        {"plain", "{PLAIN}pencil"},
        {"rounds", test::sha512_crypt_rounds}};
    std::string text;
    for (const auto& [name, proof] : kinds) text += line_of(name, proof);
    text += line_of("locked", "!");
    REQUIRE(import_into(*bench.store, text) == "done");
    CHECK(bench.store->bare_crypts() == 6);

    for (const auto& [name, proof] : kinds) {
        INFO(name);
        const std::string account = name + "@example.net";
        const bool hash = proof.starts_with('$');
        const auto before = bench.store->find(account);
        REQUIRE(before.has_value());
        CHECK(has_bare_crypt(**before) == hash);
        CHECK(by_scram(bench, account, "pencil") ==
              (hash ? "bad_credentials" : "success " + account));
        CHECK(by_plain(bench, account, "wrong") == "bad_credentials");
        CHECK(has_bare_crypt(**bench.store->find(account)) == hash);

        const auto exchange = bench.begin("PLAIN");
        const StepResult said = exchange->step(says(plain(account, "pencil")));
        const auto* const success = std::get_if<Success>(&said);
        REQUIRE(success != nullptr);
        CHECK_FALSE(success->remembered);
        CHECK(success->notice.empty());
        // The login rests on the account as it is afterwards, and so does what began before.
        CHECK(success->identity.account == *bench.store->find(account));
        CHECK(success->identity.generation == bench.store->generation());
        CHECK_FALSE(has_bare_crypt(*success->identity.account));
        CHECK(stands({*before, "", account, 0}, success->identity.account.get()));

        CHECK(by_scram(bench, account, "pencil") == "success " + account);
        CHECK(by_scram(bench, account, "wrong") == "bad_credentials");
        const auto again = bench.begin("PLAIN");
        const StepResult remembered = again->step(says(plain(account, "pencil")));
        REQUIRE(std::get_if<Success>(&remembered) != nullptr);
        CHECK(std::get<Success>(remembered).remembered);
    }
    CHECK(bench.store->bare_crypts() == 0);
    CHECK(by_plain(bench, "locked@example.net", "!") == "bad_credentials");
}

TEST_CASE("a hash is tried with what was typed alone, and prohibited characters fail") {
    LoginBench bench;
    REQUIRE(import_into(*bench.store,
                        line_of("a", test::composed) + line_of("b", test::decomposed) +
                            line_of("c", test::face) + line_of("d", test::face)) == "done");
    CHECK(by_plain(bench, "a@example.net", "pa\xCC\x88ss") == "bad_credentials");
    CHECK(by_plain(bench, "a@example.net", "p\xC3\xA4ss") == "success a@example.net");
    CHECK(by_plain(bench, "a@example.net", "pa\xCC\x88ss") == "success a@example.net");
    CHECK(by_plain(bench, "b@example.net", "p\xC3\xA4ss") == "bad_credentials");
    CHECK(by_plain(bench, "b@example.net", "pa\xCC\x88ss") == "success b@example.net");
    // From here on the form does not matter.
    CHECK(by_plain(bench, "b@example.net", "p\xC3\xA4ss") == "success b@example.net");
    CHECK(by_plain(bench, "c@example.net", "\xF0\x9F\x98\x80x") == "success c@example.net");
    CHECK(by_plain(bench, "c@example.net", "\xF0\x9F\x98\x80x") == "success c@example.net");
    CHECK(by_plain(bench, "d@example.net", "\xF0\x9F\x98\x80x\x07") == "bad_credentials");
}

TEST_CASE("a login by a hash ends with another password, not with an app password beside it") {
    LoginBench bench;
    REQUIRE(import_into(*bench.store, line_of("u", test::bcrypt_y)) == "done");
    const std::string account = "u@example.net";
    const AccountPtr before = *bench.store->find(account);
    const Identity rests{before, "", account, 0};
    REQUIRE(bench.store->add_credential(account, {"phone", proto::Secret("crayon"), ""}, noon)
                .has_value());
    CHECK(bench.store->bare_crypts() == 1);
    CHECK(by_plain(bench, account, "crayon") == "success " + account);
    CHECK(by_plain(bench, account + "+phone", "pencil") == "bad_credentials");
    CHECK(bench.store->bare_crypts() == 1);
    CHECK(by_plain(bench, account, "pencil") == "success " + account);
    const AccountPtr after = *bench.store->find(account);
    CHECK(stands(rests, after.get()));
    // All passwords share one salt still.
    REQUIRE(after->credentials.size() == 2);
    CHECK(after->credentials[0].verifier->salt == after->credentials[1].verifier->salt);
    CHECK(by_plain(bench, account, "crayon") == "success " + account);

    REQUIRE(bench.store->passwd(account, proto::Secret("another"), noon + std::chrono::hours(1))
                .has_value());
    CHECK_FALSE(stands(rests, bench.store->find(account)->get()));
    CHECK_FALSE(stands({after, "", account, 0}, bench.store->find(account)->get()));
}

TEST_CASE("a suspended account's hash stays one, and it hears why") {
    LoginBench bench;
    REQUIRE(import_into(*bench.store, line_of("u", test::bcrypt_y)) == "done");
    REQUIRE(bench.store->suspend("u@example.net", {}, noon).has_value());
    CHECK(by_plain(bench, "u@example.net", "wrong") == "bad_credentials");
    CHECK(by_plain(bench, "u@example.net", "pencil") == "suspended");
    CHECK(bench.store->bare_crypts() == 1);
}

TEST_CASE("where the verifier cannot be written the login is in, and the next one writes it") {
    LoginBench bench;
    REQUIRE(import_into(*bench.store, line_of("u", test::bcrypt_y)) == "done");
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open((bench.scratch / "accounts.db").c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    {
        const auto exchange = bench.begin("LOGIN");
        CHECK(outcome(exchange->step(says("u@example.net"))) == "challenge Password:");
        const StepResult said = exchange->step(says("pencil"));
        const auto* const success = std::get_if<Success>(&said);
        REQUIRE(success != nullptr);
        CHECK_FALSE(success->notice.empty());
        CHECK(has_bare_crypt(*success->identity.account));
    }
    CHECK(bench.store->bare_crypts() == 1);
    REQUIRE(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(other);
    CHECK(by_plain(bench, "u@example.net", "pencil") == "success u@example.net");
    CHECK(bench.store->bare_crypts() == 0);
}

TEST_CASE("logins by one hash at the same time all succeed") {
    LoginBench bench;
    REQUIRE(import_into(*bench.store, line_of("u", test::bcrypt_y)) == "done");
    std::vector<std::string> said(8);
    {
        std::vector<std::jthread> threads;
        for (std::string& one : said)
            threads.emplace_back([&] { one = by_plain(bench, "u@example.net", "pencil"); });
    }
    CHECK(std::ranges::count(said, "success u@example.net") == 8);
    CHECK(bench.store->bare_crypts() == 0);
}

TEST_CASE("an import is whole or nothing at all") {
    LoginBench bench;
    std::vector<std::string> heard;
    const auto listener = bench.store->subscribe([&](std::string_view account, Change change) {
        heard.push_back(std::string(account) + (change == Change::added ? " added" : " ?"));
    });
    const std::string good = line_of("new", "{PLAIN}x") + line_of("other", test::sha256_crypt);
    CHECK(import_into(*bench.store, good + line_of("ann", "*") + line_of("sue", "*")) ==
          "3 ann@example.net is there already;4 sue@example.net is there already;");
    CHECK(heard.empty());
    CHECK(bench.store->bare_crypts() == 0);
    CHECK(*bench.store->count() == 3);
    CHECK(by_plain(bench, "new@example.net", "x") == "bad_credentials");
    const auto generation = bench.store->generation();

    CHECK(import_into(*bench.store, good) == "done");
    CHECK(heard == std::vector<std::string>{"new@example.net added", "other@example.net added"});
    CHECK(bench.store->generation() > generation);
    // It was known not to exist.
    CHECK(by_plain(bench, "new@example.net", "x") == "success new@example.net");
    CHECK(*bench.store->count() == 5);

    ImportFaults faults;
    REQUIRE(bench.store->find_there(read(good + line_of("third", "*")), faults).has_value());
    CHECK(faults.count() == 2);
}

TEST_CASE("what an import says of an account is what the account has") {
    Scratch scratch;
    const auto path = scratch / "accounts.db";
    {
        const auto store = open_store(settings_at(path));
        ImportReader reader(ImportFormat::csv, "");
        reader.feed(
            "account,hash,customer,plan,owns,authzids\n"
            "ann@example.net,*,shop,gold,example.org,bob@example.net\n"
            "bob@example.net," +
            std::string(test::sha512_crypt) + ",shop,,*,\ncarl@example.net,*,,,,\n");
        reader.finish();
        const auto accounts = reader.take();
        REQUIRE(accounts.size() == 3);
        ImportFaults faults;
        REQUIRE(store->import_accounts(accounts, noon, faults).has_value());
        REQUIRE(faults.count() == 0);
        CHECK(store->iteration_shares()->empty());
        const AccountPtr ann = *store->find("ann@example.net");
        CHECK(ann->customer == "shop");
        CHECK(ann->plan == "gold");
        CHECK(ann->owned.texts() == std::vector<std::string>{"ann@example.net", "example.org"});
        CHECK(may_act_as(*ann, "bob@example.net"));
        CHECK(ann->created == noon);
        CHECK(ann->credentials.empty());
        CHECK((*store->find("bob@example.net"))->owned.everything);
        CHECK((*store->find("carl@example.net"))->customer.empty());
        CHECK(store->show_customer("shop")->accounts == 2);
        CHECK(*AccountStore::count_bare_crypts(path) == 1);
    }
    // The count is found again, and goes down with the account.
    const auto store = open_store(settings_at(path));
    CHECK(store->bare_crypts() == 1);
    REQUIRE(store->remove("bob@example.net").has_value());
    CHECK(store->bare_crypts() == 0);
    CHECK(*AccountStore::count_bare_crypts(path) == 0);
    CHECK(*AccountStore::count_bare_crypts(scratch / "none.db") == 0);
    CHECK_FALSE(std::filesystem::exists(scratch / "none.db"));
}

TEST_CASE("a copy of the store is what it was at one moment") {
    Scratch scratch;
    const auto path = scratch / "accounts.db";
    const auto copy = scratch / "copy.db";
    const auto store = open_store(settings_at(path));
    // More than one piece.
    std::string many;
    for (int i = 0; i < 30'000; ++i) many += line_of("u" + std::to_string(i), "*");
    REQUIRE(import_into(*store, many) == "done");
    std::fclose(std::fopen(copy.c_str(), "we"));
    int pieces = 0;
    // Whatever changes meanwhile is not in it.
    REQUIRE_FALSE(copy_database(path, copy, [&] {
        const std::string name = "new" + std::to_string(++pieces) + "@example.net";
        CHECK(store->add(test::account_named(name), noon).has_value());
        return false;
    }));
    CHECK(pieces > 1);
    const auto restored = open_store(settings_at(copy));
    CHECK(*restored->count() == 30'000);
    CHECK(restored->find("u29999@example.net").has_value());
    CHECK_FALSE(restored->find("new1@example.net").has_value());
    CHECK(copy_database(scratch / "none.db", scratch / "x.db", {}));
}

}  // namespace
}  // namespace postern::auth
