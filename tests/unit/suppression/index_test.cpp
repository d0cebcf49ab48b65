#include "relay/suppression/index.hpp"

#include "tests/catch.hpp"

using namespace postern::relay::suppression;
using namespace std::chrono_literals;

namespace {

const WallTime noon{1'772'452'800s};
const Owner shop{.customer = "shop", .account = "ann@example.net"};
const Owner ann{.customer = {}, .account = "ann@example.net"};

Suppressed bounce(WallTime since, std::chrono::seconds lasts, std::string enhanced = "5.1.1") {
    return {
        .since = since, .until = since + lasts, .enhanced = std::move(enhanced), .ref = "01REF"};
}

Suppressed by_hand(WallTime since) {
    return {.since = since, .until = std::nullopt, .enhanced = {}, .ref = {}};
}

Index::Put put(Index& index, const Owner& owner, std::string_view rcpt, Suppressed what,
               WallTime now) {
    return index.put(key_of(owner, rcpt), what, now);
}

}  // namespace

TEST_CASE("recipients are compared by A-labels and folded local parts") {
    struct Row {
        const char* written;
        const char* normalised;
    };
    const Row rows[] = {
        {"bob@example.org", "bob@example.org"},
        {"Bob@EXAMPLE.org", "bob@example.org"},
        {"\"bob\"@example.org", "bob@example.org"},
        {"bob+news@example.org", "bob+news@example.org"},
        {"bob@b\xc3\xbc"
         "cher.example",
         "bob@xn--bcher-kva.example"},
        {"bob@[192.0.2.1]", "bob@[192.0.2.1]"},
        {"postmaster", ""},
        {"bob@", ""},
        {"bob@example.org>", ""},
        {"bob@\xff.example", ""},
        {"", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.written);
        CHECK(normalised_rcpt(row.written) == row.normalised);
    }
}

TEST_CASE("which codes say that a recipient does not exist") {
    for (const char* const hard : {"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"})
        CHECK(is_hard_bounce(hard));
    for (const char* const other :
         {"", "5.0.0", "5.1.0", "5.1.8", "5.2.2", "5.7.1", "4.1.1", "5.1.1 ", "5.1.11", "2.1.5"})
        CHECK_FALSE(is_hard_bounce(other));
}

TEST_CASE("a list is one owner's, and a customer's is no account's") {
    Index index({}, 7);
    REQUIRE(put(index, shop, "bob@example.org", bounce(noon, 24h), noon) == Index::Put::added);
    CHECK(index.find(key_of(shop, "bob@example.org"), noon));
    // Another account of the customer.
    CHECK(index.find(key_of({.customer = "shop", .account = "eve@example.net"}, "bob@example.org"),
                     noon));
    CHECK_FALSE(index.find(key_of(ann, "bob@example.org"), noon));
    CHECK_FALSE(index.find(key_of({.customer = {}, .account = "shop"}, "bob@example.org"), noon));
    CHECK_FALSE(index.find(key_of({.customer = "other", .account = {}}, "bob@example.org"), noon));
    CHECK_FALSE(index.find(key_of(shop, "rob@example.org"), noon));
    CHECK(index.size() == 1);
}

TEST_CASE("an entry keeps what it was put there with, in whole seconds") {
    Index index({}, 7);
    REQUIRE(put(index, ann, "bob@example.org", bounce(noon + 300ms, 1h, "5.1.10"), noon) ==
            Index::Put::added);
    const auto found = index.find(key_of(ann, "bob@example.org"), noon);
    REQUIRE(found);
    CHECK(found->since == noon);
    CHECK(found->enhanced == "5.1.10");
    REQUIRE(found->until);
    CHECK(*found->until == noon + 1h + 1s);
    REQUIRE(put(index, ann, "eve@example.org", by_hand(noon), noon) == Index::Put::added);
    const auto hand = index.find(key_of(ann, "eve@example.org"), noon + 24h * 10'000);
    REQUIRE(hand);
    CHECK_FALSE(hand->until);
    CHECK(hand->enhanced.empty());
}

TEST_CASE("an entry is gone once its time is over, and its place is given back") {
    Index index({}, 7);
    for (int i = 0; i < 1'000; ++i)
        put(index, ann, "u" + std::to_string(i) + "@example.org", bounce(noon, 1h), noon);
    put(index, ann, "stays@example.org", by_hand(noon), noon);
    CHECK(index.find(key_of(ann, "u1@example.org"), noon + 1h));
    CHECK_FALSE(index.find(key_of(ann, "u1@example.org"), noon + 1h + 1s));
    for (int part = 0; part < 16; ++part) index.sweep(noon + 2h);
    CHECK(index.size() == 1);
    CHECK(index.find(key_of(ann, "stays@example.org"), noon + 2h));
    // It may bounce again, and its time begins anew.
    CHECK(put(index, ann, "u1@example.org", bounce(noon + 2h, 1h), noon + 2h) == Index::Put::added);
    CHECK(index.find(key_of(ann, "u1@example.org"), noon + 2h)->since == noon + 2h);
}

TEST_CASE("another bounce prolongs and keeps the first date; one by hand is not changed") {
    Index index({}, 7);
    put(index, ann, "bob@example.org", bounce(noon, 1h), noon);
    Suppressed again = bounce(noon + 30min, 1h, "5.1.2");
    CHECK(index.put(key_of(ann, "bob@example.org"), again, noon + 30min) == Index::Put::renewed);
    CHECK(again.since == noon);
    const auto found = index.find(key_of(ann, "bob@example.org"), noon + 80min);
    REQUIRE(found);
    CHECK(found->since == noon);
    CHECK(found->enhanced == "5.1.2");

    CHECK(put(index, ann, "bob@example.org", by_hand(noon + 40min), noon + 40min) ==
          Index::Put::renewed);
    CHECK(put(index, ann, "bob@example.org", bounce(noon + 50min, 1h), noon + 50min) ==
          Index::Put::kept);
    CHECK_FALSE(index.find(key_of(ann, "bob@example.org"), noon + 24h)->until);
    CHECK(index.size() == 1);
}

TEST_CASE("one recipient, or a whole owner, is taken out and nothing else") {
    Index index({}, 7);
    for (int i = 0; i < 300; ++i) {
        const std::string rcpt = "u" + std::to_string(i) + "@example.org";
        put(index, ann, rcpt, bounce(noon, 1h), noon);
        put(index, shop, rcpt, bounce(noon, 1h), noon);
    }
    index.erase(key_of(ann, "u7@example.org"));
    index.erase(key_of(ann, "nobody@example.org"));
    CHECK(index.size() == 599);
    CHECK_FALSE(index.find(key_of(ann, "u7@example.org"), noon));
    CHECK(index.find(key_of(shop, "u7@example.org"), noon));
    index.erase_owner(owner_key(ann));
    CHECK(index.size() == 300);
    CHECK_FALSE(index.find(key_of(ann, "u8@example.org"), noon));
    CHECK(index.find(key_of(shop, "u8@example.org"), noon));
}

TEST_CASE("it is bounded, and one owner cannot take all of it") {
    Index index({.entries = 4'000, .of_owner = 1'000}, 7);
    std::size_t full = 0;
    for (int i = 0; i < 10'000; ++i) {
        const auto said =
            put(index, ann, "u" + std::to_string(i) + "@example.org", bounce(noon, 1h), noon);
        full += said == Index::Put::full ? 1U : 0U;
    }
    CHECK(full > 8'000);
    CHECK(index.size() == 10'000 - full);
    CHECK(put(index, shop, "bob@example.org", bounce(noon, 1h), noon) == Index::Put::added);
    // Who is there stays there.
    CHECK(index.find(key_of(ann, "u0@example.org"), noon));
    for (int owner = 0; owner < 100; ++owner) {
        for (int i = 0; i < 100; ++i) {
            put(index, {.customer = "c" + std::to_string(owner), .account = {}},
                "u" + std::to_string(i) + "@example.org", bounce(noon, 1h), noon);
        }
    }
    CHECK(index.size() == 4'000);
    CHECK(put(index, shop, "eve@example.org", bounce(noon, 1h), noon) == Index::Put::full);
    // What has expired makes room.
    for (int part = 0; part < 16; ++part) index.sweep(noon + 2h);
    CHECK(index.size() == 0);
    CHECK(put(index, shop, "eve@example.org", bounce(noon + 2h, 1h), noon + 2h) ==
          Index::Put::added);
}

TEST_CASE("an entry takes at most a hundred octets") {
    Index index({}, 7);
    constexpr int many = 100'000;
    for (int i = 0; i < many; ++i)
        put(index, ann, "u" + std::to_string(i) + "@example.org", bounce(noon, 1h), noon);
    REQUIRE(index.size() == many);
    CHECK(index.octets() <= std::size_t{100} * many);
}
