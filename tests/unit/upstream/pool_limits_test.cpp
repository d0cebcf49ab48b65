#include "tests/catch.hpp"
#include "tests/unit/upstream/bench.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::test::Bench;
using postern::test::Server;
using clock_type = std::chrono::steady_clock;
using How = AttemptResult::How;

namespace {

/// Lets one mail through to its 250.
void deliver(Bench& bench, const char* sender) {
    const std::size_t before = bench.server.dots;
    const AttemptPtr attempt = bench.start(sender);
    REQUIRE(bench.run_until([&] { return bench.server.dots == before + 1; }));
    bench.server.answer("250 ok\r\n");
    REQUIRE(bench.run_until([&] { return attempt->finished(); }));
    CHECK(attempt->take_result().how == How::answered);
}

How end_of(Bench& bench, const AttemptPtr& attempt) {
    REQUIRE(bench.run_until([&] { return attempt->finished(); }));
    return attempt->take_result().how;
}

}  // namespace

TEST_CASE("a message beyond the rate is not sent, and nobody is told otherwise") {
    config::Upstream upstream;
    upstream.rate = {{.amount = 2, .period = std::chrono::hours(1)}};
    Bench bench(3, upstream);
    deliver(bench, "a");
    deliver(bench, "b");
    CHECK(end_of(bench, bench.start("c")) == How::at_rate);
    CHECK(bench.server.dots == 2);
    CHECK(bench.path->takes_mail(clock_type::now()));
    CHECK(bench.path->rate_wait(clock_type::now()) > 25min);
    CHECK(bench.path->room(clock_type::now()) == 0);
    const auto today = bench.path->traffic().today("primary", std::chrono::system_clock::now());
    CHECK(today.by_upstream == 2);
    CHECK(bench.path->memory().latency().has_value());
}

TEST_CASE("a connection ends after as many messages as it may carry") {
    config::Upstream upstream;
    upstream.messages_per_connection = 2;
    Bench bench(1, upstream);
    deliver(bench, "a");
    CHECK(bench.path->connections() == 1);
    deliver(bench, "b");
    CHECK(bench.run_until([&] { return bench.path->connections() == 0; }));
    deliver(bench, "c");
    CHECK(bench.path->connections() == 1);
}

TEST_CASE("once paused a path ends its connections after the message in hand, and who waits goes") {
    Bench bench(1);
    const AttemptPtr in_hand = bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    const AttemptPtr waiting = bench.start_waiting("b");
    bench.path->memory().pause({});
    bench.pool.wake_waiters();
    CHECK(end_of(bench, waiting) == How::no_slot);
    CHECK(end_of(bench, bench.start("c")) == How::no_slot);
    bench.server.answer("250 ok\r\n");
    CHECK(end_of(bench, in_hand) == How::answered);
    CHECK(bench.run_until([&] { return bench.path->connections() == 0; }));
    CHECK(bench.path->memory().resume(clock_type::now()));
    deliver(bench, "d");
}

TEST_CASE("idle connections of a paused path are swept") {
    Bench bench(1);
    deliver(bench, "a");
    CHECK(bench.path->connections() == 1);
    bench.path->memory().pause({});
    bench.tasks.spawn(bench.pool.sweep(clock_type::now()));
    CHECK(bench.run_until([&] { return bench.path->connections() == 0; }));
}

TEST_CASE("421 to a message lets fewer connections be kept") {
    Bench bench(4);
    for (const char* sender : {"a", "b", "c", "d"}) (void)bench.start(sender);
    REQUIRE(bench.run_until([&] { return bench.server.dots == 4; }));
    CHECK(bench.path->connections() == 4);
    bench.server.answer("421 4.7.0 too many connections\r\n", Server::Then::close);
    REQUIRE(bench.run_until([&] { return bench.path->connections() == 3; }));
    CHECK(bench.path->bears() == 2);
    bench.server.answer("250 ok\r\n");
    CHECK(bench.run_until([&] { return bench.path->connections() == 2; }));
    bench.server.answer("250 ok\r\n");
    bench.server.answer("250 ok\r\n");
    const auto today = [&] {
        return bench.path->traffic().today("primary", std::chrono::system_clock::now());
    };
    REQUIRE(bench.run_until([&] { return today().by_upstream == 3; }));
    bench.context.run_for(20ms);
    CHECK(bench.path->connections() == 2);
}

TEST_CASE("a reply that path_replies names opens the breaker") {
    config::Upstream upstream;
    upstream.path_replies = {{.code = 554, .enhanced = "5.7.1", .text = "not from here"}};
    Bench bench(1, upstream);
    const AttemptPtr attempt = bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    bench.server.answer("554 5.7.1 Not from here, please\r\n");
    CHECK(end_of(bench, attempt) == How::answered);
    CHECK_FALSE(bench.path->takes_mail(clock_type::now()));
}

TEST_CASE("connections come from the address that is configured") {
    config::Upstream upstream;
    upstream.source_address = "127.0.0.77";
    Bench bench(1, upstream);
    deliver(bench, "a");
    CHECK(bench.server.peers() == std::vector<std::string>{"127.0.0.77"});
    upstream.source_address = "::1";  // another family leads nowhere
    Bench other(1, upstream);
    CHECK(end_of(other, other.start("a")) == How::broken);
}
