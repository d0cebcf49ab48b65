#include <set>

#include "harness.hpp"

using namespace postern::test;

namespace {

using Call = SimulatedFileSystem::Call;
using boost::system::error_code;

struct Outcome {
    std::set<std::string> answered;  ///< Adds that heard success and were not ended.
    std::set<std::string> refused;
    int errors = 0;
    bool done = false;  ///< The fault came.
};

/// A fixed sequence of commits, small and large, with outcomes between; one call of the file port
/// fails. `from`: calls of open() are not counted.
Outcome run_with_fault(SimulatedFileSystem& fs, Told& told, Call call, int nth, int error) {
    Outcome out;
    auto spool = open_spool(fs, told);
    // The spare segment is made by another thread: wait for it, or the count of calls would depend
    // on it.
    REQUIRE(eventually([&] { return std::ranges::count(fs.names(root), "spare") == 1; }));
    int left = nth;
    fs.set_hook([&](const SimulatedFileSystem::Event& event) -> error_code {
        if (event.call != call || --left != 0) return {};
        out.done = true;
        return {error, boost::system::system_category()};
    });
    for (int i = 0; i < 30; ++i) {
        const std::string id = "01" + std::to_string(100 + i);
        const bool large = i % 7 == 3;
        const auto r = commit(*spool, adding(make_entry(id, large ? 20'000 : 3000)));
        (r ? out.answered : out.refused).insert(id);
        if (!r) ++out.errors;
        if (i % 3 == 2 && !out.answered.empty()) {
            const std::string ended = *out.answered.begin();
            const auto e = commit(*spool, updating(delivery(ended)));
            if (e) {
                out.answered.erase(ended);
            } else {
                ++out.errors;
            }
        }
    }
    // It works again, whatever failed.
    REQUIRE(eventually([&] { return commit(*spool, adding(make_entry("01LAST"))).has_value(); }));
    out.answered.insert("01LAST");
    CHECK(eventually([&] { return spool->stats().writable; }));
    spool.reset();
    fs.set_hook({});
    return out;
}

void check_found(SimulatedFileSystem& fs, const Outcome& outcome) {
    Told told;
    auto spool = open_spool(fs, told);
    const auto found = ids(*spool);
    CHECK(std::set<std::string>(found.begin(), found.end()) == outcome.answered);
    for (const std::string& id : found) CHECK(spool->load(id).has_value());
    CHECK(told.get([](Told& t) { return t.damaged.size(); }) == 0);
}

void each_in_turn(Call call, int error, int least_errors) {
    int errors = 0;
    int nth = 1;
    for (;; ++nth) {
        INFO("call " << static_cast<int>(call) << " number " << nth << " error " << error);
        SimulatedFileSystem fs(static_cast<std::uint32_t>(nth));
        Told told;
        const Outcome outcome = run_with_fault(fs, told, call, nth, error);
        errors += outcome.errors;
        std::mt19937 random(static_cast<std::uint32_t>(nth));
        const auto crashed = fs.crashed_now(random);
        check_found(fs, outcome);
        check_found(*crashed, outcome);
        if (outcome.errors > 0) {
            CHECK_FALSE(told.get([](Told& t) { return t.failed; }).empty());
            CHECK(told.get([](Told& t) { return t.recovered; }) > 0);
        }
        if (!outcome.done) break;
    }
    CHECK(nth > 2);
    CHECK(errors >= least_errors);
}

}  // namespace

TEST_CASE("no space at each write in turn: refused, nothing of it found, recovered", "[spool]") {
    each_in_turn(Call::write, ENOSPC, 20);
}
TEST_CASE("no space at each allocation in turn", "[spool]") {
    each_in_turn(Call::preallocate, ENOSPC, 1);
}
TEST_CASE("an I/O error at each write in turn", "[spool]") {
    each_in_turn(Call::write, EIO, 20);
}
TEST_CASE("an I/O error at each sync in turn: that file is never trusted again", "[spool]") {
    each_in_turn(Call::sync, EIO, 20);
}
TEST_CASE("an I/O error at each sync of a directory in turn", "[spool]") {
    each_in_turn(Call::sync_directory, EIO, 1);
}
TEST_CASE("an I/O error at each rename, opening, cutting and removal in turn", "[spool]") {
    each_in_turn(Call::rename, EIO, 0);
    each_in_turn(Call::open, EROFS, 0);
    each_in_turn(Call::truncate, EIO, 0);
    each_in_turn(Call::unlink, EIO, 0);
}

TEST_CASE("every commit of a failed group hears of it, and the next one goes to a new segment",
          "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    std::atomic<bool> fail = true;
    fs.set_hook([&](const SimulatedFileSystem::Event& event) -> error_code {
        const bool segment = event.path.find("0000000001.seg") != std::string::npos;
        if (event.call == Call::sync && segment && fail.exchange(false)) {
            return {EIO, boost::system::system_category()};
        }
        return {};
    });
    CHECK(commit(*spool, adding(make_entry("01B"))).error() == SpoolError::sync);
    fs.set_hook({});
    CHECK(told.get([](Told& t) { return t.failed; }) == std::vector<std::string>{"sync"});
    CHECK(commit(*spool, adding(make_entry("01C"))));
    CHECK(told.get([](Told& t) { return t.recovered; }) == 1);
    CHECK(ids(*spool) == std::vector<std::string>{"01A", "01C"});
    // Its segment is emptied and removed.
    CHECK(eventually([&] { return std::ranges::count(fs.names(root), "0000000001.seg") == 0; }));
    CHECK(spool->load("01A").has_value());
}

TEST_CASE("a full disk refuses mail, takes outcomes, and is over by itself", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto settings = small_settings();
    settings.segment_size = 256U << 10U;
    auto spool = open_spool(fs, told, settings);
    for (int i = 100; i < 120; ++i) {
        REQUIRE(commit(*spool, adding(make_entry("01" + std::to_string(i), 3000))));
    }
    REQUIRE(eventually([&] { return std::ranges::count(fs.names(root), "spare") == 1; }));
    fs.set_capacity(0);
    int refused = 0;
    for (int i = 0; i < 80; ++i) {
        const auto r = commit(*spool, adding(make_entry("02" + std::to_string(i), 6000)));
        if (r) continue;
        CHECK(r.error() == SpoolError::full);
        ++refused;
    }
    CHECK(refused > 20);
    CHECK(spool->reserve(100).error() == SpoolError::full);
    CHECK(eventually([&] {
        return told.get([](Told& t) { return std::ranges::count(t.failed, "full") > 0; });
    }));
    // Outcomes have the room that was allocated ahead.
    const auto entries = ids(*spool);
    int recorded = 0;
    for (const std::string& id : entries)
        recorded += commit(*spool, updating(delivery(id))) ? 1 : 0;
    CHECK(recorded == static_cast<int>(entries.size()));
    fs.set_capacity(1U << 30U);
    CHECK(eventually([&] { return commit(*spool, adding(make_entry("03"))).has_value(); }));
    CHECK(eventually([&] { return told.get([](Told& t) { return t.recovered; }) > 0; }));
    CHECK(spool->reserve(100).has_value());
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool) == std::vector<std::string>{"03"});
}

TEST_CASE("a spool on a full disk opens, and takes mail when there is space", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    spool.reset();
    static_cast<void>(fs.unlink(root + "/spare"));
    fs.set_capacity(0);
    spool = open_spool(fs, told);
    CHECK(ids(*spool).size() == 1);
    CHECK(spool->load("01A").has_value());
    CHECK_FALSE(spool->stats().writable);
    CHECK(commit(*spool, adding(make_entry("01B"))).error() == SpoolError::full);
    fs.set_capacity(1U << 30U);
    CHECK(eventually([&] { return commit(*spool, adding(make_entry("01B"))).has_value(); }));
}

TEST_CASE("a read-only disk refuses with an error, and is over by itself", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    fs.set_hook([&](const SimulatedFileSystem::Event& event) -> error_code {
        if (event.call != Call::read && event.call != Call::list) {
            return {EROFS, boost::system::system_category()};
        }
        return {};
    });
    CHECK(commit(*spool, adding(make_entry("01B"))).error() == SpoolError::write);
    CHECK(spool->reserve(1).error() == SpoolError::write);
    CHECK(spool->load("01A").has_value());
    fs.set_hook({});
    CHECK(eventually([&] { return commit(*spool, adding(make_entry("01C"))).has_value(); }));
    CHECK(ids(*spool) == std::vector<std::string>{"01A", "01C"});
}

TEST_CASE("a directory that is removed under it is noticed, and made again", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    fs.remove_directory(root);
    const auto lost = commit(*spool, adding(make_entry("01B")));
    CHECK_FALSE(lost.has_value());
    CHECK(eventually([&] { return commit(*spool, adding(make_entry("01C"))).has_value(); }));
    CHECK(
        eventually([&] { return commit(*spool, adding(make_entry("01D", 20'000))).has_value(); }));
    // What was open can still be read, and moves to where it has a name.
    CHECK(spool->load("01A").has_value());
    CHECK(eventually([&] { return spool->stats().writable; }));
    REQUIRE(eventually([&] {
        std::mt19937 random(1);
        const auto crashed = fs.crashed_now(random);
        Told other;
        auto again = open_spool(*crashed, other);
        return ids(*again) == std::vector<std::string>{"01A", "01C", "01D"};
    }));
}

TEST_CASE("reservations count against free space, and are given back", "[spool]") {
    SimulatedFileSystem fs;
    fs.set_capacity(10U << 20U);
    Told told;
    auto spool = open_spool(fs, told);
    auto first = spool->reserve(4U << 20U);
    REQUIRE(first.has_value());
    auto second = spool->reserve(4U << 20U);
    REQUIRE(second.has_value());
    CHECK(spool->reserve(4U << 20U).error() == SpoolError::full);
    *second = Spool::Reservation();
    CHECK(spool->reserve(4U << 20U).has_value());
    CHECK(spool->reserve(UINT64_MAX).error() == SpoolError::full);
    // A token may outlive the spool.
    spool.reset();
}

TEST_CASE("mail that would dip into the reserve is refused unless it was promised", "[spool]") {
    SimulatedFileSystem fs;
    fs.set_capacity(3U << 20U);
    Told told;
    auto spool = open_spool(fs, told);
    auto promise = spool->reserve(500'000);
    REQUIRE(promise.has_value());
    REQUIRE(eventually([&] { return std::ranges::count(fs.names(root), "spare") == 1; }));
    fs.put("/elsewhere/x", std::string(2U << 20U, 'x'));  // Somebody else takes the space.
    CHECK(eventually([&] { return spool->stats().free_bytes < (1U << 20U); }));
    CHECK(commit(*spool, adding(make_entry("01A", 400'000))));
    *promise = Spool::Reservation();
    CHECK(commit(*spool, adding(make_entry("01B", 400'000))).error() == SpoolError::full);
    REQUIRE(commit(*spool, updating(delivery("01A"))));
    CHECK(told.get([](Told& t) { return t.failed; }) == std::vector<std::string>{"full"});
}

TEST_CASE("below the reserve an outcome is taken with the notification that it owes", "[spool]") {
    SimulatedFileSystem fs;
    fs.set_capacity(3U << 20U);
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A", 1000, 2))));
    REQUIRE(eventually([&] { return std::ranges::count(fs.names(root), "spare") == 1; }));
    fs.put("/elsewhere/x", std::string(2U << 20U, 'x'));
    REQUIRE(eventually([&] { return spool->stats().free_bytes < (1U << 20U); }));
    auto notice = make_entry("01N");
    CHECK(commit(*spool, adding(notice)).error() == SpoolError::full);
    notice.dsn = true;
    auto batch = updating(delivery("01A", {0}));
    batch.add.push_back(notice);
    CHECK(commit(*spool, std::move(batch)));
    // Mail has no such way in.
    batch = updating(delivery("01A", {1}));
    batch.add.push_back(make_entry("01M"));
    CHECK(commit(*spool, std::move(batch)).error() == SpoolError::full);
    // Nor has a notice of delay: it ends no mail, and can come later.
    batch = updating(deferral("01A", 1, at(60s)));
    batch.add.push_back(make_entry("01D"));
    batch.add.back().dsn = true;
    CHECK(commit(*spool, std::move(batch)).error() == SpoolError::full);
    CHECK(ids(*spool) == std::vector<std::string>{"01A", "01N"});
}

TEST_CASE("on a disk without space a notification leaves the rest to the outcomes", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto settings = small_settings();
    settings.segment_size = 256U << 10U;
    auto spool = open_spool(fs, told, settings);
    for (int i = 100; i < 120; ++i) {
        REQUIRE(commit(*spool, adding(make_entry("01" + std::to_string(i), 3000, 100))));
    }
    REQUIRE(eventually([&] { return std::ranges::count(fs.names(root), "spare") == 1; }));
    fs.set_capacity(0);
    const auto entries = ids(*spool);
    int refused = 0;
    for (std::uint32_t i = 0; i < 80; ++i) {
        auto batch = updating(delivery(entries[0], {i + 1}));
        batch.add.push_back(make_entry("02" + std::to_string(i), 6000));
        batch.add.back().dsn = true;
        const auto r = commit(*spool, std::move(batch));
        if (r) continue;
        CHECK(r.error() == SpoolError::full);
        ++refused;
    }
    CHECK(refused > 20);
    for (const std::string& id : entries) CHECK(commit(*spool, updating(delivery(id))));
}
