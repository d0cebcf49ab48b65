// Devices that cannot log in: bound to a network and a listener, found by address.
#include "auth/device.hpp"

#include "scratch.hpp"

namespace postern::auth {
namespace {

using test::account_named;
using test::noon;
using test::open_store;
using test::Scratch;
using test::settings_at;

constexpr std::string_view ann = "ann@example.net";
constexpr std::string_view bob = "bob@example.net";

struct Fixture {
    Scratch scratch;
    std::unique_ptr<AccountStore> store = open_store(settings_at(scratch / "accounts.db"));

    Fixture() {
        for (const std::string_view name : {ann, bob})
            REQUIRE(store->add(account_named(name), noon).has_value());
    }
    void reopen() {
        store.reset();
        store = open_store(settings_at(scratch / "accounts.db"));
    }
    /// The error's text, or empty.
    std::string add(std::string_view account, std::string name, std::string source,
                    std::string listener = "printers", std::vector<std::string> rcpts = {}) {
        const auto added = store->add_device(account,
                                             {.name = std::move(name),
                                              .source = std::move(source),
                                              .listener = std::move(listener),
                                              .rcpts = std::move(rcpts),
                                              .plan = ""},
                                             noon);
        return added ? "" : added.error().message();
    }
    /// "ann@example.net copier", or empty.
    std::string at(std::string_view address, std::string_view listener = "printers") const {
        const auto found = store->find_device(listener, address);
        return found ? found->account + " " + found->credential : "";
    }
};

std::string message(AuthError error) {
    return make_error_code(error).message();
}

TEST_CASE("a device is found by its address at its listener, also after a restart") {
    Fixture f;
    CHECK(f.add(ann, "Copier", "192.0.2.8") == "");
    CHECK(f.add(bob, "scanner", "2001:db8:0:1::/64") == "");
    for (int round = 0; round < 2; ++round) {
        CHECK(f.at("192.0.2.8") == "ann@example.net copier");
        CHECK(f.at("::ffff:192.0.2.8") == "ann@example.net copier");
        CHECK(f.at("192.0.2.9").empty());
        CHECK(f.at("192.0.2.8", "others").empty());
        CHECK(f.at("2001:db8:0:1:9::9") == "bob@example.net scanner");
        CHECK(f.at("2001:db8:0:2::9").empty());
        CHECK(f.at("").empty());
        CHECK(f.at("no address").empty());
        f.reopen();
    }
    const AccountPtr account = f.store->find(ann).value();
    const Credential* const device = find_credential(*account, "copier");
    REQUIRE(device != nullptr);
    CHECK(device->kind == "device");
    CHECK(device->source == "192.0.2.8/32");
    CHECK(device->listener == "printers");
    CHECK(device->plan == "device");
    CHECK(device->rcpts.empty());
    CHECK_FALSE(device->verifier);
}

TEST_CASE("the narrowest network wins, and the very same one is refused") {
    Fixture f;
    CHECK(f.add(ann, "floor", "192.0.2.0/24") == "");
    CHECK(f.add(bob, "room", "192.0.2.16/28") == "");
    CHECK(f.add(ann, "copier", "192.0.2.17") == "");
    CHECK(f.at("192.0.2.17") == "ann@example.net copier");
    CHECK(f.at("192.0.2.18") == "bob@example.net room");
    CHECK(f.at("192.0.2.1") == "ann@example.net floor");
    CHECK(f.add(bob, "copier", "192.0.2.17/32") == message(AuthError::source_taken));
    CHECK(f.add(ann, "again", "::ffff:192.0.2.17") == message(AuthError::source_taken));
    CHECK(f.add(bob, "copier", "192.0.2.17", "elsewhere") == "");
    CHECK(f.at("192.0.2.17", "elsewhere") == "bob@example.net copier");
    REQUIRE(f.store->revoke_credential(ann, "copier").has_value());
    CHECK(f.at("192.0.2.17") == "bob@example.net room");
    CHECK(f.add(bob, "new", "192.0.2.17") == "");
    CHECK(f.at("192.0.2.17") == "bob@example.net new");
}

TEST_CASE("what becomes of the account becomes of its devices") {
    Fixture f;
    CHECK(f.add(ann, "copier", "192.0.2.8") == "");
    CHECK(f.add(bob, "scanner", "192.0.2.9") == "");
    REQUIRE(f.store->suspend(ann, {}, noon).has_value());
    // Whoever finds it sees the suspension at the account.
    CHECK(f.at("192.0.2.8") == "ann@example.net copier");
    REQUIRE(f.store->remove(ann).has_value());
    CHECK(f.at("192.0.2.8").empty());
    CHECK(f.at("192.0.2.9") == "bob@example.net scanner");
    CHECK(f.add(bob, "copier", "192.0.2.8") == "");
    f.reopen();
    CHECK(f.at("192.0.2.8") == "bob@example.net copier");
}

TEST_CASE("a change that fails leaves the index alone") {
    Fixture f;
    CHECK(f.add(ann, "copier", "192.0.2.8") == "");
    CHECK(f.add(ann, "copier", "192.0.2.9") == message(AuthError::credential_exists));
    CHECK(f.add("nobody@example.net", "copier", "192.0.2.9") == message(AuthError::not_found));
    CHECK(f.at("192.0.2.9").empty());
    CHECK(f.at("192.0.2.8") == "ann@example.net copier");
}

TEST_CASE("what is wrong with a device is named") {
    struct Row {
        NewDevice wanted;
        AuthError error;
    };
    const std::vector<std::string> too_many(max_device_rcpts + 1, "a@b.example");
    const Row table[] = {
        {{"two words", "192.0.2.8", "p", {}, ""}, AuthError::invalid_credential},
        {{"", "192.0.2.8", "p", {}, ""}, AuthError::invalid_credential},
        {{"a", "", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "192.0.2.8/24", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "copier.example", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "0.0.0.0/0", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "::/0", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "::ffff:0.0.0.0/96", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "2000::/3", "p", {}, ""}, AuthError::invalid_source},
        {{"a", "192.0.2.8", "", {}, ""}, AuthError::invalid_listener},
        {{"a", "192.0.2.8", std::string(65, 'x'), {}, ""}, AuthError::invalid_listener},
        {{"a", "192.0.2.8", "p", {"example.net"}, ""}, AuthError::invalid_rcpt},
        {{"a", "192.0.2.8", "p", {"@"}, ""}, AuthError::invalid_rcpt},
        {{"a", "192.0.2.8", "p", {"a@b.example\nc@d.example"}, ""}, AuthError::invalid_rcpt},
        {{"a", "192.0.2.8", "p", too_many, ""}, AuthError::invalid_rcpt},
    };
    for (const Row& row : table) {
        INFO(row.wanted.source << " " << row.wanted.listener << " " << row.wanted.rcpts.size());
        const auto made = device_of(row.wanted);
        REQUIRE_FALSE(made.has_value());
        CHECK(made.error() == row.error);
    }
}

TEST_CASE("recipients are normalised, and so are they in the file") {
    Fixture f;
    CHECK(f.add(ann, "copier", "192.0.2.8", "printers",
                {"Bob@Example.ORG",
                 "@B\xc3\xbc"
                 "cher.example",
                 "bob@example.org"}) == "");
    f.reopen();
    const AccountPtr account = f.store->find(ann).value();
    CHECK(find_credential(*account, "copier")->rcpts ==
          std::vector<std::string>{"@xn--bcher-kva.example", "bob@example.org"});
}

TEST_CASE("how wide is wide") {
    const auto wide = [](const char* text) { return is_wide(*proto::Network::parse(text)); };
    CHECK_FALSE(wide("192.0.2.8"));
    CHECK_FALSE(wide("192.0.2.16/28"));
    CHECK(wide("192.0.2.0/27"));
    CHECK_FALSE(wide("2001:db8::/64"));
    CHECK(wide("2001:db8::/63"));
}

TEST_CASE("devices are read beside the store that has them, without a lock") {
    Fixture f;
    CHECK(stored_devices(f.scratch / "none.db")->empty());
    CHECK(f.add(bob, "scanner", "192.0.2.0/24") == "");
    CHECK(f.add(ann, "copier", "192.0.2.8") == "");
    for (int round = 0; round < 2; ++round) {
        const auto found = stored_devices(f.scratch / "accounts.db");
        REQUIRE(found.has_value());
        REQUIRE(found->size() == 2);
        CHECK(found->at(0).account == ann);
        CHECK(found->at(0).source == "192.0.2.8/32");
        CHECK(found->at(1).credential == "scanner");
        CHECK(found->at(1).listener == "printers");
        f.store.reset();  // The second time nobody has it open.
    }
}

TEST_CASE("a device proves nothing by a password") {
    Fixture f;
    NewAccount bare = account_named("copier@example.net", "");
    REQUIRE(f.store->add(bare, noon).has_value());
    CHECK(f.add("copier@example.net", "copier", "192.0.2.8") == "");
    const AccountPtr account = f.store->find("copier@example.net").value();
    CHECK(shared_verifier(*account) == nullptr);
}

TEST_CASE("the last login of each account is known, however long ago it was") {
    Fixture f;
    f.store->record_login(ann, "", "192.0.2.7", noon);
    f.store->record_login(ann, "phone", "192.0.2.9", noon + std::chrono::hours(1));
    f.store->record_login(bob, "", "192.0.2.8", noon + std::chrono::hours(2));
    REQUIRE(f.store->flush(noon + std::chrono::hours(24 * 400)).has_value());
    CHECK(f.store->known_pairs(noon)->empty());
    const auto last = f.store->last_logins();
    REQUIRE(last.has_value());
    REQUIRE(last->size() == 2);
    CHECK(last->at(0).account == bob);
    CHECK(last->at(1).account == ann);
    CHECK(last->at(1).source == "192.0.2.9");
    CHECK(last->at(1).last_seen == noon + std::chrono::hours(1));
    CHECK(f.store->last_logins(1)->size() == 1);
}

}  // namespace
}  // namespace postern::auth
