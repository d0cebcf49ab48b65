#include "relay/upstream/traffic.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::Traffic;
using postern::relay::WallTime;

namespace {

const WallTime midnight{std::chrono::sys_days(std::chrono::year(2026) / 3 / 2)};

void count(Traffic& traffic, const char* upstream, int mails, WallTime at) {
    for (int i = 0; i < mails; ++i) traffic.count(upstream, at);
}

}  // namespace

TEST_CASE("mail is counted by the day and by upstream") {
    Traffic traffic(midnight);
    count(traffic, "primary", 90, midnight + 6h);
    count(traffic, "standby", 10, midnight + 6h);
    const auto today = traffic.today("standby", midnight + 12h);
    CHECK(today.mail == 100);
    CHECK(today.by_upstream == 10);
    CHECK(today.share() == 0.1);
    CHECK(today.elapsed == 0.5);
    CHECK(today.began == 0.0);
    CHECK(today.yesterday == 0);
    CHECK(traffic.today("other", midnight + 12h).share() == 0.0);
    CHECK_FALSE(traffic.ended(midnight + 23h).has_value());
}

TEST_CASE("a day that is over is told once, and is what the next one is measured by") {
    Traffic traffic(midnight);
    count(traffic, "primary", 50, midnight + 6h);
    const auto over = traffic.ended(midnight + 24h);
    REQUIRE(over.has_value());
    CHECK(over->mail == 50);
    CHECK(over->began == 0.0);
    CHECK(over->by_upstream.at("primary") == 50);
    CHECK_FALSE(traffic.ended(midnight + 24h).has_value());
    const auto today = traffic.today("primary", midnight + 25h);
    CHECK(today.mail == 0);
    CHECK(today.yesterday == 50);
    CHECK(today.usual == 0.0);
    // By half past six half of what came between six and seven.
    CHECK(traffic.today("primary", midnight + 30h + 30min).usual == 0.5);
    CHECK(traffic.today("primary", midnight + 31h).usual == 1.0);
    CHECK(today.share() == 0.0);
}

TEST_CASE("a day that was not counted whole is no measure") {
    Traffic traffic(midnight + 18h);
    count(traffic, "primary", 50, midnight + 19h);
    CHECK(traffic.today("primary", midnight + 19h).began == 0.75);
    const auto over = traffic.ended(midnight + 24h);
    REQUIRE(over.has_value());
    CHECK(over->began == 0.75);
    CHECK(traffic.today("primary", midnight + 25h).yesterday == 0);
}

TEST_CASE("a clock that jumps over days starts counting anew") {
    Traffic traffic(midnight);
    count(traffic, "primary", 50, midnight + 6h);
    CHECK_FALSE(traffic.ended(midnight + 24h * 5 + 12h).has_value());
    const auto today = traffic.today("primary", midnight + 24h * 5 + 12h);
    CHECK(today.mail == 0);
    CHECK(today.yesterday == 0);
    CHECK(today.began == 0.5);
    // Backwards, too.
    CHECK_FALSE(traffic.ended(midnight + 6h).has_value());
    CHECK(traffic.today("primary", midnight + 6h).began == 0.25);
}
