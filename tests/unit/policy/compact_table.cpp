#include "policy/compact_table.hpp"

#include <random>
#include <string>
#include <unordered_map>

#include "policy/source_key.hpp"
#include "tests/catch.hpp"

using namespace postern::policy;

namespace {

struct Slot {
    std::uint64_t key = 0;
    std::int64_t value = 0;
    std::string text;
};

}  // namespace

TEST_CASE("a compact table is a map, whatever is put in and taken out") {
    CompactTable<Slot> table(1'000, 7);
    std::unordered_map<std::uint64_t, std::int64_t> model;
    std::mt19937_64 random(3);
    const auto worth = [](const Slot&) { return std::int64_t{1}; };
    for (int i = 0; i < 50'000; ++i) {
        const std::uint64_t key = 1 + random() % 900;
        if (random() % 3 == 0) {
            table.erase(key);
            model.erase(key);
        } else {
            Slot& slot = table.get(key, worth);
            slot.value = i;
            slot.text = std::to_string(i);
            model[key] = i;
        }
        REQUIRE(table.size() == model.size());
    }
    for (std::uint64_t key = 1; key <= 900; ++key) {
        const Slot* const slot = table.find(key);
        const auto expected = model.find(key);
        REQUIRE((slot != nullptr) == (expected != model.end()));
        if (slot != nullptr) CHECK(slot->text == std::to_string(expected->second));
    }
    std::size_t seen = 0;
    table.for_each([&seen](const Slot&) { ++seen; });
    CHECK(seen == model.size());
}

TEST_CASE("a full table forgets the least worthy of those it looks at, and tells of each") {
    CompactTable<Slot> table(100, 1);
    std::size_t forgotten = 0;
    const auto worth = [](const Slot& s) { return s.value; };
    const auto forget = [&forgotten](Slot&) { ++forgotten; };
    table.get(1, worth, forget).value = 1'000'000;
    for (std::uint64_t key = 2; key < 10'000; ++key)
        table.get(key, worth, forget).value = static_cast<std::int64_t>(1 + key % 7);
    CHECK(table.size() == 100);
    CHECK(forgotten == 9'999 - 100);
    REQUIRE(table.find(1) != nullptr);
    CHECK(table.find(1)->value == 1'000'000);
    CHECK(table.octets() <= 117 * sizeof(Slot));

    CompactTable<Slot> worthless(100, 1);
    for (std::uint64_t key = 1; key < 1'000; ++key) (void)worthless.get(key, worth);
    CHECK(worthless.size() <= 30);
    CompactTable<Slot> tiny(0, 1);
    for (std::uint64_t key = 1; key < 100; ++key) tiny.get(key, worth).value = 5;
    CHECK(tiny.size() == 1);
}

TEST_CASE("a source fits eight octets and comes back from them") {
    for (const char* text : {"192.0.2.7", "0.0.0.0", "255.255.255.255", "2001:db8:0:1::/64",
                             "::/64", "fe80::/64", "ffff:ffff:ffff:ffff::/64"}) {
        INFO(text);
        const auto key = source_key(text);
        CHECK(key != 0);
        CHECK(source_text(key) == text);
        CHECK(parse_source(text) == key);
    }
    CHECK(source_key("::ffff:192.0.2.7") == source_key("192.0.2.7"));
    CHECK(source_key("2001:db8:0:1::9") == source_key("2001:db8:0:1::/64"));
    CHECK(source_key("office") != source_key("home"));
    CHECK(source_text(source_key("office")).empty());
    CHECK_FALSE(parse_source("office"));
    CHECK_FALSE(parse_source(""));
    CHECK_FALSE(parse_source("192.0.2.7/24"));
    CHECK_FALSE(parse_source(std::string(1'000, '1')));
}

TEST_CASE("a network is that around a source") {
    CHECK(network_text(network_key(source_key("192.0.2.77"))) == "192.0.2.0/24");
    CHECK(network_text(network_key(source_key("2001:db8:1:2::/64"))) == "2001:db8:1::/48");
    CHECK(network_key(source_key("office")) == 0);
    CHECK(network_key(source_key("::1")) == 0);
    CHECK(parse_network("192.0.2.77/24") == network_key(source_key("192.0.2.1")));
    CHECK(parse_network("2001:db8:1::/48") == network_key(source_key("2001:db8:1:9::/64")));
    for (const char* text : {"192.0.2.0", "192.0.2.0/25", "192.0.2.0/48", "2001:db8::/24", "/24",
                             "2001:db8::/64", "2001:db8::/64/48", "x/24", ""}) {
        INFO(text);
        CHECK_FALSE(parse_network(text));
    }
    CHECK(place_in_network(source_key("192.0.2.77")) == 77);
}
