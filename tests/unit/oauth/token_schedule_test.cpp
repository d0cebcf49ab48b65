#include "relay/oauth/token_schedule.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::oauth::TokenSchedule;

namespace {

using Asked = TokenSchedule::Wanted;
using Failure = TokenSchedule::Failure;

const TokenSchedule::time began_at{100h};

TokenSchedule with_token(std::chrono::seconds life = 3600s) {
    TokenSchedule made;
    made.began();
    made.got(began_at, life);
    return made;
}

}  // namespace

TEST_CASE("the first token is due at once, and whoever asks before waits for it") {
    TokenSchedule schedule;
    CHECK(schedule.next() <= began_at);
    CHECK(schedule.want(began_at) == Asked::fetch);
    schedule.began();
    CHECK(schedule.want(began_at + 1s) == Asked::fetch);
    CHECK_FALSE(schedule.holds(began_at));
}

TEST_CASE("a token is fetched anew before it ends, and not used in the last of its life") {
    const TokenSchedule hour = with_token();
    CHECK(hour.next() == began_at + 2880s);
    CHECK(hour.want(began_at + 3569s) == Asked::holds);
    CHECK(hour.want(began_at + 3570s) == Asked::fetch);
    const TokenSchedule minute = with_token(60s);
    CHECK(minute.next() == began_at + 48s);
    CHECK(minute.holds(began_at + 53s));
    CHECK_FALSE(minute.holds(began_at + 54s));
    const TokenSchedule moment = with_token(1s);
    CHECK(moment.next() == began_at + TokenSchedule::at_least);
    CHECK(moment.holds(began_at));
}

TEST_CASE("failures come again after 5 s, doubling to a minute, while the old token holds") {
    TokenSchedule schedule = with_token();
    auto now = began_at + 2880s;
    for (const auto delay : {5s, 10s, 20s, 40s, 60s, 60s}) {
        schedule.began();
        schedule.failed(now, Failure::passing);
        CHECK(schedule.next() == now + delay);
        CHECK(schedule.want(now) == Asked::holds);
        now += delay;
    }
    CHECK(schedule.failures() == 6);
    schedule.began();
    schedule.failed(began_at + 3570s, Failure::passing);
    CHECK(schedule.want(began_at + 3571s) == Asked::later);
    CHECK(schedule.want(began_at + 3570s + 60s) == Asked::fetch);
    schedule.got(began_at + 3640s, 3600s);
    CHECK(schedule.failures() == 0);
    CHECK(schedule.holds(began_at + 3641s));
}

TEST_CASE("a server that says no is asked after 5 minutes, doubling to an hour") {
    TokenSchedule schedule;
    auto now = began_at;
    for (const auto delay : {5min, 10min, 20min, 40min, 60min, 60min}) {
        schedule.began();
        schedule.failed(now, Failure::refused);
        CHECK(schedule.next() == now + delay);
        CHECK(schedule.want(now + delay - 1s) == Asked::later);
        now += delay;
    }
}

TEST_CASE("a token that worked and is refused is fetched anew at once, and once") {
    TokenSchedule schedule = with_token();
    schedule.worked();
    CHECK(schedule.rejected(began_at + 10s));
    CHECK_FALSE(schedule.holds(began_at + 10s));
    CHECK(schedule.next() == began_at + 10s);
    CHECK(schedule.want(began_at + 10s) == Asked::fetch);
    CHECK_FALSE(schedule.rejected(began_at + 10s));
    schedule.began();
    schedule.got(began_at + 11s, 3600s);
    // The new one is refused as well: it is not the token.
    CHECK_FALSE(schedule.rejected(began_at + 12s));
    CHECK(schedule.holds(began_at + 12s));
}

TEST_CASE("a token that never worked is renewed once it is no longer young") {
    TokenSchedule schedule = with_token();
    CHECK_FALSE(schedule.rejected(began_at + 299s));
    CHECK(schedule.rejected(began_at + 300s));
}
