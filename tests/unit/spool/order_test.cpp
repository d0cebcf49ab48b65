#include <thread>

#include "harness.hpp"

using namespace postern::test;

namespace {

using Call = SimulatedFileSystem::Call;
using Event = SimulatedFileSystem::Event;

/// By the name that it was opened by: it gets its own only when it is ready.
bool is_segment(const Event& e) {
    return e.path.ends_with(".seg") || e.path.ends_with(".seg.new") || e.path.ends_with("/spare");
}

}  // namespace

TEST_CASE("no success is answered before the sync that covers it has returned", "[spool]") {
    SimulatedFileSystem fs;
    fs.record_events();
    Told told;
    auto spool = open_spool(fs, told);
    std::atomic<int> answered = 0;
    std::atomic<int> too_early = 0;
    for (int i = 0; i < 300; ++i) {
        spool->commit(adding(make_entry("01" + std::to_string(1000 + i), i % 50 == 7 ? 9000 : 800)),
                      [&](boost::system::result<void> r) {
                          // All writes to segments are the writer's, and so is this callback; the
                          // spare comes to its name by another thread.
                          const auto events = fs.events();
                          const auto last =
                              std::find_if(events.rbegin(), events.rend(), [](const Event& event) {
                                  return is_segment(event) && !event.path.ends_with("/spare");
                              });
                          const bool synced = last != events.rend() && last->call == Call::sync;
                          if (!r || !synced) ++too_early;
                          ++answered;
                      });
    }
    REQUIRE(eventually([&] { return answered == 300; }));
    CHECK(too_early == 0);
    spool.reset();

    // Of a large body: its file, then its name, then its record.
    const auto events = fs.events();
    const std::string body = root + "/bodies/011007";
    const auto find = [&](std::size_t from, Call call, const std::string& path) {
        for (std::size_t i = from; i < events.size(); ++i) {
            if (events[i].call == call && events[i].path == path) return i;
        }
        return events.size();
    };
    const std::size_t written = find(0, Call::write, body);
    const std::size_t synced = find(written, Call::sync, body);
    const std::size_t named = find(synced, Call::sync_directory, root + "/bodies");
    CHECK(named < events.size());
}

TEST_CASE("what is queued while a sync runs is one group: one write, one sync", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto settings = small_settings();
    settings.segment_size = 16U << 20U;
    auto spool = open_spool(fs, told, settings);
    REQUIRE(eventually([&] { return std::ranges::count(fs.names(root), "spare") == 1; }));
    REQUIRE(commit(*spool, adding(make_entry("00"))));
    std::mutex gate;
    gate.lock();
    std::atomic<int> syncs = 0;
    std::atomic<int> writes = 0;
    std::atomic<bool> waiting = false;
    fs.set_hook([&](const Event& event) -> boost::system::error_code {
        if (!is_segment(event)) return {};
        if (event.call == Call::write) ++writes;
        if (event.call == Call::sync) ++syncs;
        return {};
    });
    // The first group's callback holds the writer, while others queue.
    spool->commit(adding(make_entry("01")), [&](auto) {
        waiting = true;
        const std::lock_guard lock(gate);
    });
    REQUIRE(eventually([&] { return waiting.load(); }));
    syncs = 0;
    writes = 0;
    std::atomic<int> answered = 0;
    for (int i = 0; i < 100; ++i) {
        spool->commit(adding(make_entry("02" + std::to_string(100 + i))),
                      [&](boost::system::result<void> r) { answered += r ? 1 : 0; });
    }
    gate.unlock();
    REQUIRE(eventually([&] { return answered == 100; }));
    fs.set_hook({});
    CHECK(syncs == 1);
    CHECK(writes <= 2);  // The group, and afterwards perhaps the mark.
}

TEST_CASE("a full queue refuses mail at once, and never an outcome", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto settings = small_settings();
    settings.max_queued_batches = 4;
    auto spool = open_spool(fs, told, settings);
    REQUIRE(commit(*spool, adding(make_entry("00"))));
    REQUIRE(commit(*spool, adding(make_entry("0X"))));
    std::mutex gate;
    gate.lock();
    std::atomic<bool> waiting = false;
    spool->commit(adding(make_entry("01")), [&](auto) {
        waiting = true;
        const std::lock_guard lock(gate);
    });
    REQUIRE(eventually([&] { return waiting.load(); }));
    std::atomic<int> busy = 0;
    std::atomic<int> fine = 0;
    for (int i = 0; i < 10; ++i) {
        spool->commit(adding(make_entry("02" + std::to_string(i))),
                      [&](boost::system::result<void> r) {
                          if (r) {
                              ++fine;
                          } else if (r.error() == SpoolError::busy) {
                              ++busy;
                          }
                      });
    }
    // A notification goes with the outcome that owes it.
    std::atomic<bool> noticed = false;
    auto outcome = updating(delivery("0X"));
    outcome.add.push_back(make_entry("0Y"));
    outcome.add.back().dsn = true;
    spool->commit(std::move(outcome),
                  [&](boost::system::result<void> r) { noticed = r.has_value(); });
    std::atomic<bool> ended = false;
    spool->commit(updating(delivery("00")),
                  [&](boost::system::result<void> r) { ended = r.has_value(); });
    gate.unlock();
    REQUIRE(eventually([&] { return ended && busy + fine == 10; }));
    CHECK(noticed);
    CHECK(busy >= 5);
    CHECK(fine >= 4);
}

TEST_CASE("many threads commit, take, settle and look, and all of it adds up", "[spool]") {
    char name[] = "/tmp/postern-spool-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    const auto fs = postern::relay::posix_file_system();
    Told told;
    auto settings = small_settings();
    settings.path = std::string(name) + "/spool";
    settings.segment_size = 1U << 20U;
    constexpr int threads = 6;
    constexpr int each = 120;
    {
        auto spool = open_spool(*fs, told, settings);
        std::atomic<int> answered = 0;
        std::atomic<bool> stop = false;
        std::atomic<int> settled = 0;
        std::vector<std::thread> pool;
        for (int t = 0; t < threads; ++t) {
            pool.emplace_back([&, t] {
                for (int i = 0; i < each; ++i) {
                    NewEntry e = make_entry("01" + std::to_string(t) + std::to_string(1000 + i),
                                            i % 20 == 3 ? 20'000 : 1000);
                    e.account = "account" + std::to_string(t % 3);
                    spool->commit(adding(std::move(e)),
                                  [&](boost::system::result<void> r) { answered += r ? 1 : 0; });
                }
            });
        }
        pool.emplace_back([&] {
            while (settled < threads * each / 2) {
                for (const std::string& id : spool->take_due(at(1s), 5)) {
                    if (!spool->load(id)) continue;
                    spool->commit(updating(delivery(id)),
                                  [&](boost::system::result<void> r) { settled += r ? 1 : 0; });
                }
                std::this_thread::yield();
            }
        });
        pool.emplace_back([&] {
            while (!stop) {
                static_cast<void>(spool->list({.accounts = {"account1"}}, 50, {}));
                static_cast<void>(spool->stats());
                static_cast<void>(spool->next_due());
                static_cast<void>(retry(*spool, {.accounts = {"account2"}}, at(1s)));
                static_cast<void>(spool->reserve(1000));
                spool->freeze("account0", true, [](auto) {});
                spool->freeze("account0", false, [](auto) {});
                std::this_thread::sleep_for(1ms);
            }
        });
        REQUIRE(eventually(
            [&] { return answered == threads * each && settled >= threads * each / 2; }));
        stop = true;
        for (std::thread& t : pool) t.join();
        spool->stop();
        const auto left = static_cast<int>(ids(*spool).size());
        CHECK(left == threads * each - settled);
        spool.reset();
        spool = open_spool(*fs, told, settings);
        CHECK(static_cast<int>(ids(*spool).size()) == left);
        for (const std::string& id : ids(*spool)) CHECK(spool->load(id).has_value());
        CHECK(told.damaged.empty());
        CHECK(told.failed.empty());
    }
    const std::string command = std::string("rm -rf ") + name;
    CHECK(std::system(command.c_str()) == 0);
}
