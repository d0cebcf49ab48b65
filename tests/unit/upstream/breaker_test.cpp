#include "relay/upstream/breaker.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::Breaker;
using postern::relay::SteadyTime;
using State = Breaker::State;

namespace {

const SteadyTime start{1h};

Breaker opened() {
    Breaker breaker;
    REQUIRE(breaker.trip(start, "535 no"));
    return breaker;
}

}  // namespace

TEST_CASE("a breaker opens at the fifth failure in a row") {
    Breaker breaker;
    for (int i = 0; i < 4; ++i) CHECK_FALSE(breaker.failure(start, "421"));
    CHECK(breaker.allowed(start, 20) == 20);
    CHECK(breaker.failure(start, "421"));
    CHECK(breaker.state() == State::open);
    CHECK(breaker.allowed(start, 20) == 0);
    CHECK(breaker.error() == "421");
}

TEST_CASE("a success between failures starts the row anew") {
    Breaker breaker;
    for (int round = 0; round < 4; ++round) {
        for (int i = 0; i < 2; ++i) CHECK_FALSE(breaker.failure(start, "x"));
        for (int i = 0; i < 3; ++i) breaker.success(start);
    }
    CHECK(breaker.state() == State::closed);
}

TEST_CASE("half of the last twenty failed is enough, however they are spread") {
    Breaker breaker;
    bool open = false;
    for (int i = 0; i < 20 && !open; ++i) {
        if (i % 2 == 0) {
            breaker.success(start);
        } else {
            open = breaker.failure(start, "x");
        }
    }
    CHECK(open);
}

TEST_CASE("an answer to the dot that does not come counts once three messages had none") {
    Breaker breaker;
    for (int i = 0; i < 4; ++i) CHECK_FALSE(breaker.failure(start, "x"));
    CHECK_FALSE(breaker.dot_timeout(start, "A"));
    CHECK_FALSE(breaker.dot_timeout(start, "A"));
    CHECK_FALSE(breaker.dot_timeout(start, "B"));
    CHECK(breaker.dot_timeout(start, "C"));
    CHECK(breaker.state() == State::open);
}

TEST_CASE("an open breaker is probed after five seconds, doubling to a minute") {
    Breaker breaker = opened();
    SteadyTime now = start;
    for (const auto wait : {5s, 10s, 20s, 40s, 60s, 60s}) {
        CHECK_FALSE(breaker.probe_due(now + wait - 1ms));
        now += wait;
        REQUIRE(breaker.probe_due(now));
        CHECK_FALSE(breaker.probed(now, false, "still down"));
        CHECK(breaker.error() == "still down");
    }
}

TEST_CASE("after a good probe one connection may go, doubled each second, until all may") {
    Breaker breaker = opened();
    const SteadyTime good = start + 5s;
    CHECK(breaker.probed(good, true, ""));
    CHECK(breaker.state() == State::half_open);
    const std::pair<std::chrono::milliseconds, int> ramp[] = {{0ms, 1}, {999ms, 1}, {1s, 2},
                                                              {2s, 4},  {3s, 8},    {4s, 16}};
    for (const auto& [after, connections] : ramp)
        CHECK(breaker.allowed(good + after, 20) == connections);
    CHECK(breaker.state() == State::half_open);
    CHECK(breaker.allowed(good + 5s, 20) == 20);
    CHECK(breaker.state() == State::closed);
}

TEST_CASE("a failure on the way back opens it again at once, and the wait goes on doubling") {
    Breaker breaker = opened();
    CHECK(breaker.probed(start + 5s, true, ""));
    CHECK(breaker.failure(start + 6s, "421"));
    CHECK(breaker.state() == State::open);
    CHECK_FALSE(breaker.probe_due(start + 6s + 9s));
    CHECK(breaker.probe_due(start + 6s + 10s));
}

TEST_CASE("a single connection is a whole ramp") {
    Breaker breaker = opened();
    CHECK(breaker.probed(start + 5s, true, ""));
    CHECK(breaker.allowed(start + 5s, 1) == 1);
    CHECK(breaker.allowed(start + 7s, 1) == 1);
    CHECK(breaker.state() == State::closed);
}

TEST_CASE("what comes in after it opened changes nothing") {
    Breaker breaker = opened();
    CHECK_FALSE(breaker.trip(start + 1s, "again"));
    CHECK_FALSE(breaker.failure(start + 1s, "again"));
    CHECK_FALSE(breaker.dot_timeout(start + 1s, "A"));
    CHECK(breaker.probe_at() == start + 5s);
}
