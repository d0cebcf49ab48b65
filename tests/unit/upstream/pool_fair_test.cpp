// Who gets an upstream's connections, and what its rate lets pass.
#include <map>

#include "tests/catch.hpp"
#include "tests/unit/upstream/bench.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::test::Bench;
using clock_type = std::chrono::steady_clock;
using How = AttemptResult::How;

TEST_CASE("a customer alone has all connections, and gives them up to others by and by") {
    Bench bench(4);
    for (int i = 0; i < 4; ++i) (void)bench.start("a" + std::to_string(i), 1, "A");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 4; }));
    CHECK(bench.path->in_use("A") == 4);
    for (int i = 4; i < 8; ++i) (void)bench.start_waiting("a" + std::to_string(i), "A");
    for (int i = 0; i < 3; ++i) (void)bench.start_waiting("b" + std::to_string(i), "B");
    bench.server.answer("250 ok\r\n");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 5; }));
    bench.server.answer("250 ok\r\n");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 6; }));
    CHECK(bench.server.senders[4] == "b0");
    CHECK(bench.server.senders[5] == "b1");
    CHECK(bench.path->in_use("A") <= 3);
    CHECK(bench.path->in_use("A") + bench.path->in_use("B") == 4);
}

TEST_CASE("with one connection customers take turns") {
    Bench bench(1);
    (void)bench.start("a0", 1, "A");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    for (const char* sender : {"a1", "a2", "a3"}) (void)bench.start_waiting(sender, "A");
    for (const char* sender : {"b1", "b2"}) (void)bench.start_waiting(sender, "B");
    for (std::size_t dots = 2; dots <= 6; ++dots) {
        bench.server.answer("250 ok\r\n");
        REQUIRE(bench.run_until([&] { return bench.server.dots == dots; }));
    }
    CHECK(bench.server.senders == std::vector<std::string>{"a0", "b1", "a1", "b2", "a2", "a3"});
}

TEST_CASE("a client that waits goes before its customer's queued mail, not before others'") {
    Bench bench(1);
    (void)bench.start("a0", 1, "A");
    REQUIRE(bench.run_until([&] { return bench.server.dots == 1; }));
    (void)bench.start_waiting("queued", "A");
    (void)bench.start_waiting("client", "A", true);
    (void)bench.start_waiting("other", "B");
    for (std::size_t dots = 2; dots <= 4; ++dots) {
        bench.server.answer("250 ok\r\n");
        REQUIRE(bench.run_until([&] { return bench.server.dots == dots; }));
    }
    CHECK(bench.server.senders == std::vector<std::string>{"a0", "other", "client", "queued"});
}

TEST_CASE("nothing is counted any more once all have ended, however they did") {
    Bench bench(2);
    std::vector<AttemptPtr> attempts;
    for (int i = 0; i < 12; ++i)
        attempts.push_back(bench.start("s" + std::to_string(i), 1,
                                       std::string(1, static_cast<char>('A' + i % 3))));
    REQUIRE(bench.run_until([&] { return bench.server.dots == 2; }));
    attempts[5]->abandon();
    bench.server.answer("250 ok\r\n", postern::test::Server::Then::close);
    const auto all = [&] {
        bench.server.answer("250 ok\r\n");
        return std::ranges::all_of(attempts, [](const auto& one) { return one->finished(); });
    };
    CHECK(bench.run_until(all));
    for (const char* customer : {"A", "B", "C"}) CHECK(bench.path->in_use(customer) == 0);
    CHECK(bench.path->waiting.load() == 0);
    CHECK_FALSE(bench.path->first_in_row());
}

TEST_CASE("a rate's next message is kept for who was refused") {
    PathMemory memory;
    const SteadyTime moment{1h};
    memory.set_rate({{.amount = 2, .period = 2s}});
    REQUIRE(memory.take(moment, "A"));
    REQUIRE(memory.take(moment, "A"));
    CHECK(memory.rate_turn(moment, "B") == 1s);
    CHECK_FALSE(memory.take(moment, "A"));
    // One is there again: B's, whoever asks before.
    CHECK_FALSE(memory.take(moment + 1s, "C"));
    CHECK_FALSE(memory.take(moment + 1s, "A"));
    CHECK(memory.rate_turn(moment + 1s, "B") == 0s);
    CHECK(memory.take(moment + 1s, "B"));
    CHECK(memory.take(moment + 2s, "A"));
}

TEST_CASE("a waiting client leaves a rate to the queue while mail waits for it there") {
    PathMemory memory;
    const SteadyTime moment{1h};
    memory.set_rate({{.amount = 2, .period = 2s}});
    CHECK(memory.client_may_pass(moment));
    memory.queue_waits(moment + 5s);
    memory.queue_waits(moment + 3s);
    CHECK_FALSE(memory.client_may_pass(moment + 4s));
    CHECK(memory.rate_turn(moment + 4s, "A") == 0s);
    CHECK(memory.client_may_pass(moment + 5s));
    // Nor does it take what is kept for somebody in the queue.
    REQUIRE(memory.take(moment + 6s, "A"));
    REQUIRE(memory.take(moment + 6s, "A"));
    REQUIRE(memory.rate_turn(moment + 6s, "B") == 1s);
    CHECK_FALSE(memory.client_may_pass(moment + 7s));
    CHECK(memory.take(moment + 7s, "B"));
    CHECK(memory.client_may_pass(moment + 8s));
}
