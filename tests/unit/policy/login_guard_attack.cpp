// Attacks from many sources, from neighbours, and by those who own something there.

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/unit/policy/guard.hpp"

using namespace postern::policy;
using namespace std::chrono_literals;
using namespace postern::test;
using Gate = LoginGuard::Gate;

namespace {

const SteadyTime start = guard_start;
const std::string ann = "ann@example.net";
const std::string office = "192.0.2.7";

/// Guesses as a patient program would, one after the other at each source: what was heard, when.
struct Spray {
    std::map<std::string, std::vector<SteadyTime>> answers;  // by account
    int checked = 0;
    int refused = 0;

    void run(LoginGuard& guard, std::size_t sources, std::size_t accounts, SteadyTime until,
             const std::function<std::string(std::size_t)>& source_of, bool sticky) {
        using Turn = std::pair<SteadyTime, std::size_t>;
        std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
        std::vector<std::size_t> tried(sources);
        std::mt19937 random(7);
        for (std::size_t i = 0; i < sources; ++i)
            turns.emplace(start + std::chrono::milliseconds(random() % 1'000), i);
        while (!turns.empty() && turns.top().first < until) {
            auto [now, i] = turns.top();
            turns.pop();
            const std::string source = source_of(i);
            if (guard.on_connect(source, now).refuse) {
                ++refused;
                turns.emplace(now + 5s, i);
                continue;
            }
            const std::string account = user(sticky ? i % accounts : (i + tried[i]) % accounts);
            auto attempt = guard.attempt(source, account, {}, now);
            const auto said = attempt.ask(now);
            if (said.kind != Gate::Kind::go) {
                turns.emplace(now + 500ms, i);
                continue;
            }
            ++checked;
            const auto answer = attempt.failed(i * 1'000 + ++tried[i], 0, now);
            if (!answer.withhold) answers[account].push_back(now + answer.delay);
            turns.emplace(now + answer.delay + 20ms, i);
        }
    }

    [[nodiscard]] std::size_t most_in_a_minute() {
        std::size_t most = 0;
        for (auto& [account, times] : answers) {
            std::ranges::sort(times);
            for (std::size_t from = 0, to = 0; to < times.size(); ++to) {
                while (times[to] - times[from] >= 60s) ++from;
                most = std::max(most, to - from + 1);
            }
        }
        return most;
    }
};

}  // namespace

TEST_CASE("a spray from many sources gets three answers an account and minute, wherever they are") {
    struct Row {
        const char* name;
        std::function<std::string(std::size_t)> source;
        bool sticky;
    };
    const std::vector<Row> rows{
        {"far from each other", [](std::size_t n) { return far_source(n); }, false},
        {"far, each at one account", [](std::size_t n) { return far_source(n); }, true},
        {"two networks",
         [](std::size_t n) {
             return "203.0." + std::to_string(n / 250) + "." + std::to_string(n % 250);
         },
         false},
        {"one IPv6 network",
         [](std::size_t n) { return "2001:db8:7:" + std::to_string(n) + "::/64"; }, false},
    };
    for (const Row& row : rows) {
        INFO(row.name);
        LoginGuard guard;
        for (const std::size_t n : {0U, 1U}) succeed(guard, office, user(n), start);
        Spray spray;
        spray.run(guard, 500, 200, start + 3min, row.source, row.sticky);
        CHECK(spray.answers.size() > 150);
        CHECK(spray.most_in_a_minute() <= 3);
        // Each source has at most two guesses before it is in penalty, those of turns beside.
        CHECK(spray.checked < 500 * 2 + 3 * 3 * 200 + 200);
        // The owner, meanwhile: from where she was before, and from elsewhere.
        const auto now = start + 3min;
        for (const std::string& source : {office, std::string("198.51.100.77")}) {
            CHECK_FALSE(guard.on_connect(source, now).refuse);
            CHECK(gate(guard, source, user(0), now).kind == Gate::Kind::go);
        }
        // Once she mistypes from elsewhere she hears nothing of it for long; then she is let in.
        (void)fail(guard, "198.51.100.77", user(0), 1, now);
        CHECK_FALSE(guard.on_connect("198.51.100.77", now + 1s).refuse);
        CHECK(gate(guard, "198.51.100.77", user(0), now + 1s).kind == Gate::Kind::go);
        CHECK(succeed(guard, "198.51.100.77", user(0), now + 1s).known_pair == false);
        CHECK(fail(guard, office, user(0), 2, now + 2s).delay == 0s);
    }
}

TEST_CASE("a good account on the same source is worth nothing to who sprays from there") {
    LoginGuard plain;
    LoginGuard owned;
    for (std::size_t i = 0; i < 500; ++i)
        succeed(owned, far_source(i), "mallory@example.net", start);
    Spray without;
    Spray with;
    without.run(plain, 500, 200, start + 1min, far_source, false);
    with.run(owned, 500, 200, start + 1min, far_source, false);
    CHECK(with.most_in_a_minute() <= 3);
    CHECK(with.refused == 0);
    CHECK(with.checked <= without.checked + 100);
}

TEST_CASE("one source that hears its failures hears them as before, until others fail too") {
    LoginGuard guard;
    auto now = start;
    for (std::uint64_t n = 0; n < 6; ++n) {
        const auto answer = fail(guard, "198.51.100.9", ann, n, now);
        CHECK_FALSE(answer.withhold);
        now += answer.delay + 100ms;
    }
    const auto other = fail(guard, "203.0.113.9", ann, 77, now);
    CHECK(other.withhold);
    CHECK(other.delay == 20s);
    // A source in penalty is kept off the account; one that is not is checked.
    CHECK(gate(guard, "198.51.100.9", ann, now + 20s).kind != Gate::Kind::go);
    CHECK(gate(guard, "203.0.113.10", ann, now + 20s).kind == Gate::Kind::go);
    CHECK(gate(guard, "198.51.100.9", ann, now + 2min).kind == Gate::Kind::go);
}

TEST_CASE("failures of neighbours count against their network at a higher bar") {
    LoginGuard guard;
    succeed(guard, "203.0.113.200", "bob@example.net", start);
    auto now = start;
    for (std::uint64_t n = 0; n < 40; ++n)
        (void)fail(guard, "203.0.113." + std::to_string(n), user(n), n, now);
    // Nothing of its own: not refused, checked at once.
    CHECK_FALSE(guard.on_connect("203.0.113.99", now).refuse);
    CHECK(gate(guard, "203.0.113.99", ann, now).kind == Gate::Kind::go);
    // One mistake is forgiven, but heard late; more are not.
    const auto first = fail(guard, "203.0.113.99", ann, 1, now);
    CHECK(first.delay >= 15s);
    CHECK(first.counts.spraying == "203.0.113.0/24");
    CHECK_FALSE(guard.on_connect("203.0.113.99", now).refuse);
    (void)fail(guard, "203.0.113.99", "carol@example.net", 2, now);
    CHECK(guard.on_connect("203.0.113.99", now).refuse);
    // Who is known there is not touched by it.
    for (std::uint64_t n = 0; n < 4; ++n) (void)fail(guard, "203.0.113.200", user(100 + n), n, now);
    CHECK_FALSE(guard.on_connect("203.0.113.200", now).refuse);
    CHECK(gate(guard, "203.0.113.200", "bob@example.net", now).kind == Gate::Kind::go);
    CHECK(fail(guard, "203.0.113.200", "bob@example.net", 1, now).counts.spraying.empty());
    // The next network is another one.
    CHECK(fail(guard, "203.0.114.1", ann, 1, now + 2min).counts.spraying.empty());
    // In the end it is over.
    CHECK_FALSE(guard.on_connect("203.0.113.99", now + 2h).refuse);
}

TEST_CASE("one bad neighbour is no network that attacks") {
    LoginGuard guard;
    for (std::uint64_t n = 0; n < 500; ++n)
        (void)fail(guard, "203.0.113.9", user(n), n, start + std::chrono::seconds(n));
    const auto now = start + 500s;
    CHECK(fail(guard, "203.0.113.10", "zoe@example.net", 1, now).delay == 0s);
}

TEST_CASE("a network of many sources cannot be checked without end") {
    LoginGuard guard;
    int checked = 0;
    for (std::uint64_t n = 0; n < 5'000; ++n) {
        const auto source = "2001:db8:7:" + std::to_string(n) + "::/64";
        auto attempt = guard.attempt(source, user(n), {}, start);
        if (attempt.ask(start).kind != Gate::Kind::go) continue;
        ++checked;
        (void)attempt.failed(n, 0, start);
    }
    CHECK(checked > 256);
    CHECK(checked < 300);
    CHECK(gate(guard, "2001:db8:8:1::/64", ann, start).kind == Gate::Kind::go);
}

TEST_CASE("a password that is right forgives what failed under its own name, and nothing else") {
    struct Row {
        const char* guessed;  // the label of the failures
        const char* right;    // the credential of the successes
        bool forgiven;
    };
    const std::vector<Row> rows{
        {"", "", true},       {"", "phone", false},       {"phone", "phone", true},
        {"phone", "", false}, {"phone", "laptop", false}, {"laptop", "phone", false},
    };
    for (const Row& row : rows) {
        INFO("guesses at \"" << row.guessed << "\", right \"" << row.right << '"');
        LoginGuard guard;
        succeed(guard, office, ann, start, row.right);
        auto now = start + 1s;
        std::chrono::milliseconds delay{0};
        for (std::uint64_t n = 0; n < 12; ++n) {
            delay = fail(guard, office, ann, 100 + n, now, 0, row.guessed).delay;
            if (n % 2 == 1) succeed(guard, office, ann, now, row.right);
            now += 2s;
        }
        CHECK((delay <= 1s) == row.forgiven);
    }
}

TEST_CASE("labels that are made up share one place and escape nothing") {
    LoginGuard guard;
    succeed(guard, office, ann, start, "phone");
    auto now = start + 1s;
    std::chrono::milliseconds delay{0};
    for (std::uint64_t n = 0; n < 12; ++n) {
        delay = fail(guard, office, ann, n, now, 0, "label" + std::to_string(n)).delay;
        succeed(guard, office, ann, now, "phone");
        now += 2s;
    }
    CHECK(delay >= 15s);
}

TEST_CASE("strangers push out no source and no pair that logged in") {
    LoginGuard guard(LoginGuard::Settings{}, {.max_sources = 640,
                                              .max_networks = 64,
                                              .max_pairs = 1'280,
                                              .max_failing_pairs = 64,
                                              .max_accounts = 64});
    for (std::uint64_t n = 0; n < 500; ++n)
        succeed(guard, far_source(n), user(n), start - std::chrono::hours(n));
    for (std::uint64_t n = 0; n < 50'000; ++n)
        (void)fail(guard, "2001:db8:" + std::to_string(n % 9'999) + "::/64", user(n), n, start);
    for (std::uint64_t n = 0; n < 500; ++n) {
        CHECK(guard.known_pair(far_source(n), user(n), start));
        CHECK(guard.on_connect(far_source(n), start).known);
    }
    CHECK(guard.stats().sources <= 704);
}

TEST_CASE("who was there on one occasion only is forgotten before who comes back") {
    LoginGuard guard(LoginGuard::Settings{}, {.max_pairs = 640});
    succeed(guard, office, ann, start);
    succeed(guard, office, ann, start + 2h);
    for (std::uint64_t n = 0; n < 20'000; ++n)
        succeed(guard, far_source(n), "mallory@example.net", start + 3h);
    CHECK(guard.known_pair(office, ann, start + 3h));
    CHECK(guard.stats().pairs <= 704);
}

TEST_CASE("an attack is told by its subject") {
    LoginGuard guard;
    auto now = start;
    LoginGuard::Counts counts;
    for (std::uint64_t n = 0; n < 8; ++n)
        counts = fail(guard, far_source(n), "Ann@Example.net", n, now).counts;
    CHECK(counts.account == ann);
    CHECK(counts.account_sources >= 6);
    CHECK(counts.account_sources <= 9);
    CHECK(counts.spraying.empty());
    for (std::uint64_t n = 0; n < 4; ++n)
        counts = fail(guard, "198.51.100.9", user(n), n, now).counts;
    CHECK(counts.account.empty());
    CHECK(counts.spraying == "198.51.100.9");
    CHECK(counts.sprayed == 4);
    CHECK(guard.failures_of(LoginGuard::Kind::account, ann, now) > 6);
    CHECK(guard.failures_of(LoginGuard::Kind::source, "198.51.100.9", now) > 6);
    CHECK(guard.failures_of(LoginGuard::Kind::account, ann, now + 1h) < 1);
    CHECK(guard.failures_of(LoginGuard::Kind::account, "nobody@example.net", now) == 0);
}
