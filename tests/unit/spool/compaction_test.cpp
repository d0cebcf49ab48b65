#include <set>

#include "harness.hpp"
#include "relay/spool/recovery.hpp"

using namespace postern::test;

namespace {

std::size_t segments(SimulatedFileSystem& fs) {
    const auto names = fs.names(root);
    return static_cast<std::size_t>(
        std::ranges::count_if(names, [](const auto& n) { return n.ends_with(".seg"); }));
}

std::string id_of(int i) {
    return "01" + std::to_string(10'000 + i);
}

}  // namespace

TEST_CASE("segments with little in them are emptied and removed, and nothing is lost", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    std::set<std::string> kept;
    for (int i = 0; i < 300; ++i) {
        REQUIRE(commit(*spool, adding(make_entry(id_of(i), 2000, 3))));
        EntryUpdate u = deferral(id_of(i), 7, at(60s));
        u.done.push_back({1, Settled::delivered});
        u.delay_notified = true;
        REQUIRE(commit(*spool, updating(u)));
    }
    REQUIRE(freeze(*spool, "mallory", true));
    const std::size_t before = segments(fs);
    CHECK(before >= 15);
    for (int i = 0; i < 300; ++i) {
        if (i % 20 == 0) {
            kept.insert(id_of(i));
        } else {
            REQUIRE(commit(*spool, updating(delivery(id_of(i), {0, 2}))));
        }
    }
    CHECK(eventually([&] { return segments(fs) < 12; }));
    for (int round = 0; round < 3; ++round) {
        const auto found = ids(*spool);
        CHECK(std::set<std::string>(found.begin(), found.end()) == kept);
        for (const std::string& id : found) {
            const auto loaded = spool->load(id);
            REQUIRE(loaded.has_value());
            CHECK(octets(loaded->entry) == body_of(id, 2000));
            CHECK(loaded->open == std::vector<std::uint32_t>{0, 2});
            CHECK(loaded->entry.attempts == 7);
            CHECK(loaded->entry.last_reply == "451 4.3.0 later");
            CHECK(loaded->delay_notified);
            CHECK(loaded->entry.next_attempt == at(60s));
        }
        spool.reset();
        spool = open_spool(fs, told);
    }
    NewEntry late = make_entry("09");
    late.account = "mallory";
    REQUIRE(commit(*spool, adding(std::move(late))));
    CHECK(ids(*spool, {.states = {EntryState::frozen}}) == std::vector<std::string>{"09"});
    CHECK(told.damaged.empty());
}

TEST_CASE("when all is delivered the spool is small again", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (int i = 0; i < 100; ++i) {
        REQUIRE(commit(*spool, adding(make_entry(id_of(i), i % 10 == 0 ? 20'000 : 3000))));
    }
    for (int i = 99; i >= 0; --i) REQUIRE(commit(*spool, updating(delivery(id_of(i)))));
    CHECK(eventually([&] { return segments(fs) <= 6; }));
    CHECK(eventually([&] { return fs.names(root + "/bodies").empty(); }));
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool).empty());
}

TEST_CASE("an active entry moves without anybody noticing", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("00", 2000))));
    REQUIRE(spool->take_due(at(1s), 1).size() == 1);
    for (int i = 0; i < 60; ++i) {
        REQUIRE(commit(*spool, adding(make_entry(id_of(i), 3000))));
        REQUIRE(commit(*spool, updating(delivery(id_of(i)))));
    }
    CHECK(eventually([&] { return fs.content(root + "/0000000001.seg").empty(); }));
    CHECK(spool->list({.ids = {"00"}}, 1, {}).front().state == EntryState::active);
    CHECK(spool->load("00").has_value());
    REQUIRE(commit(*spool, updating(delivery("00"))));
    CHECK(ids(*spool).empty());
}

TEST_CASE("many restarts leave few segments", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    for (int i = 0; i < 40; ++i) {
        auto spool = open_spool(fs, told);
        REQUIRE(commit(*spool, adding(make_entry(id_of(i)))));
    }
    auto spool = open_spool(fs, told);
    CHECK(eventually([&] { return segments(fs) <= 6; }));
    CHECK(ids(*spool).size() == 40);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool).size() == 40);
}

TEST_CASE("after a crash between copying and removing, the emptied segment goes before all others",
          "[spool]") {
    SimulatedFileSystem fs;
    std::mt19937 random(5);
    std::unique_ptr<SimulatedFileSystem> crashed;
    {
        Told told;
        auto spool = open_spool(fs, told);
        for (int i = 0; i < 30; ++i) REQUIRE(commit(*spool, adding(make_entry(id_of(i), 3000))));
        std::atomic<bool> taken = false;
        fs.set_hook([&](const SimulatedFileSystem::Event& event) -> boost::system::error_code {
            const bool removal = event.call == SimulatedFileSystem::Call::unlink &&
                                 event.path == root + "/0000000001.seg";
            if (removal && !taken.exchange(true)) crashed = fs.crashed(random);
            return {};
        });
        for (int i = 2; i < 30; ++i) REQUIRE(commit(*spool, updating(delivery(id_of(i)))));
        REQUIRE(eventually([&] { return taken.load(); }));
        fs.set_hook({});
    }
    namespace internal = postern::relay::spool;
    internal::Ledger ledger;
    int damaged = 0;
    const auto end = internal::recover(*crashed, {root}, ledger,
                                       [&](const auto&, const auto&, const auto&) { ++damaged; });
    REQUIRE(end.has_value());
    CHECK(damaged == 0);
    // Should an end record go before it, its entries would rise again.
    REQUIRE(ledger.segments.contains(1));
    CHECK(ledger.segments.at(1)->urgent);
    CHECK(ledger.segments.at(1)->live == 0);
    Told told;
    auto spool = open_spool(*crashed, told);
    CHECK(ids(*spool).size() >= 2);
    REQUIRE(commit(*spool, updating(delivery(id_of(0)))));
    CHECK(eventually([&] { return crashed->content(root + "/0000000001.seg").empty(); }));
    spool.reset();
    spool = open_spool(*crashed, told);
    CHECK(spool->load(id_of(0)).error() == SpoolError::not_found);
    CHECK(spool->load(id_of(1)).has_value());
}
