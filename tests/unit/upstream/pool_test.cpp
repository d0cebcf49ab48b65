#include <utility>

#include "tests/catch.hpp"
#include "tests/unit/upstream/bench.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::test::Bench;
using postern::test::Server;
using clock_type = std::chrono::steady_clock;
using How = AttemptResult::How;

TEST_CASE("those who wait get all the slots that came free together") {
    Bench bench(3);
    for (const char* sender : {"a", "b", "c"}) (void)bench.start(sender);
    REQUIRE(bench.run_until([&] { return bench.server.dots == 3; }));
    for (const char* sender : {"d", "e", "f"}) (void)bench.start_waiting(sender);
    bench.server.drop();
    CHECK(bench.run_until([&] { return bench.server.dots == 6; }));
    CHECK(bench.path->waiting.load() == 0);
}

TEST_CASE("a connection handed over dead leaves whoever got it in the row") {
    Bench bench(1);
    const AttemptPtr first = bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    const AttemptPtr second = bench.start_waiting("b");
    // Another thread is quicker to take the slot.
    Path::Slot stolen;
    bench.freed = [&] {
        if (!stolen) stolen = Path::try_slot(bench.path, clock_type::now());
    };
    bench.server.answer("250 ok\r\n", Server::Then::close);
    REQUIRE(bench.run_until([&] { return first->finished() && stolen; }));
    CHECK(first->take_result().how == How::answered);
    bench.context.run_for(50ms);
    CHECK(bench.path->waiting.load() == 1);
    bench.freed = nullptr;
    stolen = {};
    CHECK(bench.run_until([&] { return bench.server.dots == 2; }));
}

TEST_CASE("who comes now stands behind those who wait") {
    Bench bench(1);
    (void)bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    (void)bench.start_waiting("b");
    AttemptPtr newcomer;
    bool came = false;  // It comes within start() to the row, which tells again.
    bench.freed = [&] {
        if (!std::exchange(came, true)) newcomer = bench.start("c");
    };
    bench.server.drop();
    REQUIRE(bench.run_until([&] { return bench.server.dots == 2; }));
    bench.server.answer("250 ok\r\n");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 3; }));
    CHECK(bench.server.senders == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("an attempt given up leaves the row at once") {
    Bench bench(1);
    (void)bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    const AttemptPtr second = bench.start_waiting("b");
    const AttemptPtr third = bench.start_waiting("c");
    second->abandon();
    REQUIRE(bench.run_until([&] { return second->finished(); }));
    CHECK(second->take_result().how == How::abandoned);
    CHECK(bench.path->waiting.load() == 1);
    // One that is given up before it has come to the row does not stop there.
    const AttemptPtr fourth = bench.start("d");
    fourth->abandon();
    REQUIRE(bench.run_until([&] { return fourth->finished(); }));
    bench.server.answer("250 ok\r\n");
    CHECK(bench.run_until([&] { return bench.server.dots == 2; }));
    CHECK(bench.server.senders.back() == "c");
}

TEST_CASE("a 421 to the final dot neither counts against the path nor clears it") {
    Bench bench(1);
    const std::string busy = "421 upstream busy\r\n";
    bench.server.greetings = {busy, busy, busy, busy};
    for (int i = 0; i < 4; ++i) {
        const AttemptPtr attempt = bench.start("a");
        REQUIRE(bench.run_until([&] { return attempt->finished(); }));
        CHECK(attempt->take_result().how == How::broken);
    }
    CHECK(bench.path->takes_mail(clock_type::now()));
    const AttemptPtr told = bench.start("b");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    bench.server.answer(busy, Server::Then::close);
    REQUIRE(bench.run_until([&] { return told->finished(); }));
    CHECK(told->take_result().how == How::answered);
    CHECK(bench.path->takes_mail(clock_type::now()));
    bench.server.greetings = {busy};
    const AttemptPtr last = bench.start("c");
    REQUIRE(bench.run_until([&] { return last->finished(); }));
    CHECK_FALSE(bench.path->takes_mail(clock_type::now()));
}

TEST_CASE("an exception in the row ends the attempt and leaves the row in order") {
    Bench bench(1);
    (void)bench.start("a");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    bench.pool.ask_others = [] { throw std::bad_alloc(); };
    const AttemptPtr broken = bench.start("b");
    REQUIRE(bench.run_until([&] { return bench.thrown == 1; }));
    broken->abandon();
    REQUIRE(broken->finished());
    CHECK(broken->take_result().how == How::broken);
    CHECK(bench.path->waiting.load() == 0);
    bench.pool.ask_others = nullptr;
    (void)bench.start_waiting("c");
    bench.server.answer("250 ok\r\n");
    CHECK(bench.run_until([&] { return bench.server.dots == 2; }));
}
