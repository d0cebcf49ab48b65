#include "relay/upstream/adaptive_limit.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::AdaptiveLimit;
using postern::relay::SteadyTime;

namespace {

const SteadyTime start{1h};

/// Messages that go through until it is one larger.
int until_larger(AdaptiveLimit& limit, SteadyTime now) {
    for (int n = 1; n <= 1000; ++n) {
        if (limit.went_well(now)) return n;
    }
    return -1;
}

}  // namespace

TEST_CASE("an upstream that asks for less gets half of the connections it has") {
    AdaptiveLimit limit(20);
    CHECK(limit.now() == 20);
    limit.asked_for_less(start, 12);
    CHECK(limit.now() == 6);
    // The replies of one moment are one word.
    limit.asked_for_less(start + 900ms, 12);
    CHECK(limit.now() == 6);
    limit.asked_for_less(start + 1s, 6);
    CHECK(limit.now() == 3);
    limit.asked_for_less(start + 2s, 3);
    limit.asked_for_less(start + 3s, 1);
    limit.asked_for_less(start + 4s, 1);
    CHECK(limit.now() == 1);
}

TEST_CASE("it grows back by one for as many messages as it has connections") {
    AdaptiveLimit limit(4);
    limit.asked_for_less(start, 2);
    CHECK(limit.now() == 1);
    CHECK(until_larger(limit, start + 1s) == -1);  // too soon
    limit.asked_for_less(start + 10s, 1);
    const SteadyTime later = start + 20s;
    CHECK(until_larger(limit, later) == 1);
    CHECK(until_larger(limit, later) == 2);
    CHECK(until_larger(limit, later) == 3);
    CHECK(limit.now() == 4);
    CHECK(until_larger(limit, later) == -1);
    CHECK(limit.now() == 4);
}

TEST_CASE("without a word of the upstream it stays what is configured") {
    AdaptiveLimit limit(0);
    CHECK(limit.now() == 1);
    CHECK_FALSE(limit.went_well(start));
}
