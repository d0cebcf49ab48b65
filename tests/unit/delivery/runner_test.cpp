#include "relay/delivery/runner.hpp"

#include <algorithm>

#include "bench.hpp"

using namespace postern;
using namespace std::chrono_literals;
using relay::Path;
using relay::QueueRunner;
using relay::SpoolBatch;
using test::Bench;

namespace {

/// So many entries whose delay is to be told.
void old_entries(Bench& bench, int count) {
    for (int i = 0; i < count; ++i) bench.entry("01" + std::to_string(10'000 + i), 5h);
}

void add_path(Bench& bench) {
    relay::PathSettings settings;
    settings.upstream.name = "primary";
    settings.upstream.concurrency = 1;
    auto paths = std::make_shared<relay::PathSet>();
    paths->paths.push_back(std::make_shared<Path>(std::move(settings), bench.events));
    bench.paths = std::move(paths);
}

relay::awaitable<void> age(relay::Delivery& delivery, std::string& after) {
    after = co_await delivery.age_waiting(after);
}

/// A runner whose lane never ends what it is given.
struct Running {
    Bench& bench;
    std::vector<std::string> dealt;
    std::size_t told_before = 0;  ///< Batches that were written before the first was dealt.
    QueueRunner runner{bench.context,
                       bench.spool,
                       bench.delivery,
                       [this] { return bench.paths; },
                       {[this](std::string id) {
                           if (dealt.empty()) told_before = bench.spool.taken.size();
                           dealt.push_back(std::move(id));
                       }},
                       {.longest_sleep = 5ms, .aging_interval = 1ms}};

    explicit Running(Bench& on) : bench(on) { bench.tasks.spawn(runner.run()); }
    template <class F>
    bool until(F done) {
        const auto end = std::chrono::steady_clock::now() + 10s;
        while (!done() && std::chrono::steady_clock::now() < end) bench.context.run_one_for(20ms);
        return done();
    }
    void stop() {
        runner.stop();
        CHECK(until([&] { return bench.tasks.count() == 0; }));
    }
};

}  // namespace

TEST_CASE("entries are aged page by page, each once a round") {
    Bench bench;
    old_entries(bench, 109);
    std::string after;
    std::vector<std::size_t> taken;
    do {
        bench.run(age(bench.delivery, after));
        taken.push_back(bench.spool.taken.size());
    } while (!after.empty() && taken.size() < 10);
    CHECK(taken == std::vector<std::size_t>{100, 109});
    CHECK(bench.spool.loads == 109);
    CHECK(std::ranges::all_of(bench.spool.taken, [](const SpoolBatch& batch) {
        return batch.add.size() == 1 && batch.update[0].delay_notified;
    }));
}

TEST_CASE("a path that is busy ages nothing, one that is down does") {
    Bench bench;
    old_entries(bench, 3);
    add_path(bench);
    bench.spool.due = {"01DUE"};
    Running running(bench);
    REQUIRE(running.until([&] { return running.dealt.size() == 1; }));
    const auto end = std::chrono::steady_clock::now() + 50ms;
    running.until([&] { return std::chrono::steady_clock::now() > end; });
    CHECK(bench.spool.loads == 0);
    bench.paths->paths[0]->trip(std::chrono::steady_clock::now(), "login", "535 no");
    CHECK(running.until([&] { return bench.spool.loads >= 3; }));
    running.stop();
}

TEST_CASE("mail that a path takes again does not wait until all are aged") {
    Bench bench;
    old_entries(bench, 500);
    bench.spool.says = [&](const SpoolBatch&) -> boost::system::error_code {
        if (bench.spool.taken.size() == 40) {
            add_path(bench);
            bench.spool.due = {"01DUE"};
        }
        return {};
    };
    Running running(bench);
    REQUIRE(running.until([&] { return !running.dealt.empty(); }));
    CHECK(running.told_before < 60);
    running.stop();
}
