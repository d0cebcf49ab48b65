#include "relay/upstream/control.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::PathControl;
using postern::relay::SteadyTime;

namespace {

const SteadyTime start{1h};

}  // namespace

TEST_CASE("what is set without an end holds until it is undone") {
    PathControl control;
    CHECK_FALSE(control.paused(start));
    control.pause({});
    CHECK(control.paused(start + 1000h));
    CHECK_FALSE(control.ends(start).has_value());
    CHECK_FALSE(control.expire(start + 1000h).pause);
    CHECK(control.resume(start));
    CHECK_FALSE(control.paused(start));
    CHECK_FALSE(control.resume(start));
    CHECK_FALSE(control.demote(start));
}

TEST_CASE("what is set for a while ends by itself, told once") {
    PathControl control;
    control.pause(start + 10s);
    control.promote(start + 5s);
    CHECK(control.ends(start) == start + 5s);
    CHECK(control.promoted(start + 4s));
    CHECK_FALSE(control.promoted(start + 5s));
    CHECK(control.ends(start + 5s) == start + 10s);
    const auto ended = control.expire(start + 6s);
    CHECK(ended.promotion);
    CHECK_FALSE(ended.pause);
    CHECK_FALSE(control.expire(start + 6s).promotion);
    CHECK(control.expire(start + 10s).pause);
    CHECK_FALSE(control.ends(start + 10s).has_value());
}

TEST_CASE("set again, the new end replaces the old one") {
    PathControl control;
    control.pause(start + 10s);
    control.pause(start + 60s);
    CHECK(control.paused(start + 30s));
    control.pause({});
    CHECK(control.paused(start + 1000h));
    control.pause(start + 1s);
    CHECK_FALSE(control.resume(start + 1s));  // it had ended
}
