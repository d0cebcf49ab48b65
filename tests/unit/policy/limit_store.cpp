#include "policy/limit_store.hpp"

#include <atomic>
#include <random>
#include <thread>

#include "tests/catch.hpp"

using namespace postern::policy;
using namespace std::chrono_literals;
using std::chrono::seconds;

namespace {

const SteadyTime start{std::chrono::hours(1'000)};

Touch messages(std::span<const Window> windows, std::string key = "ann@example.net",
               std::uint64_t cost = 1) {
    return {.limit = Limit::messages,
            .kind = LimitKey::account,
            .key = std::move(key),
            .windows = windows,
            .cost = cost};
}

/// Takes one and keeps it: how an accepted message goes.
LimitAnswer spend(LimitStore& store, const Touch& touch, SteadyTime now) {
    Reservation held;
    auto answer = store.reserve({&touch, 1}, now, held);
    held.commit();
    return answer;
}

}  // namespace

TEST_CASE("sixty a minute is sixty at once, then one a second") {
    LimitStore store;
    const std::vector<Window> windows{{60, 60s}};
    for (int i = 0; i < 60; ++i) REQUIRE(spend(store, messages(windows), start).passed);
    const auto refused = spend(store, messages(windows), start);
    REQUIRE_FALSE(refused.passed);
    CHECK(refused.wait_seconds() == 1);
    CHECK(refused.used == 60);
    CHECK(refused.window == windows[0]);
    CHECK_FALSE(spend(store, messages(windows), start + 999ms).passed);
    CHECK(spend(store, messages(windows), start + 1s).passed);
    CHECK_FALSE(spend(store, messages(windows), start + 1s).passed);
    int later = 0;
    while (spend(store, messages(windows), start + 31s).passed) ++later;
    CHECK(later == 30);
}

TEST_CASE("the wait that is named is true to the second") {
    std::mt19937 random(7);
    for (int round = 0; round < 300; ++round) {
        LimitStore store;
        const std::vector<Window> windows{{1 + random() % 90, seconds(1 + random() % 600)},
                                          {1 + random() % 900, seconds(1 + random() % 90'000)}};
        auto now = start + std::chrono::nanoseconds(random() % 2'000'000'000);
        LimitAnswer answer;
        for (int i = 0; i < 400; ++i) {
            answer = spend(store, messages(windows), now);
            if (!answer.passed) break;
            now += std::chrono::nanoseconds(random() % 100'000'000);
        }
        if (answer.passed) continue;
        const auto wait = answer.wait_seconds();
        REQUIRE(wait >= 1);
        CHECK_FALSE(spend(store, messages(windows), now + seconds(wait - 1)).passed);
        CHECK(spend(store, messages(windows), now + seconds(wait)).passed);
    }
}

TEST_CASE("all windows or none are touched") {
    LimitStore store;
    const std::vector<Window> narrow{{1, 60s}, {100, 3600s}};
    REQUIRE(spend(store, messages(narrow), start).passed);
    for (int i = 0; i < 50; ++i) REQUIRE_FALSE(spend(store, messages(narrow), start + 1s).passed);
    const auto use =
        store.use(Limit::messages, LimitKey::account, "ann@example.net", narrow, start + 1s);
    REQUIRE(use.size() == 2);
    CHECK(use[0].left == 0);
    CHECK(use[1].used == 1);
    CHECK(use[1].left == 99);
}

TEST_CASE("several limits pass together or not at all") {
    LimitStore store;
    const std::vector<Window> wide{{100, 60s}};
    const std::vector<Window> narrow{{2, 60s}};
    std::vector<Touch> touches{messages(wide), messages(narrow, "bob@example.net")};
    for (int i = 0; i < 2; ++i) {
        Reservation held;
        REQUIRE(store.reserve(touches, start, held).passed);
        held.commit();
    }
    Reservation held;
    const auto answer = store.reserve(touches, start, held);
    CHECK_FALSE(answer.passed);
    CHECK(answer.window == narrow[0]);
    CHECK(held.empty());
    CHECK(store.use(Limit::messages, LimitKey::account, "ann@example.net", wide, start)[0].used ==
          2);
}

TEST_CASE("a refused message gives back what it held") {
    LimitStore store;
    const std::vector<Window> windows{{3, 60s}};
    for (int i = 0; i < 100; ++i) {
        Reservation held;
        const auto touch = messages(windows);
        REQUIRE(store.reserve({&touch, 1}, start, held).passed);
        REQUIRE(store.reserve({&touch, 1}, start, held).passed);
    }
    for (int i = 0; i < 3; ++i) REQUIRE(spend(store, messages(windows), start).passed);
    CHECK_FALSE(spend(store, messages(windows), start).passed);
}

TEST_CASE("holding and giving back never gains anything") {
    // Hold the whole bucket until it has refilled, spend what refilled, then give back: nothing is
    // there twice.
    LimitStore store;
    const std::vector<Window> windows{{60, 60s}};
    const auto touch = messages(windows);
    std::vector<Reservation> held(60);
    for (auto& r : held) REQUIRE(store.reserve({&touch, 1}, start, r).passed);
    for (int i = 0; i < 60; ++i) REQUIRE(spend(store, touch, start + 60s).passed);
    held.clear();
    CHECK_FALSE(spend(store, touch, start + 60s).passed);
}

TEST_CASE("however messages are held and refused, accepted ones keep to the limit") {
    std::mt19937 random(11);
    for (int round = 0; round < 60; ++round) {
        LimitStore store;
        const std::vector<Window> windows{{1 + random() % 20, seconds(10 + random() % 60)}};
        const auto touch = messages(windows);
        std::vector<Reservation> held;
        std::vector<SteadyTime> accepted;
        auto now = start;
        for (int i = 0; i < 600; ++i) {
            now += std::chrono::milliseconds(random() % 2'000);
            const auto what = random() % 4;
            if (what < 2) {
                Reservation r;
                if (store.reserve({&touch, 1}, now, r).passed) held.push_back(std::move(r));
            } else if (!held.empty()) {
                const auto which = random() % held.size();
                if (what == 2) {
                    held[which].commit();
                    accepted.push_back(now);
                }
                held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
            }
        }
        // What is left is never more than a bucket that saw only what was accepted (at the latest)
        // would hold.
        held.clear();
        std::size_t left = 0;
        while (spend(store, touch, now).passed) ++left;
        CHECK(left <= windows[0].amount);
    }
}

TEST_CASE("more than a window's amount never passes") {
    LimitStore store;
    const std::vector<Window> windows{{10, 60s}};
    const auto answer = spend(store, messages(windows, "ann@example.net", 11), start);
    CHECK_FALSE(answer.passed);
    CHECK(answer.never);
    CHECK(spend(store, messages(windows, "ann@example.net", 10), start).passed);
}

TEST_CASE("no windows are no limit, keys do not touch each other, a changed window starts full") {
    LimitStore store;
    for (int i = 0; i < 1'000; ++i) REQUIRE(spend(store, messages({}), start).passed);
    CHECK(store.size() == 0);
    const std::vector<Window> one{{1, 60s}};
    const std::vector<Window> two{{2, 60s}};
    CHECK(spend(store, messages(one, "a"), start).passed);
    CHECK(spend(store, messages(one, "b"), start).passed);
    CHECK_FALSE(spend(store, messages(one, "a"), start).passed);
    CHECK(spend(store, messages(two, "a"), start).passed);
}

TEST_CASE("the store's memory is bounded, and what is full is forgotten first") {
    LimitStore store(6'400);
    const std::vector<Window> windows{{10, 60s}};
    for (int i = 0; i < 200'000; ++i) {
        REQUIRE(spend(store, messages(windows, "account" + std::to_string(i)), start).passed);
    }
    CHECK(store.size() <= 6'464);
    // Those are all full again: new ones take their place, and one that is used up stays.
    for (int i = 0; i < 10; ++i)
        REQUIRE(spend(store, messages(windows, "busy"), start + 100s).passed);
    for (int i = 0; i < 200'000; ++i) {
        (void)spend(store, messages(windows, "late" + std::to_string(i)), start + 101s);
    }
    CHECK_FALSE(spend(store, messages(windows, "busy"), start + 101s).passed);
}

TEST_CASE("threads that reserve, commit and give back share one bucket truly") {
    LimitStore store;
    const std::vector<Window> windows{{1'000, std::chrono::hours(24)}};
    const std::vector<Window> other{{100'000, std::chrono::hours(24)}};
    std::atomic<int> accepted{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random(t);
            const std::vector<Touch> touches{messages(windows),
                                             messages(other, "bob" + std::to_string(t))};
            for (int i = 0; i < 3'000; ++i) {
                Reservation held;
                if (!store.reserve(touches, start, held).passed) continue;
                if (random() % 2 != 0) continue;
                held.commit();
                ++accepted;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    while (spend(store, messages(windows), start).passed) ++accepted;
    CHECK(accepted == 1'000);
}
