#include "relay/upstream/send_rate.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::policy::Window;
using postern::relay::SendRate;
using postern::relay::SteadyTime;

namespace {

const SteadyTime start{1h};

int takes(SendRate& rate, SteadyTime now) {
    int n = 0;
    while (n < 10'000 && rate.take(now)) ++n;
    return n;
}

}  // namespace

TEST_CASE("a rate lets a window's whole amount pass at once, then evenly") {
    SendRate rate;
    rate.set({Window{.amount = 60, .period = 60s}});
    CHECK(rate.room(start, 1000) == 60);
    CHECK(rate.room(start, 7) == 7);
    CHECK(takes(rate, start) == 60);
    CHECK(rate.room(start, 1000) == 0);
    CHECK(rate.wait(start) == 1s);
    CHECK_FALSE(rate.take(start + 999ms));
    CHECK(rate.wait(start + 999ms) == 1ms);
    CHECK(rate.take(start + 1s));
    CHECK(takes(rate, start + 31s) == 30);
    CHECK(takes(rate, start + 1h) == 60);
}

TEST_CASE("the narrowest of several windows holds") {
    SendRate rate;
    rate.set({Window{.amount = 10, .period = 1s}, Window{.amount = 15, .period = 3600s}});
    CHECK(takes(rate, start) == 10);
    CHECK(takes(rate, start + 1s) == 5);
    CHECK(rate.wait(start + 1s) > 200s);
    CHECK(rate.room(start + 1s, 100) == 0);
}

TEST_CASE("without a window nothing waits") {
    SendRate rate;
    CHECK(rate.wait(start) == 0ns);
    CHECK(rate.room(start, 5) == 5);
    CHECK(takes(rate, start) == 10'000);
}

TEST_CASE("a window that stays goes on as it was, a new one starts full") {
    SendRate rate;
    const Window minute{.amount = 60, .period = 60s};
    rate.set({minute});
    CHECK(takes(rate, start) == 60);
    rate.set({Window{.amount = 5, .period = 1s}, minute});
    CHECK(takes(rate, start) == 0);
    rate.set({Window{.amount = 30, .period = 60s}});
    CHECK(takes(rate, start) == 30);
    rate.set({});
    CHECK(rate.take(start));
}

TEST_CASE("windows of any size are counted") {
    SendRate rate;
    rate.set({Window{.amount = std::uint64_t{1} << 50U, .period = 1s}});
    CHECK(takes(rate, start) == 10'000);
}
