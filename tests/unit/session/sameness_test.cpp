#include "relay/session/sameness.hpp"

#include <cstdlib>
#include <filesystem>

#include "auth/import_reader.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace std::chrono_literals;

namespace {

/// A store with that many accounts that have nothing but a hash.
struct World {
    std::string folder;
    std::unique_ptr<auth::AccountStore> store;

    explicit World(int hashes) {
        folder = (std::filesystem::temp_directory_path() / "postern-session-XXXXXX").string();
        REQUIRE(::mkdtemp(folder.data()) != nullptr);
        auth::StoreSettings settings;
        settings.path = folder + "/accounts.db";
        auto opened = auth::AccountStore::open(std::move(settings));
        REQUIRE(opened.has_value());
        store = std::move(*opened);
        auth::ImportReader reader(auth::ImportFormat::dovecot, "example.net");
        for (int i = 0; i < hashes; ++i)
            reader.feed("u" + std::to_string(i) + ":$5$salt$" + std::string(43, 'a') + "\n");
        reader.finish();
        auth::ImportFaults faults;
        REQUIRE(store->import_accounts(reader.take(), auth::Time{}, faults).has_value());
        REQUIRE(faults.count() == 0);
    }
    ~World() {
        store.reset();
        std::filesystem::remove_all(folder);
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;
};

}  // namespace

TEST_CASE("failing logins by password are held to the floor while a hash tells who exists") {
    relay::config::Auth auth;
    const World none(0);
    const World one(1);
    for (const char* const mechanism : {"PLAIN", "LOGIN"}) {
        CHECK(relay::failure_floor(auth, *none.store, mechanism) == 0ms);
        CHECK(relay::failure_floor(auth, *one.store, mechanism) == 500ms);
    }
    CHECK(relay::failure_floor(auth, *one.store, "SCRAM-SHA-256") == 0ms);
    auth.failure_floor = 2s;
    CHECK(relay::failure_floor(auth, *one.store, "PLAIN") == 2s);
}

TEST_CASE("SCRAM is held back while one account cannot do it, unless it is wanted all the same") {
    relay::config::Auth auth;
    const World none(0);
    const World one(1);
    CHECK_FALSE(relay::withholds_scram(auth, *none.store, auth.mechanisms));
    CHECK(relay::withholds_scram(auth, *one.store, auth.mechanisms));
    CHECK(relay::without_scram({"SCRAM-SHA-256-PLUS", "PLAIN", "SCRAM-SHA-1", "EXTERNAL"}) ==
          std::vector<std::string>{"PLAIN", "EXTERNAL"});
    // To leave nothing at all would help nobody.
    CHECK_FALSE(relay::withholds_scram(auth, *one.store, {"SCRAM-SHA-256"}));
    auth.scram_beside_crypt = true;
    CHECK_FALSE(relay::withholds_scram(auth, *one.store, auth.mechanisms));
}
