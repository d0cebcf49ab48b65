#include <set>

#include "harness.hpp"
#include "relay/spool/frame.hpp"

using namespace postern::test;

namespace {

constexpr std::string_view first_segment = "/spool/0000000001.seg";

struct Found {
    std::set<std::string> intact;
    std::set<std::string> damaged;   ///< Listed as such.
    std::set<std::string> reported;  ///< By id.
    std::size_t reports = 0;
};

/// Recovers, and reads every entry.
Found recover(SimulatedFileSystem& fs) {
    Told told;
    Found found;
    auto spool = open_spool(fs, told);
    for (const auto& info : spool->list({}, 1000, {})) {
        if (info.state == EntryState::damaged) {
            found.damaged.insert(info.id);
            CHECK_FALSE(spool->load(info.id).has_value());
            continue;
        }
        const auto loaded = spool->load(info.id);
        INFO(info.id);
        REQUIRE(loaded.has_value());
        REQUIRE(octets(loaded->entry) == body_of(info.id, 150));
        found.intact.insert(info.id);
    }
    // It goes on working.
    REQUIRE(commit(*spool, adding(make_entry("09NEW"))));
    const std::lock_guard lock(told.mutex);
    found.reports = told.damaged.size();
    for (const auto& [id, where] : told.damaged) {
        found.reported.insert(id);
        // What is left of it is where the report says.
        CHECK(where.starts_with(root));
    }
    return found;
}

const std::vector<std::string> all_ids = {
    "01AAAAAAAAAAAAAAAAAAAAAAA1", "01AAAAAAAAAAAAAAAAAAAAAAA2", "01AAAAAAAAAAAAAAAAAAAAAAA3",
    "01AAAAAAAAAAAAAAAAAAAAAAA4"};

/// Four entries; of the second an attempt was recorded. Then a clean end.
std::string four_entries() {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (const std::string& id : all_ids) REQUIRE(commit(*spool, adding(make_entry(id, 150))));
    REQUIRE(commit(*spool, updating(deferral(all_ids[1], 1, at(60s)))));
    spool.reset();
    return fs.content(std::string(first_segment));
}

std::string trimmed(std::string bytes) {
    bytes.resize(bytes.find_last_not_of('\0') + 1);
    return bytes;
}

}  // namespace

TEST_CASE("a damaged octet anywhere loses at most what it is in, and says so", "[spool]") {
    const std::string whole = four_entries();
    const std::size_t end = trimmed(whole).size();
    std::size_t lost_any = 0;
    std::size_t unnamed = 0;
    for (std::size_t i = 0; i < end; ++i) {
        if (i >= 512 && i < 4000 && i % 64 != 0) continue;  // The header block is mostly empty.
        if (whole[i] == '\0' && i % 16 != 0) continue;      // Likewise the room between groups.
        INFO("octet " << i);
        std::string bytes = whole;
        bytes[i] = static_cast<char>(bytes[i] ^ 0x5A);
        SimulatedFileSystem fs;
        static_cast<void>(fs.make_directory(root));
        fs.put(std::string(first_segment), bytes);
        const Found found = recover(fs);
        const std::size_t missing = all_ids.size() - found.intact.size();
        REQUIRE(missing <= 1);
        if (missing == 1) {
            ++lost_any;
            REQUIRE(found.reports >= 1);
            for (const std::string& id : all_ids) {
                if (found.intact.contains(id)) continue;
                if (!found.reported.contains(id)) ++unnamed;
            }
            CHECK_FALSE(fs.names(root + "/damaged").empty());
        }
    }
    CHECK(lost_any > 800);
    // Unnamed only where the octet is in the id itself, or tells how long it is.
    CHECK(unnamed < 200);
}

TEST_CASE("a damaged frame before answered ones is reported, one after them is a torn tail",
          "[spool]") {
    const std::string whole = four_entries();
    // The last group is the mark that the clean end left; the one before it the attempt.
    std::string bytes = trimmed(whole);
    const std::size_t mark = bytes.size() / 4096 * 4096;
    SECTION("the mark itself") {
        std::string cut = whole;
        std::fill(cut.begin() + static_cast<std::ptrdiff_t>(mark), cut.end(), '\0');
        SimulatedFileSystem fs;
        static_cast<void>(fs.make_directory(root));
        fs.put(std::string(first_segment), cut);
        const Found found = recover(fs);
        CHECK(found.reports == 0);
        CHECK(found.intact.size() == 4);
    }
    SECTION("a group that was never answered, torn") {
        std::string torn = whole;
        std::fill(torn.begin() + static_cast<std::ptrdiff_t>(mark), torn.end(), '\0');
        torn[mark - 4096 + 60] ^= 1;  // In the last group that is left.
        SimulatedFileSystem fs;
        static_cast<void>(fs.make_directory(root));
        fs.put(std::string(first_segment), torn);
        const Found found = recover(fs);
        CHECK(found.reports == 0);
        CHECK(found.intact.size() == 4);
    }
}

TEST_CASE("a segment that is cut, empty, or no segment is survived", "[spool]") {
    const std::string whole = four_entries();
    for (const std::size_t size : {0UL, 1UL, 4095UL, 4096UL, 4200UL, 8192UL, 8300UL, 12300UL}) {
        INFO("cut at " << size);
        SimulatedFileSystem fs;
        static_cast<void>(fs.make_directory(root));
        fs.put(std::string(first_segment), whole.substr(0, size));
        Told told;
        auto spool = open_spool(fs, told);
        CHECK(ids(*spool).size() <= 4);
        CHECK(commit(*spool, adding(make_entry("09NEW"))));
    }
    SimulatedFileSystem fs;
    static_cast<void>(fs.make_directory(root));
    fs.put(root + "/0000000007.seg", "no segment at all");
    fs.put(root + "/0000000003.seg", std::string(9000, 'x'));
    fs.put(root + "/readme.txt", "hello");
    Told told;
    auto spool = open_spool(fs, told);
    CHECK(told.damaged.size() == 2);
    CHECK(fs.names(root + "/damaged").size() == 2);
    CHECK(commit(*spool, adding(make_entry("09NEW"))));
    spool.reset();
    told.damaged.clear();
    spool = open_spool(fs, told);
    CHECK(told.damaged.empty());
    CHECK(ids(*spool) == std::vector<std::string>{"09NEW"});
}

TEST_CASE("a header that is lost altogether is replaced by the opening frame", "[spool]") {
    std::string bytes = four_entries();
    std::fill(bytes.begin(), bytes.begin() + 4096, 'x');
    SimulatedFileSystem fs;
    static_cast<void>(fs.make_directory(root));
    fs.put(std::string(first_segment), bytes);
    const Found found = recover(fs);
    CHECK(found.intact.size() == 4);
    CHECK(found.reports == 0);
}

TEST_CASE("a body that is damaged while the spool runs is found out at load, and stays known",
          "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01SMALL", 150))));
    REQUIRE(commit(*spool, adding(make_entry("01LARGE", 20'000))));
    REQUIRE(commit(*spool, adding(make_entry("01GONE", 20'000))));
    REQUIRE(commit(*spool, adding(make_entry("01FINE", 150))));
    const auto damage = [&](const std::string& path, const std::string& what) {
        auto file = fs.open(path, SimulatedFileSystem::Mode::write);
        REQUIRE(file.has_value());
        const std::string_view piece = "#";
        REQUIRE_FALSE((*file)->write(fs.content(path).find(what) + 3, {&piece, 1}));
    };
    damage(std::string(first_segment), body_of("01SMALL", 150));
    damage(root + "/bodies/01LARGE", "01LARGE\r\n01LARGE");
    REQUIRE_FALSE(fs.unlink(root + "/bodies/01GONE"));
    REQUIRE(spool->take_due(at(1s), 10).size() == 4);
    for (const char* id : {"01SMALL", "01LARGE", "01GONE"}) {
        CHECK(spool->load(id).error() == SpoolError::damaged);
        CHECK(spool->load(id).error() == SpoolError::damaged);
    }
    CHECK(told.get([](Told& t) { return t.damaged.size(); }) == 3);
    CHECK(spool->load("01FINE").has_value());
    CHECK(fs.content(root + "/damaged/01LARGE.eml").size() == 20'000);
    CHECK(fs.content(root + "/damaged/01SMALL.eml").size() == 150);
    const std::vector<std::string> three = {"01GONE", "01LARGE", "01SMALL"};
    CHECK(ids(*spool, {.states = {EntryState::damaged}}) == three);
    // That is recorded in the background.
    CHECK(eventually([&] {
        return spool->list({.ids = {"01SMALL"}}, 1, {}).front().reason.starts_with("body");
    }));
    CHECK(retry(*spool, {}, at(2s)) == 0);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool, {.states = {EntryState::damaged}}) == three);
    CHECK(spool->take_due(at(1s), 10) == std::vector<std::string>{"01FINE"});
    CHECK(drop(*spool, {.states = {EntryState::damaged}})->size() == 3);
}

TEST_CASE("octets of a message that look like frames are none", "[spool]") {
    // A copy of a whole segment, frames and all, travels as a body; and the frame around it is
    // damaged.
    const std::string evil = four_entries();
    SimulatedFileSystem fs;
    Told told;
    auto settings = small_settings();
    settings.inline_limit = 1U << 20U;
    auto spool = open_spool(fs, told, settings);
    NewEntry carrier = make_entry("01CARRIER");
    carrier.pieces = {evil};
    REQUIRE(commit(*spool, adding(std::move(carrier))));
    REQUIRE(commit(*spool, adding(make_entry("01OTHER"))));
    spool.reset();
    std::string bytes = fs.content(std::string(first_segment));
    bytes[8192 + 40] ^= 1;  // The frame behind the mark of an idle start.
    fs.put(std::string(first_segment), bytes);
    spool = open_spool(fs, told, settings);
    CHECK(ids(*spool) == std::vector<std::string>{"01OTHER"});
    CHECK(told.damaged.size() == 1);
}

TEST_CASE("compaction meets damage: what lives is saved, the rest is set aside", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (int i = 100; i < 130; ++i) {
        REQUIRE(commit(*spool, adding(make_entry("01" + std::to_string(i), 3000))));
    }
    const std::string bytes = fs.content(std::string(first_segment));
    const auto hurt = [&](const std::string& what, std::size_t skip) {
        auto file = fs.open(std::string(first_segment), SimulatedFileSystem::Mode::write);
        const std::string_view piece = "#";
        REQUIRE_FALSE((*file)->write(bytes.find(what) + skip, {&piece, 1}));
    };
    hurt(body_of("01101", 3000), 5);  // A body.
    hurt("<01102@example.net>", 1);   // An envelope.
    // Enough ends for the first segment to be worth compacting.
    for (int i = 103; i < 130; ++i) {
        REQUIRE(commit(*spool, updating(delivery("01" + std::to_string(i)))));
    }
    REQUIRE(eventually([&] { return fs.content(std::string(first_segment)).empty(); }));
    CHECK(spool->load("01100").has_value());
    CHECK(spool->load("01101").error() == SpoolError::damaged);
    CHECK(spool->load("01102").error() == SpoolError::not_found);
    const auto names = fs.names(root + "/damaged");
    CHECK(std::ranges::count(names, "01101.eml") == 1);
    CHECK(std::ranges::count(names, "01102.record") == 1);
    CHECK(told.get([](Told& t) { return t.damaged.size(); }) == 2);
    spool.reset();
    told.damaged.clear();
    spool = open_spool(fs, told);
    CHECK(told.damaged.empty());
    CHECK(ids(*spool, {.states = {EntryState::damaged}}) == std::vector<std::string>{"01101"});
}

TEST_CASE("a disk that does not give a segment now is asked again later, and nothing is lost",
          "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (int i = 100; i < 130; ++i) {
        REQUIRE(commit(*spool, adding(make_entry("01" + std::to_string(i), 3000))));
    }
    std::atomic<int> refused = 0;
    fs.set_hook([&](const SimulatedFileSystem::Event& event) -> boost::system::error_code {
        if (event.call == SimulatedFileSystem::Call::read &&
            event.path.starts_with(first_segment)) {
            ++refused;
            return {EIO, boost::system::system_category()};
        }
        return {};
    });
    for (int i = 103; i < 130; ++i) {
        REQUIRE(commit(*spool, updating(delivery("01" + std::to_string(i)))));
    }
    CHECK(eventually([&] { return refused > 0; }));
    std::this_thread::sleep_for(50ms);
    fs.set_hook({});
    CHECK(ids(*spool) == std::vector<std::string>{"01100", "01101", "01102"});
    CHECK(told.get([](Told& t) { return t.damaged.size(); }) == 0);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool) == std::vector<std::string>{"01100", "01101", "01102"});
    for (const std::string& id : ids(*spool)) CHECK(spool->load(id).has_value());
}
