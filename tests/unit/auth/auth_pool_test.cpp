#include "auth/auth_pool.hpp"

#include <atomic>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

using Priority = AuthPool::Priority;
using namespace std::chrono_literals;

AuthPool::Settings one_thread(std::size_t queue) {
    AuthPool::Settings settings;
    settings.threads = 1;
    settings.queue = queue;
    return settings;
}

/// Keeps a pool's only thread busy until it is let go.
class Plug {
  public:
    explicit Plug(AuthPool& pool) {
        REQUIRE(pool.submit({[latches = latches_] {
                                 latches->running.count_down();
                                 latches->free.wait();
                             },
                             {}}));
        latches_->running.wait();
    }
    void pull() { latches_->free.count_down(); }

  private:
    struct Latches {
        std::latch running{1};
        std::latch free{1};
    };
    /// The job may still be coming out of its wait when the plug is gone.
    std::shared_ptr<Latches> latches_ = std::make_shared<Latches>();
};

AuthPool::Job job(std::function<void()> run, Priority priority) {
    AuthPool::Job made;
    made.run = std::move(run);
    made.priority = priority;
    return made;
}

TEST_CASE("known clients go first, and every eighth turn is a stranger's") {
    AuthPool pool(one_thread(100));
    std::string order;
    {
        Plug plug(pool);
        for (int i = 0; i < 3; ++i)
            REQUIRE(pool.submit(job([&] { order += 's'; }, Priority::stranger)));
        for (int i = 0; i < 20; ++i)
            REQUIRE(pool.submit(job([&] { order += 'k'; }, Priority::known)));
        CHECK(pool.queued() == 23);
        std::latch done(1);
        REQUIRE(pool.submit(job([&] { done.count_down(); }, Priority::stranger)));
        plug.pull();
        done.wait();
    }
    CHECK(order.substr(0, 8) == "kkkkkkks");
    CHECK(order.substr(8, 8) == "kkkkkkks");
    CHECK(order.size() == 23);
}

TEST_CASE("strangers that keep all threads busy leave the known one") {
    AuthPool::Settings settings = one_thread(100);
    settings.one_for_the_known = true;
    AuthPool pool(settings);
    Plug plug(pool);
    std::atomic<bool> stranger{false};
    REQUIRE(pool.submit(job([&] { stranger = true; }, Priority::stranger)));
    std::latch done(3);
    for (int i = 0; i < 3; ++i)
        REQUIRE(pool.submit(job([&] { done.count_down(); }, Priority::known)));
    done.wait();
    CHECK_FALSE(stranger);
    CHECK(pool.queued() == 1);
    plug.pull();
}

TEST_CASE(
    "suspects come after strangers, and starve neither behind them nor behind known clients") {
    AuthPool pool(one_thread(200));
    std::string order;
    {
        Plug plug(pool);
        std::latch done(1);
        for (int i = 0; i < 4; ++i)
            REQUIRE(pool.submit(job([&] { order += 'x'; }, Priority::suspect)));
        REQUIRE(pool.submit(job([&] { done.count_down(); }, Priority::suspect)));
        for (int i = 0; i < 16; ++i)
            REQUIRE(pool.submit(job([&] { order += 's'; }, Priority::stranger)));
        for (int i = 0; i < 80; ++i)
            REQUIRE(pool.submit(job([&] { order += 'k'; }, Priority::known)));
        plug.pull();
        done.wait();
    }
    // Seven strangers' turns of eight go to strangers, each of them one of eight turns in all.
    CHECK(order.substr(0, 64) ==
          "kkkkkkkskkkkkkkskkkkkkkskkkkkkkskkkkkkkskkkkkkkskkkkkkkskkkkkkkx");
    CHECK(order.size() == 100);
    CHECK(order.ends_with("ssxx"));
}

TEST_CASE("a full queue refuses, and strangers do not crowd out known clients") {
    AuthPool pool(one_thread(4));
    Plug plug(pool);
    std::atomic<int> ran{0};
    for (int i = 0; i < 4; ++i) CHECK(pool.submit(job([&] { ++ran; }, Priority::stranger)));
    CHECK_FALSE(pool.submit(job([&] { ++ran; }, Priority::stranger)));
    for (int i = 0; i < 4; ++i) CHECK(pool.submit(job([&] { ++ran; }, Priority::known)));
    CHECK_FALSE(pool.submit(job([&] { ++ran; }, Priority::known)));
    std::thread letting_go([&] { plug.pull(); });
    while (ran != 8) std::this_thread::sleep_for(1ms);
    letting_go.join();
    CHECK(pool.queued() == 0);
}

TEST_CASE("a job whose deadline passed while it waited is not run") {
    std::atomic<std::chrono::steady_clock::duration> now{0s};
    AuthPool::Settings settings = one_thread(10);
    settings.now = [&] { return std::chrono::steady_clock::time_point(now.load()); };
    AuthPool pool(std::move(settings));
    std::atomic<int> ran{0};
    std::atomic<int> expired{0};
    Plug plug(pool);
    const auto with_deadline = [&](std::chrono::seconds deadline) {
        AuthPool::Job made = job([&] { ++ran; }, Priority::stranger);
        made.expired = [&] { ++expired; };
        made.deadline = std::chrono::steady_clock::time_point(deadline);
        return made;
    };
    REQUIRE(pool.submit(with_deadline(5s)));
    REQUIRE(pool.submit(with_deadline(15s)));
    now = 10s;
    plug.pull();
    while (ran + expired != 2) std::this_thread::sleep_for(1ms);
    CHECK(ran == 1);
    CHECK(expired == 1);
}

TEST_CASE("stop answers what waits, joins, and refuses what comes later") {
    AuthPool pool(one_thread(10));
    std::atomic<int> expired{0};
    Plug plug(pool);
    for (const Priority priority : {Priority::known, Priority::stranger, Priority::suspect}) {
        AuthPool::Job made = job([] { FAIL("must not run"); }, priority);
        made.expired = [&] { ++expired; };
        REQUIRE(pool.submit(std::move(made)));
    }
    std::thread stopping([&] { pool.stop(); });
    while (pool.submit(job([] {}, Priority::known))) std::this_thread::sleep_for(1ms);
    plug.pull();
    stopping.join();
    CHECK(expired == 3);
    pool.stop();
    CHECK_FALSE(pool.submit(job([] {}, Priority::known)));
}

TEST_CASE(
    "while every thread hangs nothing is taken, and when one is free again all is as before") {
    std::atomic<std::chrono::steady_clock::duration> now{0s};
    AuthPool::Settings settings;
    settings.threads = 2;
    settings.queue = 10;
    settings.stuck_after = 5s;
    settings.now = [&] { return std::chrono::steady_clock::time_point(now.load()); };
    AuthPool pool(std::move(settings));
    Plug first(pool);
    now = 4s;
    Plug second(pool);
    std::atomic<int> ran{0};
    now = 6s;  // The first hangs, the second may still answer.
    CHECK(pool.submit(job([&] { ++ran; }, Priority::known)));
    now = 10s;
    CHECK_FALSE(pool.submit(job([&] { ++ran; }, Priority::known)));
    CHECK_FALSE(pool.submit(job([&] { ++ran; }, Priority::stranger)));
    second.pull();
    while (ran != 1) std::this_thread::sleep_for(1ms);
    while (!pool.submit(job([&] { ++ran; }, Priority::stranger))) std::this_thread::sleep_for(1ms);
    first.pull();
    while (ran != 2) std::this_thread::sleep_for(1ms);
}

TEST_CASE("a job that never ends does not keep a stop from returning, and is left behind") {
    // Shared with the thread: the test ends before it.
    const auto let_go = std::make_shared<std::latch>(1);
    const auto ended = std::make_shared<std::latch>(1);
    std::atomic<int> expired{0};
    {
        AuthPool pool(one_thread(10));
        std::latch running(1);
        AuthPool::Job hanging = job(
            [&running, let_go, ended] {
                running.count_down();
                let_go->wait();
                ended->count_down();
            },
            Priority::known);
        REQUIRE(pool.submit(std::move(hanging)));
        running.wait();
        AuthPool::Job waiting = job([] { FAIL("must not run"); }, Priority::known);
        waiting.expired = [&] { ++expired; };
        REQUIRE(pool.submit(std::move(waiting)));
        CHECK_FALSE(pool.stop_within(1ms));
        CHECK(expired == 1);
        CHECK_FALSE(pool.stop_within(1ms));
    }
    let_go->count_down();
    ended->wait();
    AuthPool idle(one_thread(10));
    CHECK(idle.stop_within(20s));
}

TEST_CASE("many threads may submit at once") {
    AuthPool::Settings settings;
    settings.threads = 4;
    settings.queue = 100000;
    AuthPool pool(std::move(settings));
    std::atomic<int> ran{0};
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 1000; ++i)
                    if (!pool.submit(
                            job([&] { ++ran; }, t % 2 == 0 ? Priority::known : Priority::stranger)))
                        std::abort();
            });
        }
    }
    while (ran != 4000) std::this_thread::sleep_for(1ms);
}

}  // namespace
}  // namespace postern::auth
