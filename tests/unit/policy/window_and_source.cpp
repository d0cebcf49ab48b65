#include <string>
#include <vector>

#include "policy/rule.hpp"
#include "policy/source.hpp"
#include "policy/window.hpp"
#include "tests/catch.hpp"

using namespace postern::policy;
using std::chrono::seconds;

TEST_CASE("a window is read from its text") {
    struct Row {
        const char* text;
        std::uint64_t amount;
        std::int64_t period;
        const char* written;
    };
    const std::vector<Row> rows{
        {"60/min", 60, 60, "60/min"},
        {"9/10min", 9, 600, "9/10min"},
        {"1000/hour", 1'000, 3'600, "1000/hour"},
        {"5000/day", 5'000, 86'400, "5000/day"},
        {"1GiB/day", 1ULL << 30U, 86'400, "1GiB/day"},
        {" 5 / 30 s ", 5, 30, "5/30s"},
        {"1/week", 1, 604'800, "1/7day"},
        {"512 kib/HOUR", 512ULL << 10U, 3'600, "512KiB/hour"},
        {"1/90s", 1, 90, "1/90s"},
        {"2048/min", 2'048, 60, "2KiB/min"},
        {"1/366day", 1, 366LL * 86'400, "1/366day"},
        {"1024TiB/day", 1ULL << 50U, 86'400, "1024TiB/day"},
    };
    for (const auto& row : rows) {
        INFO(row.text);
        const auto window = parse_window(row.text);
        REQUIRE(window.has_value());
        CHECK(window->amount == row.amount);
        CHECK(window->period == seconds(row.period));
        CHECK(window->text() == row.written);
        CHECK(parse_window(window->text()).value() == *window);
    }
}

TEST_CASE("what is no window is refused with its kind") {
    const std::vector<std::pair<const char*, WindowError>> rows{
        {"", WindowError::syntax},
        {"60", WindowError::syntax},
        {"/min", WindowError::syntax},
        {"60/", WindowError::syntax},
        {"-1/min", WindowError::syntax},
        {"60/fortnight", WindowError::unit},
        {"60KB/min", WindowError::unit},
        {"60/10", WindowError::unit},
        {"0/min", WindowError::range},
        {"1/0min", WindowError::range},
        {"1/367day", WindowError::range},
        {"1025TiB/day", WindowError::range},
        {"99999999999999999999/min", WindowError::syntax},
        {"1/99999999999999999999min", WindowError::range},
        {"60/min/min", WindowError::unit},
        {"1.5/min", WindowError::unit},
    };
    for (const auto& [text, error] : rows) {
        INFO(text);
        const auto window = parse_window(text);
        REQUIRE_FALSE(window.has_value());
        CHECK(window.error() == make_error_code(error));
        CHECK_FALSE(window.error().message().empty());
    }
    CHECK_FALSE(parse_window(std::string(100'000, '9') + "/min").has_value());
}

TEST_CASE("a window's whole amount always fits at once") {
    for (const std::uint64_t amount : {1ULL, 3ULL, 7ULL, 60ULL, 999'983ULL, 1ULL << 50U}) {
        const Window window{amount, seconds(61)};
        CHECK(window.refill_time(amount) <= window.period);
        CHECK(window.refill_time(0) == seconds(0));
    }
    const Window slow{1, seconds(366LL * 86'400)};
    CHECK(slow.refill_time(~0ULL).count() > 0);  // no overflow
}

TEST_CASE("a source is an IPv4 address or an IPv6 network") {
    const std::vector<std::pair<const char*, const char*>> rows{
        {"192.0.2.7", "192.0.2.7"},
        {"::ffff:192.0.2.7", "192.0.2.7"},
        {"2001:DB8:0:1:aaaa::1", "2001:db8:0:1::/64"},
        {"2001:db8:0:1:bbbb::2", "2001:db8:0:1::/64"},
        {"::1", "::/64"},
        {"fe80::1%eth0", "fe80::/64"},
        {"2001:db8:0:1::/64", "2001:db8:0:1::/64"},
        {"No Address", "no address"},
        {"", ""},
    };
    for (const auto& [text, source] : rows) CHECK(canonical_source(text) == source);
    CHECK(canonical_source(std::string(1'000, 'A')).size() == 64);
}

TEST_CASE("rules and modes are read by their names") {
    for (const auto rule : all_rules) CHECK(parse_rule(name(rule)) == rule);
    for (const auto mode : {Mode::enforce, Mode::observe, Mode::off})
        CHECK(parse_mode(name(mode)) == mode);
    CHECK_FALSE(parse_rule("content"));
    CHECK_FALSE(parse_mode("Enforce"));
}

TEST_CASE("a source belongs to a network") {
    CHECK(wide_source("192.0.2.77") == "192.0.2.0/24");
    CHECK(wide_source("2001:db8:1:2::/64") == "2001:db8:1::/48");
    CHECK(wide_source("office") == "office");
}
