#include "auth/customer.hpp"

#include "scratch.hpp"

namespace postern::auth {
namespace {

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
};

CustomerChange with_domains(std::vector<std::string> domains) {
    CustomerChange change;
    change.domains = std::move(domains);
    return change;
}

TEST_CASE("a customer keeps what it is given, over a restart") {
    Fixture f;
    CustomerChange wanted = with_domains({"Shop.Example",
                                          "b\xC3\xBC"
                                          "cher.example",
                                          "shop.example"});
    wanted.plan = "marketing";
    wanted.contact = "owner@shop.example";
    wanted.abuse_contact = "abuse@shop.example";
    wanted.rules = {{"limits", "observe"}};
    REQUIRE(f.store->add_customer("shop", wanted, noon).has_value());
    f.reopen();
    const auto shop = f.store->show_customer("shop");
    REQUIRE(shop.has_value());
    CHECK(shop->domains == std::vector<std::string>{"shop.example", "xn--bcher-kva.example"});
    CHECK(shop->plan == "marketing");
    CHECK(shop->contact == "owner@shop.example");
    CHECK(shop->abuse_contact == "abuse@shop.example");
    CHECK(shop->rules == std::map<std::string, std::string>{{"limits", "observe"}});
    CHECK(shop->created == noon);
    CHECK(shop->accounts == 0);

    CustomerChange change;
    change.plan = "";
    change.rules = {{"limits", ""}, {"header_from", "off"}};
    REQUIRE(f.store->set_customer("shop", change).has_value());
    const auto now = f.store->show_customer("shop");
    CHECK(now->plan.empty());
    CHECK(now->domains == shop->domains);
    CHECK(now->rules == std::map<std::string, std::string>{{"header_from", "off"}});
}

TEST_CASE("what a customer is given, its accounts have at once") {
    Fixture f;
    NewAccount ann = account_named("ann@shop.example");
    ann.customer = "shop";
    ann.rules = {{"header_from", "enforce"}};
    REQUIRE(f.store->add(ann, noon).has_value());
    REQUIRE(f.store->add(account_named("bob@example.net"), noon).has_value());
    const AccountPtr before = *f.store->find("ann@shop.example");
    CHECK(before->plan == "transactional");
    const std::uint64_t generation = f.store->generation();

    CustomerChange change;
    change.plan = "marketing";
    change.rules = {{"header_from", "off"}, {"limits", "observe"}};
    REQUIRE(f.store->set_customer("shop", change).has_value());
    CHECK(f.store->generation() > generation);
    CHECK(f.store->find_cached("ann@shop.example") == nullptr);
    CHECK(f.store->find_cached("bob@example.net") != nullptr);  // Of no concern to others.
    const AccountPtr now = *f.store->find("ann@shop.example");
    CHECK(now->plan == "marketing");
    CHECK(now->version > before->version);
    CHECK(*mode_of(*now, "header_from") == "enforce");
    CHECK(*mode_of(*now, "limits") == "observe");
    CHECK(mode_of(*now, "login_guard") == nullptr);
    CHECK(f.store->show_customer("shop")->accounts == 1);
}

TEST_CASE("customers are listed in order, page by page") {
    Fixture f;
    for (const char* const name : {"c", "a", "b"})
        REQUIRE(f.store->add_customer(name, {}, noon).has_value());
    auto page = f.store->list_customers({}, "", 2);
    REQUIRE(page.has_value());
    REQUIRE(page->items.size() == 2);
    CHECK(page->items[0].name == "a");
    CHECK(page->next == "b");
    page = f.store->list_customers({}, *page->next, 2);
    REQUIRE(page->items.size() == 1);
    CHECK(page->items[0].name == "c");
    CHECK_FALSE(page->next);
    page = f.store->list_customers({"b", "b", "x"}, "", 10);
    REQUIRE(page->items.size() == 1);
    CHECK(page->items[0].name == "b");
}

TEST_CASE("what cannot be is told, and changes nothing") {
    Fixture f;
    REQUIRE(f.store->add_customer("shop", with_domains({"shop.example"}), noon).has_value());
    const auto error_of = [&](const std::string& name, CustomerChange change) {
        return f.store->add_customer(name, std::move(change), noon).error();
    };
    CHECK(error_of("shop", {}) == AuthError::customer_exists);
    CHECK(error_of("a b", {}) == AuthError::invalid_customer);
    CHECK(error_of("", {}) == AuthError::invalid_customer);
    CHECK(error_of(std::string(65, 'x'), {}) == AuthError::invalid_customer);
    CHECK(error_of("other", with_domains({"SHOP.example"})) == AuthError::domain_taken);
    CHECK(error_of("other", with_domains({"no domain"})) == AuthError::invalid_domain);
    CustomerChange change;
    change.contact = "nobody";
    CHECK(error_of("other", change) == AuthError::invalid_contact);
    change = {};
    change.rules = {{"limits", "on"}};
    CHECK(error_of("other", change) == AuthError::invalid_rule);
    CHECK(f.store->show_customer("other").error() == AuthError::customer_not_found);
    CHECK(f.store->set_customer("other", {}).error() == AuthError::customer_not_found);
    CHECK(f.store->remove_customer("other").error() == AuthError::customer_not_found);

    NewAccount ann = account_named("ann@shop.example");
    ann.customer = "shop";
    REQUIRE(f.store->add(ann, noon).has_value());
    CHECK(f.store->remove_customer("shop").error() == AuthError::customer_in_use);
    REQUIRE(f.store->remove("ann@shop.example").has_value());
    CHECK(f.store->remove_customer("shop").has_value());
    // Its domain is free again.
    CHECK(f.store->add_customer("other", with_domains({"shop.example"}), noon).has_value());
}

}  // namespace
}  // namespace postern::auth
