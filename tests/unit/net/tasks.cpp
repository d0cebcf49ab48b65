#include <atomic>
#include <stdexcept>
#include <thread>

#include "relay/net/file_watch.hpp"
#include "relay/net/offload.hpp"
#include "relay/net/task_group.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;

namespace {

awaitable<void> naps(std::chrono::milliseconds time, int& done) {
    co_await pause(time);
    ++done;
}

awaitable<void> fails() {
    co_await pause(1ms);
    throw std::runtime_error("broken on purpose");
}

awaitable<void> joins(net::TaskGroup& group, int& done, int& seen) {
    co_await group.join();
    seen = done;
}

awaitable<void> works_elsewhere(asio::thread_pool& pool) {
    const auto home = std::this_thread::get_id();
    std::thread::id there;
    const int answer = co_await net::offload(pool, [&] {
        there = std::this_thread::get_id();
        return 42;
    });
    CHECK(answer == 42);
    CHECK(there != home);
    CHECK(std::this_thread::get_id() == home);
    auto moved = co_await net::offload(pool, [] { return std::make_unique<int>(7); });
    CHECK(*moved == 7);
    bool ran = false;
    co_await net::offload(pool, [&] { ran = true; });
    CHECK(ran);
    std::string caught;
    try {
        co_await net::offload(pool, [] { throw std::runtime_error("there"); });
    } catch (const std::exception& e) {
        caught = e.what();
    }
    CHECK(caught == "there");
}

}  // namespace

TEST_CASE("a task group counts, hears failures and joins", "[net][tasks]") {
    asio::io_context context(1);
    std::vector<std::string> heard;
    net::TaskGroup group(context.get_executor(),
                         [&](std::string_view what) { heard.emplace_back(what); });
    int done = 0;
    int seen = -1;
    for (int i = 0; i < 5; ++i) group.spawn(naps(std::chrono::milliseconds(i), done));
    group.spawn(fails());
    CHECK(group.count() == 6);
    run(context, joins(group, done, seen));
    CHECK(seen == 5);
    CHECK(group.count() == 0);
    CHECK(group.failures() == 1);
    CHECK(heard == std::vector<std::string>{"broken on purpose"});
}

TEST_CASE("joining an empty group ends at once", "[net][tasks]") {
    asio::io_context context(1);
    net::TaskGroup group(context.get_executor(), {});
    int done = 3;
    int seen = 0;
    run(context, joins(group, done, seen));
    CHECK(seen == 3);
}

TEST_CASE("offloaded work runs on the pool and comes home", "[net][tasks]") {
    asio::io_context context(1);
    asio::thread_pool pool(2);
    for (int i = 0; i < 50; ++i) run(context, works_elsewhere(pool));
    pool.join();
}

TEST_CASE("a changed file is told once it has settled", "[net][watch]") {
    asio::io_context context(1);
    const Folder folder;
    folder.write("a", "one");
    int changes = 0;
    net::FileWatch watch(
        context.get_executor(),
        [&] {
            ++changes;
            return true;
        },
        20ms);
    watch.set({folder.path("a"), folder.path("missing")});
    context.run_for(70ms);
    CHECK(changes == 0);
    folder.write("a", "two, longer");
    context.run_for(100ms);
    CHECK(changes == 1);
    folder.write("missing", "here");
    context.run_for(100ms);
    CHECK(changes == 2);
    watch.stop();
    context.run_for(50ms);
}
