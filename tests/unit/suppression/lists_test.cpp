#include "relay/suppression/lists.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::suppression;
using namespace std::chrono_literals;

namespace {

const WallTime now{1'772'452'800s};
const Owner shop{.customer = "shop", .account = "ann@example.net"};
const Owner bea{.customer = {}, .account = "bea@example.net"};

/// Lists over a store of its own, with Ann at the customer shop and Bea at none; what is to be
/// done later waits in `work`.
struct Desk {
    std::filesystem::path folder;
    std::unique_ptr<auth::AccountStore> store;
    std::chrono::milliseconds suppress_for = 24h * 30;
    std::vector<std::function<void()>> work;
    std::vector<std::string> troubles;
    std::unique_ptr<Lists> lists;

    explicit Desk(Index::Bounds bounds = {}) {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "postern-lists-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        folder = pattern;
        open(bounds);
        REQUIRE(store->add_customer("shop", {}, now).has_value());
        auth::NewAccount account;
        account.name = "ann@example.net";
        account.customer = "shop";
        REQUIRE(store->add(account, now).has_value());
        account.name = "bea@example.net";
        account.customer = "";
        REQUIRE(store->add(account, now).has_value());
    }
    ~Desk() {
        lists.reset();
        store.reset();
        std::error_code error;
        std::filesystem::remove_all(folder, error);
    }
    Desk(const Desk&) = delete;
    Desk& operator=(const Desk&) = delete;

    void open(Index::Bounds bounds = {}) {
        auth::StoreSettings settings;
        settings.path = folder / "accounts.db";
        auto opened = auth::AccountStore::open(std::move(settings));
        REQUIRE(opened.has_value());
        store = std::move(*opened);
        lists = std::make_unique<Lists>(
            *store,
            Lists::Ports{
                .suppress_for = [this] { return suppress_for; },
                .later = [this](std::function<void()> what) { work.push_back(std::move(what)); },
                .trouble = [this](std::string text) { troubles.push_back(std::move(text)); }},
            7, bounds);
        REQUIRE(lists->load(now).has_value());
    }
    void restart() {
        lists->flush();
        work.clear();
        lists.reset();
        store.reset();
        open();
    }
    [[nodiscard]] std::vector<auth::SuppressedRow> rows(auth::SuppressedFilter filter = {}) {
        const auto page = lists->list(filter, "", 1000, now);
        REQUIRE(page.has_value());
        return page->items;
    }
};

}  // namespace

TEST_CASE("a bounce holds at once, is written behind, and holds after a restart") {
    Desk desk;
    desk.lists->bounced(shop, "Bob@Example.org", "5.1.1", "01REF", now);
    REQUIRE(desk.work.size() == 1);
    const auto found = desk.lists->find(shop, "bob@EXAMPLE.org", now);
    REQUIRE(found);
    CHECK(found->since == now);
    CHECK(found->enhanced == "5.1.1");
    CHECK_FALSE(desk.lists->find(bea, "bob@example.org", now));
    // What comes while that waits asks for nothing more.
    desk.lists->bounced(bea, "eve@example.org", "5.2.1", "01REF2", now);
    CHECK(desk.work.size() == 1);
    desk.work.front()();
    const auto rows = desk.rows();
    REQUIRE(rows.size() == 2);
    const auto& bob = rows[rows[0].rcpt == "bob@example.org" ? 0 : 1];
    CHECK(bob.owner.customer == "shop");
    CHECK(bob.owner.account.empty());
    CHECK(bob.rcpt == "bob@example.org");
    CHECK(bob.since == now);
    CHECK(bob.until == now + 24h * 30);
    CHECK(bob.enhanced == "5.1.1");
    CHECK(bob.ref == "01REF");
    desk.restart();
    CHECK(desk.lists->find(shop, "bob@example.org", now));
    CHECK(desk.lists->find(bea, "eve@example.org", now));
    CHECK_FALSE(desk.lists->find(shop, "bob@example.org", now + 24h * 31));
    CHECK(desk.troubles.empty());
}

TEST_CASE("what is no bounce of a recipient puts nobody on a list") {
    Desk desk;
    desk.lists->bounced(shop, "bob@example.org", "5.7.1", "01REF", now);
    desk.lists->bounced(shop, "bob@example.org", "4.1.1", "01REF", now);
    desk.lists->bounced(shop, "bob@example.org", "", "01REF", now);
    desk.lists->bounced(shop, "postmaster", "5.1.1", "01REF", now);
    desk.lists->bounced(shop, "not an address", "5.1.1", "01REF", now);
    desk.lists->bounced({}, "bob@example.org", "5.1.1", "01REF", now);
    CHECK(desk.work.empty());
    CHECK(desk.lists->size() == 0);
}

TEST_CASE("switched off, bounces put nobody there and hold nobody; by hand holds") {
    Desk desk;
    desk.lists->bounced(shop, "bob@example.org", "5.1.1", "01REF", now);
    REQUIRE(desk.lists->add(shop, "eve@example.org", now).has_value());
    desk.suppress_for = 0ms;
    desk.lists->bounced(shop, "sam@example.org", "5.1.1", "01REF", now);
    CHECK_FALSE(desk.lists->find(shop, "bob@example.org", now));
    CHECK_FALSE(desk.lists->find(shop, "sam@example.org", now));
    CHECK(desk.lists->find(shop, "eve@example.org", now));
    desk.suppress_for = 1h;
    CHECK(desk.lists->find(shop, "bob@example.org", now));
    CHECK_FALSE(desk.lists->find(shop, "sam@example.org", now));
}

TEST_CASE("by hand holds until it is removed, whatever bounces, and over a restart") {
    Desk desk;
    const auto added = desk.lists->add(bea, "bob@example.org", now);
    REQUIRE(added.has_value());
    CHECK_FALSE(added->until);
    desk.lists->bounced(bea, "bob@example.org", "5.1.1", "01REF", now + 1h);
    desk.restart();
    CHECK(desk.lists->find(bea, "bob@example.org", now + 24h * 365));
    const auto rows = desk.rows();
    REQUIRE(rows.size() == 1);
    CHECK_FALSE(rows[0].until);
    CHECK(rows[0].enhanced.empty());
    CHECK(rows[0].ref.empty());
    CHECK(desk.lists->remove(bea, "bob@example.org").value() == 1);
    CHECK(desk.lists->remove(bea, "bob@example.org").value() == 0);
    CHECK_FALSE(desk.lists->find(bea, "bob@example.org", now));
    desk.restart();
    CHECK_FALSE(desk.lists->find(bea, "bob@example.org", now));
    CHECK(desk.lists->add({.customer = "gone", .account = {}}, "x@example.org", now).error() ==
          auth::AuthError::customer_not_found);
    CHECK(desk.lists->add({.customer = {}, .account = "gone@example.net"}, "x@example.org", now)
              .error() == auth::AuthError::not_found);
}

TEST_CASE("what waits to be written is removed with the rest") {
    Desk desk;
    desk.lists->bounced(shop, "bob@example.org", "5.1.1", "01REF", now);
    desk.lists->bounced(shop, "eve@example.org", "5.1.1", "01REF", now);
    desk.lists->bounced(bea, "bob@example.org", "5.1.1", "01REF", now);
    CHECK(desk.lists->remove(shop, "bob@example.org").value() == 1);
    CHECK(desk.lists->find(bea, "bob@example.org", now));
    CHECK(desk.lists->remove(shop, std::nullopt).value() == 1);
    CHECK_FALSE(desk.lists->find(shop, "eve@example.org", now));
    desk.restart();
    CHECK(desk.rows().size() == 1);
    CHECK(desk.lists->size() == 1);
}

TEST_CASE("the list of a removed owner goes, and a new one of that name has none") {
    Desk desk;
    desk.lists->bounced(bea, "bob@example.org", "5.1.1", "01REF", now);
    desk.lists->bounced(shop, "bob@example.org", "5.1.1", "01REF", now);
    desk.lists->flush();
    const auto token = desk.store->subscribe([&](std::string_view account, auth::Change change) {
        if (change == auth::Change::removed)
            desk.lists->forget({.customer = {}, .account = std::string(account)});
    });
    REQUIRE(desk.store->remove("bea@example.net").has_value());
    // Written after its owner went.
    desk.lists->bounced(bea, "late@example.org", "5.1.1", "01REF", now);
    desk.lists->flush();
    CHECK_FALSE(desk.lists->find(bea, "bob@example.org", now));
    REQUIRE(desk.rows().size() == 1);
    auth::NewAccount account;
    account.name = "bea@example.net";
    REQUIRE(desk.store->add(account, now).has_value());
    CHECK_FALSE(desk.lists->find(bea, "bob@example.org", now));
    desk.restart();
    CHECK_FALSE(desk.lists->find(bea, "bob@example.org", now));
    CHECK_FALSE(desk.lists->find(bea, "late@example.org", now));
    CHECK(desk.lists->find(shop, "bob@example.org", now));
}

TEST_CASE("what has expired leaves the store and the memory") {
    Desk desk;
    desk.lists->bounced(shop, "bob@example.org", "5.1.1", "01REF", now);
    REQUIRE(desk.lists->add(shop, "eve@example.org", now).has_value());
    for (int part = 0; part < 16; ++part) desk.lists->tend(now + 24h * 31);
    CHECK(desk.lists->size() == 1);
    const auto rows = desk.rows();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].rcpt == "eve@example.org");
    CHECK(desk.troubles.empty());
}

TEST_CASE("a list that is full says so once, and hands nothing on to the store") {
    Desk desk({.entries = 2, .of_owner = 2'000});
    for (int i = 0; i < 5; ++i) {
        desk.lists->bounced(shop, "u" + std::to_string(i) + "@example.org", "5.1.1", "01REF", now);
    }
    CHECK(desk.lists->dropped() == 3);
    CHECK(desk.rows().size() == 2);
    CHECK_FALSE(desk.lists->add(shop, "eve@example.org", now).has_value());
    CHECK(desk.rows().size() == 2);
    desk.lists->tend(now);
    desk.lists->tend(now);
    CHECK(desk.troubles.size() == 1);
}

TEST_CASE("lists are shown by owner, recipient and domain, page by page") {
    Desk desk;
    for (const char* const rcpt : {"a@one.example", "b@one.example", "c@two.example"}) {
        REQUIRE(desk.lists->add(shop, rcpt, now).has_value());
        REQUIRE(desk.lists->add(bea, rcpt, now).has_value());
    }
    struct Row {
        auth::SuppressedFilter filter;
        std::size_t count;
    };
    const Row rows[] = {
        {{}, 6},
        {{.customers = {"shop"}, .accounts = {}, .rcpts = {}}, 3},
        {{.customers = {}, .accounts = {"bea@example.net"}, .rcpts = {}}, 3},
        {{.customers = {"shop"}, .accounts = {"bea@example.net"}, .rcpts = {}}, 6},
        {{.customers = {"none"}, .accounts = {}, .rcpts = {}}, 0},
        {{.customers = {}, .accounts = {}, .rcpts = {"a@one.example"}}, 2},
        {{.customers = {}, .accounts = {}, .rcpts = {"@one.example"}}, 4},
        {{.customers = {"shop"}, .accounts = {}, .rcpts = {"@one.example", "c@two.example"}}, 3},
        {{.customers = {"shop"}, .accounts = {}, .rcpts = {"@example"}}, 0},
    };
    for (const Row& row : rows) CHECK(desk.rows(row.filter).size() == row.count);
    std::string cursor;
    std::vector<std::string> seen;
    for (int page = 0; page < 3; ++page) {
        const auto part = desk.lists->list({}, cursor, 2, now);
        REQUIRE(part.has_value());
        for (const auto& row : part->items)
            seen.push_back(row.owner.customer + row.owner.account + row.rcpt);
        REQUIRE(part->next.has_value() == (page < 2));
        cursor = part->next.value_or("");
    }
    std::ranges::sort(seen);
    CHECK(seen.size() == 6);
    CHECK(std::ranges::adjacent_find(seen) == seen.end());
}
