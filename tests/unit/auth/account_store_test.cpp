#include "auth/account_store.hpp"

#include <thread>

#include "scratch.hpp"

namespace postern::auth {
namespace {

using namespace std::chrono_literals;
using test::account_named;
using test::noon;
using test::open_store;
using test::Scratch;
using test::settings_at;

struct Fixture {
    Scratch scratch;
    std::unique_ptr<AccountStore> store = open_store(settings_at(scratch / "accounts.db"));
    void reopen() {
        store.reset();
        store = open_store(settings_at(scratch / "accounts.db"));
    }
    AccountPtr account(std::string_view name) {
        const auto found = store->find(name);
        return found ? *found : nullptr;
    }
};

std::vector<std::string> names(const AccountPage& page) {
    std::vector<std::string> out;
    for (const AccountView& view : page.items) out.push_back(view.account->name);
    return out;
}

TEST_CASE("an added account is found, by any spelling of its name, and survives a restart") {
    Fixture f;
    NewAccount ann = account_named("Ann@Example.net");
    ann.customer = "shop";
    ann.plan = "marketing";
    ann.owns = {"shop.example", "sales@example.net"};
    ann.rules = {{"limits", "observe"}};
    ann.authzids = {"Bob@example.net"};
    REQUIRE(f.store->add(ann, noon).has_value());
    for (int round = 0; round < 2; ++round) {
        const AccountPtr found = f.account("aNN@EXAMPLE.net");
        REQUIRE(found);
        CHECK(found->name == "ann@example.net");
        CHECK(found->customer == "shop");
        CHECK(found->plan == "marketing");
        CHECK(found->owned.texts() ==
              std::vector<std::string>{"ann@example.net", "sales@example.net", "shop.example"});
        CHECK(found->rules == std::map<std::string, std::string>{{"limits", "observe"}});
        CHECK(found->authzids == std::vector<std::string>{"bob@example.net"});
        CHECK(found->created == noon);
        CHECK(found->state() == "active");
        REQUIRE(found->credentials.size() == 1);
        CHECK(found->credentials[0].name.empty());
        REQUIRE(found->credentials[0].verifier);
        CHECK(found->credentials[0].verifier->iterations == 4096);
        f.reopen();
    }
    CHECK(f.store->count().value() == 1);
}

TEST_CASE("an account needs no password, customer or plan") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net", ""), noon).has_value());
    const AccountPtr found = f.account("ann@example.net");
    REQUIRE(found);
    CHECK(found->credentials.empty());
    CHECK(found->customer.empty());
    CHECK(found->plan == "transactional");
}

TEST_CASE("what cannot be added is refused by name, and nothing of it stays") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    CHECK(f.store->add(account_named("ANN@example.net"), noon).error() ==
          AuthError::already_exists);
    for (const std::string_view bad :
         {"", "ann", "ann@", "@example.net", "a b@example.net", "ann\x07@example.net"})
        CHECK(f.store->add(account_named(bad), noon).error() == AuthError::invalid_name);
    CHECK(f.store->add(account_named("bob@example.net", "\x07"), noon).error() ==
          AuthError::invalid_password);
    NewAccount bob = account_named("bob@example.net");
    bob.owns = {"not an address"};
    CHECK(f.store->add(bob, noon).error() == AuthError::invalid_owned);
    bob.owns = {};
    bob.rules = {{"limits", "sometimes"}};
    CHECK(f.store->add(bob, noon).error() == AuthError::invalid_rule);
    bob.rules = {};
    bob.authzids = {"nobody"};
    CHECK(f.store->add(bob, noon).error() == AuthError::invalid_name);
    CHECK(f.store->count().value() == 1);
}

TEST_CASE("set changes what is named and nothing else") {
    Fixture f;
    NewAccount ann = account_named("ann@example.net");
    ann.customer = "shop";
    ann.rules = {{"limits", "observe"}, {"header_from", "off"}};
    REQUIRE(f.store->add(ann, noon).has_value());
    const AccountPtr before = f.account("ann@example.net");

    AccountChange change;
    change.plan = "marketing";
    change.rules = {{"limits", ""}, {"sender_ownership", "off"}};
    REQUIRE(f.store->set("ann@example.net", change, noon).has_value());
    AccountPtr now = f.account("ann@example.net");
    CHECK(now->plan == "marketing");
    CHECK(now->customer == "shop");
    CHECK(now->rules ==
          std::map<std::string, std::string>{{"header_from", "off"}, {"sender_ownership", "off"}});
    CHECK(now->owned == before->owned);
    CHECK(now->credentials[0].verifier == before->credentials[0].verifier);
    CHECK(now->version > before->version);

    change = {};
    change.owns = {"*", "other@example.net"};
    change.authzids = {"bob@example.net"};
    change.customer = "";
    change.plan = "";
    REQUIRE(f.store->set("ann@example.net", change, noon).has_value());
    f.reopen();
    now = f.account("ann@example.net");
    CHECK(now->owned.texts() ==
          std::vector<std::string>{"*", "ann@example.net", "other@example.net"});
    CHECK(now->authzids == std::vector<std::string>{"bob@example.net"});
    CHECK(now->customer.empty());
    CHECK(now->plan == "transactional");

    change = {};
    change.drop_password = true;
    REQUIRE(f.store->set("ann@example.net", change, noon).has_value());
    CHECK(f.account("ann@example.net")->credentials.empty());
    CHECK(f.store->set("bob@example.net", change, noon).error() == AuthError::not_found);
}

TEST_CASE("passwd gives a new verifier with the rounds of now") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    const Verifier before = *f.account("ann@example.net")->credentials[0].verifier;
    f.store->set_iterations(10000);
    REQUIRE(f.store->passwd("ann@example.net", proto::Secret("eraser"), noon).has_value());
    const Verifier after = *f.account("ann@example.net")->credentials[0].verifier;
    CHECK(after.iterations == 10000);
    CHECK(after.salt != before.salt);
    CHECK(stored_key_of("eraser", after.salt, after.iterations) == after.stored_key);
    CHECK(f.store->passwd("ann@example.net", proto::Secret(""), noon).error() ==
          AuthError::invalid_password);
    CHECK(f.store->passwd("bob@example.net", proto::Secret("x"), noon).error() ==
          AuthError::not_found);
}

TEST_CASE("a suspension is kept with its reasons until it is released") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    REQUIRE(f.store
                ->suspend("ann@example.net",
                          {"compromise", {"many networks", "bounces"}, "call us", "root"}, noon)
                .has_value());
    f.reopen();
    AccountPtr found = f.account("ann@example.net");
    CHECK(found->state() == "suspended");
    CHECK(*found->suspended ==
          Suspension{noon, "compromise", {"many networks", "bounces"}, "call us", "root"});
    REQUIRE(
        f.store->suspend("ann@example.net", {"operator", {}, "", "root"}, noon + 1h).has_value());
    CHECK(*f.account("ann@example.net")->suspended ==
          Suspension{noon + 1h, "operator", {}, "", "root"});
    CHECK(f.store->release("ann@example.net").value() == AccountStore::Released::released);
    CHECK(f.account("ann@example.net")->state() == "active");
    CHECK(f.store->release("ann@example.net").value() == AccountStore::Released::was_not_suspended);
    CHECK(f.store->release("bob@example.net").error() == AuthError::not_found);
    CHECK(f.store->suspend("bob@example.net", {}, noon).error() == AuthError::not_found);
}

TEST_CASE("a removed account is gone with all of it, and a new one of its name is another") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    const AccountPtr first = f.account("ann@example.net");
    f.store->record_login("ann@example.net", "", "192.0.2.7", noon);
    REQUIRE(f.store->flush(noon - 24h).has_value());
    REQUIRE(f.store->remove("Ann@example.net").has_value());
    CHECK(f.store->find("ann@example.net").error() == AuthError::not_found);
    CHECK(f.store->remove("ann@example.net").error() == AuthError::not_found);
    CHECK(f.store->known_pairs(noon - 24h)->empty());
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    const AccountPtr second = f.account("ann@example.net");
    CHECK(second->version > first->version);
    CHECK_FALSE(f.store->show("ann@example.net")->last_login);
}

TEST_CASE("lists come in pages in order of name, by selectors") {
    Fixture f;
    for (const char* const name :
         {"d@b.example", "a@a.example", "c@a.example", "b@b.example", "e@sub.b.example"}) {
        NewAccount account = account_named(name, "");
        if (account.name.ends_with("@b.example")) account.customer = "shop";
        REQUIRE(f.store->add(account, noon).has_value());
    }
    REQUIRE(f.store->suspend("c@a.example", {}, noon).has_value());
    auto page = f.store->list({}, "", 2).value();
    CHECK(names(page) == std::vector<std::string>{"a@a.example", "b@b.example"});
    REQUIRE(page.next);
    page = f.store->list({}, *page.next, 2).value();
    CHECK(names(page) == std::vector<std::string>{"c@a.example", "d@b.example"});
    page = f.store->list({}, *page.next, 2).value();
    CHECK(names(page) == std::vector<std::string>{"e@sub.b.example"});
    CHECK_FALSE(page.next);
    const auto list = [&](const AccountFilter& filter) {
        return names(f.store->list(filter, "", 100).value());
    };
    CHECK(list({.accounts = {"@B.example"}, .customers = {}, .states = {}}) ==
          std::vector<std::string>{"b@b.example", "d@b.example"});
    CHECK(list({.accounts = {"A@a.example", "@sub.b.example"}, .customers = {}, .states = {}}) ==
          std::vector<std::string>{"a@a.example", "e@sub.b.example"});
    CHECK(list({.accounts = {}, .customers = {"shop"}, .states = {}}).size() == 2);
    CHECK(list({.accounts = {}, .customers = {}, .states = {"suspended"}}) ==
          std::vector<std::string>{"c@a.example"});
    CHECK(list({.accounts = {"@a.example"}, .customers = {}, .states = {"active"}}) ==
          std::vector<std::string>{"a@a.example"});
    CHECK(list({.accounts = {}, .customers = {"'; DROP TABLE account; --"}, .states = {"braked"}})
              .empty());
    CHECK(f.store->list({}, "zzz", 0)->items.empty());
}

TEST_CASE("the cache serves what was read, and every change shows at once") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    f.reopen();
    CHECK_FALSE(f.store->find_cached("ann@example.net"));
    REQUIRE(f.account("ann@example.net"));
    const AccountPtr cached = f.store->find_cached("ann@example.net");
    REQUIRE(cached);
    CHECK(cached == f.account("ann@example.net"));
    const std::uint64_t generation = f.store->generation();
    REQUIRE(f.store->suspend("ann@example.net", {}, noon).has_value());
    CHECK(f.store->generation() > generation);
    CHECK(f.store->find_cached("ann@example.net")->suspended);
    CHECK_FALSE(cached->suspended);
    REQUIRE(f.store->remove("ann@example.net").has_value());
    CHECK_FALSE(f.store->find_cached("ann@example.net"));
    CHECK(f.store->find("bob@example.net").error() == AuthError::not_found);
    REQUIRE(f.store->add(account_named("bob@example.net"), noon).has_value());
    CHECK(f.account("bob@example.net"));
}

TEST_CASE("a small cache still finds everybody") {
    Scratch scratch;
    StoreSettings settings = settings_at(scratch / "accounts.db");
    settings.cached_accounts = 1;
    const auto store = open_store(std::move(settings));
    for (int i = 0; i < 100; ++i)
        REQUIRE(store->add(account_named("a" + std::to_string(i) + "@example.net", ""), noon)
                    .has_value());
    int cached = 0;
    for (int i = 0; i < 100; ++i) {
        const std::string name = "a" + std::to_string(i) + "@example.net";
        cached += store->find_cached(name) != nullptr ? 1 : 0;
        CHECK(store->find(name).has_value());
    }
    CHECK(cached <= 32);
}

TEST_CASE("listeners hear of every change in order, until they go") {
    Fixture f;
    std::vector<std::pair<std::string, Change>> heard;
    auto token = f.store->subscribe([&](std::string_view account, Change change) {
        heard.emplace_back(std::string(account), change);
    });
    REQUIRE(f.store->add(account_named("Ann@example.net"), noon).has_value());
    REQUIRE(f.store->set("ann@example.net", {}, noon).has_value());
    REQUIRE(f.store->passwd("ann@example.net", proto::Secret("x"), noon).has_value());
    REQUIRE(f.store->suspend("ann@example.net", {}, noon).has_value());
    REQUIRE(f.store->release("ann@example.net").has_value());
    REQUIRE(f.store->release("ann@example.net").has_value());
    // Its mail may be frozen without a suspension.
    const std::uint64_t generation = f.store->generation();
    REQUIRE(f.store->release("ann@example.net", AccountStore::IfActive::tell).has_value());
    CHECK(f.store->generation() == generation + 1);
    REQUIRE(f.store->remove("ann@example.net").has_value());
    CHECK_FALSE(f.store->release("ann@example.net").has_value());
    CHECK_FALSE(f.store->remove("ann@example.net").has_value());
    std::vector<Change> changes;
    for (const auto& [account, change] : heard) {
        CHECK(account == "ann@example.net");
        changes.push_back(change);
    }
    CHECK(changes == std::vector<Change>{Change::added, Change::altered, Change::password,
                                         Change::suspended, Change::released, Change::released,
                                         Change::removed});
    token.reset();
    REQUIRE(f.store->add(account_named("bob@example.net"), noon).has_value());
    CHECK(heard.size() == 7);
}

TEST_CASE("logins are kept in memory, seen at once and written by flush") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    f.store->record_login("ann@example.net", "", "192.0.2.7", noon);
    f.store->record_login("ann@example.net", "", "2001:db8::/64", noon + 1h);
    f.store->record_login("ann@example.net", "", "192.0.2.7", noon + 2h);
    f.store->record_login("gone@example.net", "", "192.0.2.7", noon + 2h);
    CHECK(f.store->show("ann@example.net")->last_login == noon + 2h);
    CHECK(f.store->show("ann@example.net")->last_source == "192.0.2.7");
    CHECK(f.store->known_pairs(noon - 1h)->empty());
    REQUIRE(f.store->flush(noon - 24h).has_value());
    f.reopen();
    CHECK(f.store->show("ann@example.net")->last_login == noon + 2h);
    CHECK(f.store->show("ann@example.net")->last_source == "192.0.2.7");
    const auto pairs = f.store->known_pairs(noon).value();
    REQUIRE(pairs.size() == 2);
    CHECK(pairs[0].source == "192.0.2.7");
    CHECK(pairs[0].last_seen == noon + 2h);
    CHECK(pairs[1].account == "ann@example.net");
    CHECK(f.store->known_pairs(noon, 1)->size() == 1);
    CHECK(f.store->known_pairs(noon + 90min)->size() == 1);
    REQUIRE(f.store->flush(noon + 90min).has_value());
    CHECK(f.store->known_pairs(noon - 24h)->size() == 1);
}

TEST_CASE("a login does not count as a change of the account") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net"), noon).has_value());
    const AccountPtr before = f.account("ann@example.net");
    f.store->record_login("ann@example.net", "", "192.0.2.7", noon);
    REQUIRE(f.store->flush(noon).has_value());
    CHECK(f.account("ann@example.net") == before);
}

TEST_CASE("what waits for flush is bounded") {
    Scratch scratch;
    StoreSettings settings = settings_at(scratch / "accounts.db");
    settings.pending_logins = 10;
    const auto store = open_store(std::move(settings));
    REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    for (int i = 0; i < 100; ++i)
        store->record_login("ann@example.net", "", "192.0.2." + std::to_string(i), noon);
    REQUIRE(store->flush(noon - 1h).has_value());
    CHECK(store->known_pairs(noon - 1h)->size() == 10);
}

TEST_CASE("round counts are told by their share, also after a restart") {
    Fixture f;
    REQUIRE(f.store->add(account_named("a@example.net"), noon).has_value());
    REQUIRE(f.store->add(account_named("b@example.net"), noon).has_value());
    f.store->set_iterations(8192);
    REQUIRE(f.store->add(account_named("c@example.net"), noon).has_value());
    REQUIRE(f.store->passwd("b@example.net", proto::Secret("x"), noon).has_value());
    const FakeVerifiers::Shares expected = {{4096, 1}, {8192, 2}};
    CHECK(*f.store->iteration_shares() == expected);
    f.reopen();
    CHECK(*f.store->iteration_shares() == expected);
    REQUIRE(f.store->remove("a@example.net").has_value());
    CHECK(*f.store->iteration_shares() == FakeVerifiers::Shares{{8192, 2}});
}

TEST_CASE("readers never see half a change while a writer works") {
    Fixture f;
    REQUIRE(f.store->add(account_named("ann@example.net", ""), noon).has_value());
    std::atomic<bool> stop{false};
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> readers;
        for (int t = 0; t < 3; ++t) {
            readers.emplace_back([&] {
                std::uint64_t newest = 0;
                while (!stop) {
                    const AccountPtr account = f.account("ann@example.net");
                    // plan and rule are set together, and versions never go back.
                    if (!account || account->version < newest ||
                        account->rules.contains("limits") != (account->plan == "odd"))
                        ++wrong;
                    if (account) newest = account->version;
                    f.store->record_login("ann@example.net", "", "192.0.2.7", noon);
                    (void)f.account("nobody@example.net");
                }
            });
        }
        for (int i = 0; i < 100; ++i) {
            AccountChange change;
            change.plan = i % 2 == 0 ? "odd" : "";
            change.rules = {{"limits", i % 2 == 0 ? "off" : ""}};
            if (!f.store->set("ann@example.net", change, noon)) ++wrong;
            if (i % 10 == 0 && !f.store->flush(noon - 1h)) ++wrong;
        }
        stop = true;
    }
    CHECK(wrong == 0);
}

}  // namespace
}  // namespace postern::auth
