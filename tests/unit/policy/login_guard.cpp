#include "policy/login_guard.hpp"

#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "policy/bounded_map.hpp"
#include "tests/catch.hpp"
#include "tests/unit/policy/guard.hpp"

using namespace postern::policy;
using postern::test::fail;
using postern::test::gate;
using postern::test::succeed;
using namespace std::chrono_literals;
using Gate = LoginGuard::Gate;

namespace {

const SteadyTime start = postern::test::guard_start;
const std::string attacker = "198.51.100.9";
const std::string office = "192.0.2.7";

}  // namespace

TEST_CASE(
    "a source that guesses waits longer each time, up to twenty seconds, and is refused in the "
    "end") {
    LoginGuard guard;
    auto now = start;
    std::chrono::milliseconds last{0};
    int answers = 0;
    while (!guard.on_connect(attacker, now).refuse) {
        REQUIRE(answers < 100);
        const auto answer =
            fail(guard, attacker, "ann@example.net", static_cast<std::uint64_t>(answers), now);
        CHECK(answer.delay >= last - 3s);
        CHECK(answer.delay <= 20s);
        last = answer.delay;
        now += answer.delay + 100ms;
        ++answers;
    }
    CHECK(last >= 19s);
    CHECK(answers < 40);
    CHECK(guard.on_connect(attacker, now).delay > 0s);
    CHECK(guard.on_connect(attacker, now + 9min).refuse);
    CHECK_FALSE(guard.on_connect(attacker, now + 1h).refuse);
    CHECK_FALSE(guard.on_connect("198.51.100.10", now).refuse);
}

TEST_CASE("distinct accounts weigh more than one") {
    LoginGuard guard;
    const auto refused_after = [&](const std::string& source, bool spray) {
        int n = 0;
        auto now = start;
        while (!guard.on_connect(source, now).refuse) {
            const auto account = spray ? "user" + std::to_string(n) + "@example.net"
                                       : std::string("ann@example.net");
            now += fail(guard, source, account, static_cast<std::uint64_t>(n), now).delay + 1s;
            if (++n > 200) break;
        }
        return n;
    };
    const auto spray = refused_after("203.0.113.1", true);
    const auto guess = refused_after("203.0.113.2", false);
    CHECK(spray < guess);
    CHECK(spray <= 15);
}

TEST_CASE("the same wrong secret repeated counts once") {
    LoginGuard guard;
    auto now = start;
    for (int i = 0; i < 200; ++i, now += 30s) {
        const auto answer = fail(guard, attacker, "ann@example.net", 42, now);
        CHECK(answer.delay == 0s);
        CHECK_FALSE(guard.on_connect(attacker, now).refuse);
    }
}

TEST_CASE(
    "SCRAM failures of one account count once in ten minutes unless other accounts fail too") {
    LoginGuard guard;
    auto now = start;
    for (int i = 0; i < 60; ++i, now += 5s)
        CHECK(fail(guard, attacker, "ann@example.net", {}, now).delay == 0s);
    (void)fail(guard, attacker, "bob@example.net", {}, now);
    std::chrono::milliseconds last{0};
    for (int i = 0; i < 6; ++i) {
        const auto answer = fail(guard, attacker, "ann@example.net", {}, now);
        last = answer.delay;
        now += answer.delay;
    }
    CHECK(last > 1s);
}

TEST_CASE("the third failure of a connection is its last") {
    LoginGuard guard;
    CHECK_FALSE(fail(guard, attacker, "a@example.net", 1, start, 0).close_after);
    CHECK_FALSE(fail(guard, attacker, "a@example.net", 2, start, 1).close_after);
    const auto third = fail(guard, attacker, "a@example.net", 3, start, 2);
    CHECK(third.close_after);
    CHECK_FALSE(third.withhold);
}

TEST_CASE("a penalised source has one AUTH in flight, the others wait or are told to come later") {
    LoginGuard guard;
    auto now = start;
    for (std::uint64_t i = 0; i < 4; ++i)
        now += fail(guard, attacker, "ann@example.net", i, now).delay;

    auto first = guard.attempt(attacker, "ann@example.net", {}, now);
    REQUIRE(first.ask(now).kind == Gate::Kind::go);
    std::deque<LoginGuard::Attempt> others;
    int waiting = 0;
    int busy = 0;
    for (int i = 0; i < 20; ++i) {
        others.push_back(guard.attempt(attacker, "ann@example.net", {}, now));
        const auto said = others.back().ask(now);
        waiting += said.kind == Gate::Kind::wait ? 1 : 0;
        busy += said.kind == Gate::Kind::busy ? 1 : 0;
        if (said.kind == Gate::Kind::wait) CHECK(said.wait > 0ms);
    }
    CHECK(waiting == 4);
    CHECK(busy == 16);

    const auto answer = first.failed(99, 0, now);
    REQUIRE(answer.delay > 0s);
    // Hanging up changes nothing: the turn is taken until the answer would have gone.
    CHECK(others.front().ask(now + answer.delay - 10ms).kind != Gate::Kind::go);
    CHECK(others.front().ask(now + answer.delay).kind == Gate::Kind::go);
    others.clear();
    CHECK(guard.stats().delayed == 0 + 1);  // the answer's own place
}

TEST_CASE("an attempt that ends without a judgement frees its turn and weighs nothing") {
    LoginGuard guard;
    auto now = start;
    for (std::uint64_t i = 0; i < 4; ++i)
        now += fail(guard, attacker, "ann@example.net", i, now).delay;
    const auto before = fail(guard, attacker, "ann@example.net", 3, now).counts.source_failures;
    now += 20s;
    for (int i = 0; i < 50; ++i) {
        auto attempt = guard.attempt(attacker, "bob@example.net", {}, now);
        REQUIRE(attempt.ask(now).kind == Gate::Kind::go);
    }
    CHECK(fail(guard, attacker, "ann@example.net", 3, now).counts.source_failures <= before);
}

TEST_CASE("nobody waits longer than twenty seconds for a turn") {
    LoginGuard guard;
    auto now = start;
    for (std::uint64_t i = 0; i < 4; ++i)
        now += fail(guard, attacker, "ann@example.net", i, now).delay;
    auto holder = guard.attempt(attacker, "ann@example.net", {}, now);
    REQUIRE(holder.ask(now).kind == Gate::Kind::go);
    auto waiter = guard.attempt(attacker, "ann@example.net", {}, now);
    auto said = waiter.ask(now);
    const auto began = now;
    while (said.kind == Gate::Kind::wait) {
        now += said.wait;
        said = waiter.ask(now);
        REQUIRE(now - began < 1min);
    }
    CHECK(said.kind == Gate::Kind::busy);
    CHECK(now - began <= 21s);
    CHECK(guard.stats().delayed == 0);
}

TEST_CASE(
    "where an account logged in, a source is never refused and the account is checked at once") {
    LoginGuard guard;
    succeed(guard, office, "ann@example.net", start);
    auto now = start + 1h;
    for (std::uint64_t i = 0; i < 60; ++i) {
        const auto account = "user" + std::to_string(i) + "@example.net";
        CHECK_FALSE(guard.on_connect(office, now).refuse);
        now += fail(guard, office, account, i, now).delay;
    }
    // Strangers there share one bucket: slow, and one at a time.
    auto stranger = guard.attempt(office, "bob@example.net", {}, now);
    REQUIRE(stranger.ask(now).kind == Gate::Kind::go);
    CHECK(gate(guard, office, "carol@example.net", now).kind == Gate::Kind::wait);
    CHECK(gate(guard, office, "ann@example.net", now).kind == Gate::Kind::go);
    CHECK(gate(guard, office, "ANN@Example.NET", now).kind == Gate::Kind::go);
    const auto answer = stranger.failed(7, 0, now);
    CHECK(answer.delay >= 15s);
}

TEST_CASE("a bad phone behind a shared address harms nobody else there") {
    LoginGuard guard;
    succeed(guard, office, "ann@example.net", start);
    succeed(guard, office, "bob@example.net", start);
    auto now = start + 1min;
    std::chrono::milliseconds slowest{0};
    for (std::uint64_t i = 0; i < 30; ++i) {
        const auto answer = fail(guard, office, "ann@example.net", i, now);
        slowest = std::max(slowest, answer.delay);
        now += answer.delay + 1s;
    }
    CHECK(slowest >= 10s);
    CHECK(slowest <= 20s);
    CHECK(fail(guard, office, "bob@example.net", 1, now).delay == 0s);
    CHECK(gate(guard, office, "new@example.net", now).kind == Gate::Kind::go);
    CHECK_FALSE(guard.on_connect(office, now).refuse);
}

TEST_CASE("owning one good account exempts nobody who sprays from there") {
    LoginGuard guard;
    succeed(guard, attacker, "mallory@example.net", start);
    auto now = start;
    std::chrono::milliseconds last{0};
    for (std::uint64_t i = 0; i < 20; ++i) {
        succeed(guard, attacker, "mallory@example.net", now);
        last = fail(guard, attacker, "user" + std::to_string(i) + "@example.net", i, now).delay;
        now += last;
    }
    CHECK(last >= 19s);
}

TEST_CASE("an account under attack lets its owner in at once") {
    LoginGuard guard;
    succeed(guard, office, "ann@example.net", start);
    auto now = start + 1h;
    LoginGuard::Counts counts;
    for (std::uint64_t i = 0; i < 300; ++i) {
        counts =
            fail(guard, "203.0.113." + std::to_string(i % 250), "ann@example.net", i, now).counts;
        now += 1s;
    }
    CHECK(counts.account_failures > 10);
    CHECK(counts.account_sources > 150);
    CHECK(counts.account_sources < 400);
    CHECK(gate(guard, office, "ann@example.net", now).kind == Gate::Kind::go);
    CHECK(fail(guard, office, "ann@example.net", 1, now).delay == 0s);
    // From a new source: checked at once, so right credentials answer at once; wrong ones wait.
    CHECK_FALSE(guard.on_connect("192.0.2.200", now).refuse);
    CHECK(gate(guard, "192.0.2.200", "ann@example.net", now).kind == Gate::Kind::go);
    CHECK(fail(guard, "192.0.2.200", "ann@example.net", 1, now).delay > 1s);
    auto attempt = guard.attempt("192.0.2.201", "ann@example.net", {}, now);
    const auto success = attempt.succeeded(now);
    CHECK_FALSE(success.known_pair);
    CHECK(success.counts.account_failures > 10);
}

TEST_CASE("no minute sees more than sixty failing answers at one source") {
    for (const bool known : {false, true}) {
        LoginGuard guard;
        if (known) succeed(guard, office, "ann@example.net", start);
        std::vector<SteadyTime> answers;
        std::mt19937 random(3);
        auto now = start;
        for (int i = 0; i < 3'000; ++i) {
            now += std::chrono::milliseconds(random() % 100);
            // Whatever the guard says at the gate: here all of them come back as failed.
            const auto answer = fail(guard, office, "ann@example.net", 5, now);
            if (!answer.withhold) answers.push_back(now + answer.delay);
            CHECK(answer.delay <= 20s);
        }
        std::ranges::sort(answers);
        REQUIRE(answers.size() > 60);
        for (std::size_t i = 60; i < answers.size(); ++i)
            CHECK(answers[i] - answers[i - 60] >= 60s);
    }
}

TEST_CASE("at most so many connections wait in delay") {
    LoginGuard guard(
        LoginGuard::Settings{},
        {.max_sources = 10'000, .max_pairs = 100, .max_accounts = 100, .max_delayed = 5});
    std::vector<LoginGuard::FailureAnswer> waiting;
    int withheld = 0;
    for (int i = 0; i < 10; ++i) {
        const auto source = "203.0.113." + std::to_string(i);
        const auto account = "user" + std::to_string(i) + "@example.net";
        for (std::uint64_t n = 0; n < 3; ++n) {
            auto answer = fail(guard, source, account, n, start);
            if (answer.withhold) {
                ++withheld;
                CHECK(answer.delay == 0s);
                CHECK(answer.close_after);
            }
            if (answer.delay > 0s) waiting.push_back(std::move(answer));
        }
    }
    CHECK(waiting.size() == 5);
    CHECK(withheld > 0);
    CHECK(guard.stats().delayed == 5);
    waiting.clear();
    CHECK(guard.stats().delayed == 0);
}

TEST_CASE("known pairs are loaded at start and forgotten after their time") {
    LoginGuard guard;
    guard.load_known(office, "ann@example.net", std::chrono::days(29), start);
    CHECK(guard.known_pair(office, "Ann@Example.net", start));
    CHECK_FALSE(guard.known_pair(office, "bob@example.net", start));
    CHECK_FALSE(guard.known_pair(office, "ann@example.net", start + std::chrono::days(2)));
    guard.set({.mode = Mode::enforce, .known_for = std::chrono::days(60)});
    CHECK(guard.known_pair(office, "ann@example.net", start + std::chrono::days(2)));
}

TEST_CASE("a source is trusted after one mistake, and not after more") {
    using Trust = LoginGuard::Trust;
    LoginGuard guard;
    guard.load_known(office, "ann@example.net", 1h, start);
    CHECK(guard.trust(office, "ann@example.net", start) == Trust::known);
    CHECK(guard.trust(office, "bob@example.net", start) == Trust::stranger);
    (void)fail(guard, office, "bob@example.net", 1, start);
    CHECK(guard.trust(office, "bob@example.net", start) == Trust::stranger);
    (void)fail(guard, office, "bob@example.net", 2, start);
    CHECK(guard.trust(office, "bob@example.net", start) == Trust::suspect);
    CHECK(guard.trust(office, "ann@example.net", start) == Trust::known);
    CHECK(guard.trust(office, "bob@example.net", start + 2h) == Trust::stranger);
}

TEST_CASE("with the rule off there is none of it, observed it is told only") {
    LoginGuard off({.mode = Mode::off, .known_for = 1h}, {});
    for (std::uint64_t i = 0; i < 100; ++i) {
        const auto answer = fail(off, attacker, "user" + std::to_string(i), i, start, 5);
        CHECK(answer.delay == 0s);
        CHECK_FALSE(answer.close_after);
        CHECK_FALSE(off.on_connect(attacker, start).refuse);
    }
    LoginGuard observe({.mode = Mode::observe, .known_for = 1h}, {});
    LoginGuard::FailureAnswer answer;
    for (std::uint64_t i = 0; i < 20; ++i) {
        answer = fail(observe, attacker, "user" + std::to_string(i), i, start, 5);
        CHECK(answer.delay == 0s);
        CHECK_FALSE(answer.close_after);
        CHECK_FALSE(answer.withhold);
        CHECK(gate(observe, attacker, "x", start).kind == Gate::Kind::go);
    }
    CHECK(answer.observed);
    CHECK(answer.would_delay > 10s);
    CHECK_FALSE(observe.on_connect(attacker, start).refuse);
    CHECK(observe.on_connect(attacker, start).would_refuse);
    // An account's own mode comes first.
    auto attempt = observe.attempt(attacker, "ann@example.net", Mode::enforce, start);
    CHECK(attempt.failed(1, 0, start).delay > 0s);
}

TEST_CASE("a source of good standing survives a flood of others") {
    LoginGuard guard(
        LoginGuard::Settings{},
        {.max_sources = 1'600, .max_pairs = 1'600, .max_accounts = 1'600, .max_delayed = 10});
    succeed(guard, office, "ann@example.net", start);
    auto now = start;
    for (int i = 0; i < 100'000; ++i) {
        (void)fail(
            guard,
            "2001:db8:" + std::to_string(i % 9'999) + ":" + std::to_string(i / 9'999) + "::/64",
            "user" + std::to_string(i), 1, now);
    }
    const auto stats = guard.stats();
    CHECK(stats.sources <= 1'664);
    CHECK(stats.accounts <= 1'664);
    CHECK(guard.known_pair(office, "ann@example.net", now));
    CHECK_FALSE(guard.on_connect(office, now).refuse);
}

TEST_CASE("foreign names of any length and kind are taken") {
    LoginGuard guard;
    (void)fail(guard, attacker, std::string(12'000, 'x'), 1, start);
    (void)fail(guard, attacker, std::string("\0\xff\n", 3), 1, start);
    (void)fail(guard, "", "", {}, start);
    succeed(guard, attacker, std::string(12'000, '\n'), start);
    CHECK(guard.stats().sources == 2);
}

TEST_CASE("threads share the guard") {
    LoginGuard guard(LoginGuard::Settings{},
                     {.max_sources = 64, .max_pairs = 64, .max_accounts = 64, .max_delayed = 50});
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&guard, t] {
            std::mt19937 random(t);
            auto now = start;
            for (int i = 0; i < 3'000; ++i) {
                now += 100ms;
                const auto source = "192.0.2." + std::to_string(random() % 100);
                (void)guard.on_connect(source, now);
                auto attempt =
                    guard.attempt(source, "user" + std::to_string(random() % 40), {}, now);
                if (attempt.ask(now).kind != Gate::Kind::go) continue;
                if (random() % 5 == 0) {
                    attempt.succeeded(now);
                } else if (random() % 5 != 0) {
                    (void)attempt.failed(random() % 3, 0, now);
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(guard.stats().delayed == 0);
}

TEST_CASE(
    "a bounded map forgets what is worth nothing, and never the worthiest of those it looks at") {
    BoundedMap<std::int64_t> map(100);
    const auto worth = [](const std::int64_t& v) { return v; };
    map.get("precious", worth) = 1'000'000;
    for (int i = 0; i < 10'000; ++i) map.get("k" + std::to_string(i), worth) = 1 + i % 7;
    CHECK(map.size() == 100);
    REQUIRE(map.find("precious") != nullptr);
    CHECK(*map.find("precious") == 1'000'000);
    map.erase("precious");
    CHECK(map.find("precious") == nullptr);
    BoundedMap<std::int64_t> worthless(100);
    for (int i = 0; i < 1'000; ++i) (void)worthless.get("k" + std::to_string(i), worth);
    CHECK(worthless.size() <= 3);
}
