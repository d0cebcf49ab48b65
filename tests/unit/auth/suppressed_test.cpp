#include "auth/suppressed.hpp"

#include <sqlite3.h>

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

const ListOwner ann{.customer = {}, .account = "ann@example.net"};

SuppressedRow bounce_of(const ListOwner& owner, std::string rcpt, Time since = noon) {
    return {.owner = owner,
            .rcpt = std::move(rcpt),
            .since = since,
            .until = since + 24h,
            .enhanced = "5.1.1",
            .ref = "01REF"};
}

std::vector<SuppressedRow> all_rows(AccountStore& store, Time now = noon) {
    std::vector<SuppressedRow> out;
    REQUIRE(store.visit_suppressed(now, [&](const SuppressedRow& row) { out.push_back(row); })
                .has_value());
    return out;
}

TEST_CASE("a file of the schema before gets its lists, with what is in it") {
    const Scratch scratch;
    const auto path = scratch / "accounts.db";
    REQUIRE(open_store(settings_at(path))->add(account_named("ann@example.net"), noon).has_value());
    {
        sqlite3* old = nullptr;
        REQUIRE(sqlite3_open(path.c_str(), &old) == SQLITE_OK);
        CHECK(sqlite3_exec(old, "DROP TABLE suppression; PRAGMA user_version = 4", nullptr, nullptr,
                           nullptr) == SQLITE_OK);
        sqlite3_close(old);
    }
    const auto store = open_store(settings_at(path));
    CHECK(store->find("ann@example.net").has_value());
    const SuppressedRow row = bounce_of(ann, "bob@example.org");
    REQUIRE(store->note_suppressed(std::span(&row, 1)).has_value());
    CHECK(all_rows(*store).size() == 1);
}

TEST_CASE("rows are kept, renewed, and let expire") {
    const Scratch scratch;
    const auto store = open_store(settings_at(scratch / "accounts.db"));
    REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    const std::vector<SuppressedRow> rows = {
        bounce_of(ann, "bob@example.org"), bounce_of(ann, "eve@example.org", noon + 1h),
        bounce_of({.customer = "nobody", .account = {}}, "x@example.org")};
    REQUIRE(store->note_suppressed(rows).has_value());
    auto there = all_rows(*store);
    REQUIRE(there.size() == 2);
    CHECK(there[0].owner.account == "ann@example.net");
    CHECK(there[0].rcpt == "bob@example.org");
    CHECK(there[0].since == noon);
    CHECK(there[0].until == noon + 24h);
    CHECK(there[0].enhanced == "5.1.1");
    CHECK(there[0].ref == "01REF");
    CHECK(all_rows(*store, noon + 24h).size() == 1);

    auto again = bounce_of(ann, "bob@example.org", noon + 12h);
    REQUIRE(store->note_suppressed(std::span(&again, 1)).has_value());
    CHECK(all_rows(*store, noon + 25h).size() == 1);
    CHECK(store->expire_suppressed(noon + 24h, 10).value() == 0);
    CHECK(store->expire_suppressed(noon + 48h, 1).value() == 1);
    CHECK(store->expire_suppressed(noon + 48h, 10).value() == 1);
    CHECK(all_rows(*store).empty());
}

TEST_CASE("one put there by hand takes the place of a bounce, and no bounce takes its") {
    const Scratch scratch;
    const auto store = open_store(settings_at(scratch / "accounts.db"));
    REQUIRE(store->add_customer("shop", {}, noon).has_value());
    const ListOwner shop{.customer = "shop", .account = {}};
    const auto bounced = bounce_of(shop, "bob@example.org");
    REQUIRE(store->note_suppressed(std::span(&bounced, 1)).has_value());
    SuppressedRow hand = bounced;
    hand.until.reset();
    hand.enhanced.clear();
    REQUIRE(store->suppress(hand).has_value());
    REQUIRE(store->note_suppressed(std::span(&bounced, 1)).has_value());
    const auto there = all_rows(*store, noon + 24h * 365);
    REQUIRE(there.size() == 1);
    CHECK(there[0].owner.customer == "shop");
    CHECK(there[0].owner.account.empty());
    CHECK_FALSE(there[0].until);
    CHECK(store->unsuppress(shop, "eve@example.org").value() == 0);
    CHECK(store->unsuppress(shop, "bob@example.org").value() == 1);
    CHECK(store->unsuppress(ann, std::nullopt).error() == AuthError::not_found);
    hand.owner = ann;
    CHECK(store->suppress(hand).error() == AuthError::not_found);
}

TEST_CASE("lists go with their owners") {
    const Scratch scratch;
    const auto store = open_store(settings_at(scratch / "accounts.db"));
    REQUIRE(store->add(account_named("ann@example.net"), noon).has_value());
    REQUIRE(store->add_customer("shop", {}, noon).has_value());
    const std::vector<SuppressedRow> rows = {
        bounce_of(ann, "bob@example.org"),
        bounce_of({.customer = "shop", .account = {}}, "bob@example.org")};
    REQUIRE(store->note_suppressed(rows).has_value());
    REQUIRE(store->remove("ann@example.net").has_value());
    CHECK(all_rows(*store).size() == 1);
    REQUIRE(store->remove_customer("shop").has_value());
    CHECK(all_rows(*store).empty());
}

}  // namespace
}  // namespace postern::auth
