#include "relay/oauth/key_schedule.hpp"

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using postern::relay::oauth::KeySchedule;
using Wanted = KeySchedule::Wanted;

namespace {

const KeySchedule::time start{100h};

KeySchedule fetched_at(KeySchedule::time now) {
    KeySchedule made;
    made.began(now);
    made.succeeded(now);
    return made;
}

}  // namespace

TEST_CASE("the first fetch is due at once, and whoever asks before waits for it") {
    KeySchedule schedule;
    CHECK(schedule.next(start) <= start);
    CHECK(schedule.want(start) == Wanted::fetch);
    schedule.began(start);
    CHECK(schedule.want(start + 1s) == Wanted::fetch);
}

TEST_CASE("a good set is fetched again after a quarter of an hour") {
    const KeySchedule schedule = fetched_at(start);
    CHECK(schedule.next(start) == start + 15min);
}

TEST_CASE("an unknown key fetches once a minute, however many name one") {
    KeySchedule schedule = fetched_at(start);
    CHECK(schedule.want(start) == Wanted::settled);
    CHECK(schedule.want(start + 59s) == Wanted::settled);
    CHECK(schedule.next(start + 59s) == start + 15min);
    CHECK(schedule.want(start + 60s) == Wanted::fetch);
    CHECK(schedule.next(start + 60s) == start + 60s);
    CHECK(schedule.want(start + 60s) == Wanted::fetch);  // Begins any moment.
    schedule.began(start + 60s);
    CHECK(schedule.want(start + 65s) == Wanted::fetch);
    schedule.succeeded(start + 66s);
    CHECK(schedule.want(start + 66s) == Wanted::settled);
    CHECK(schedule.want(start + 119s) == Wanted::settled);
    CHECK(schedule.want(start + 120s) == Wanted::fetch);
}

TEST_CASE("failures are tried again after 5 s, doubling to a minute, whoever asks meanwhile") {
    KeySchedule schedule = fetched_at(start);
    auto now = start + 15min;
    for (const auto delay : {5s, 10s, 20s, 40s, 60s, 60s, 60s}) {
        schedule.began(now);
        schedule.failed(now);
        CHECK(schedule.next(now) == now + delay);
        CHECK(schedule.want(now) == Wanted::later);
        CHECK(schedule.want(now + delay - 1ms) == Wanted::later);
        CHECK(schedule.next(now) == now + delay);
        now += delay;
    }
    CHECK(schedule.failures() == 7);
    CHECK(schedule.want(now) == Wanted::fetch);
    schedule.began(now);
    schedule.succeeded(now);
    CHECK(schedule.failures() == 0);
    CHECK(schedule.want(now + 1s) == Wanted::settled);
}

TEST_CASE("the last good set holds for a day") {
    KeySchedule schedule = fetched_at(start);
    schedule.began(start + 15min);
    schedule.failed(start + 15min);
    CHECK_FALSE(schedule.stale(start + 24h - 1s));
    CHECK(schedule.stale(start + 24h));
    CHECK_FALSE(KeySchedule().stale(start));
}

TEST_CASE("many failures do not overflow the delay") {
    KeySchedule schedule;
    for (int i = 0; i < 1000; ++i) schedule.failed(start);
    CHECK(schedule.next(start) == start + 60s);
}
