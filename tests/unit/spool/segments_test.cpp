// Whole segments that are not what they were: exchanged, copied, overwritten by another, cut, gone.

#include <algorithm>
#include <set>

#include "harness.hpp"

using namespace postern::test;

namespace {

using Ids = std::set<std::string>;

/// A spool of several segments on a disk, after a clean end.
struct Segments {
    SimulatedFileSystem fs;
    std::vector<std::string> paths;  ///< In order; the last one is the newest.
    Ids all;

    Segments() {
        Told told;
        auto spool = open_spool(fs, told);
        for (int i = 100; i < 160; ++i) {
            all.insert("01" + std::to_string(i));
            REQUIRE(commit(*spool, adding(make_entry("01" + std::to_string(i), 3000))));
        }
        spool.reset();
        for (const std::string& name : fs.names(root)) {
            if (name.ends_with(".seg")) paths.push_back(root + "/" + name);
        }
        std::ranges::sort(paths);
        REQUIRE(paths.size() >= 4);
    }

    /// Entries whose records stand in these octets.
    [[nodiscard]] Ids in(const std::string& octets) const {
        Ids out;
        for (const std::string& id : all) {
            if (octets.contains("<" + id + "@example.net>")) out.insert(id);
        }
        return out;
    }
    [[nodiscard]] Ids without(const Ids& these) const {
        Ids out;
        std::ranges::set_difference(all, these, std::inserter(out, out.end()));
        return out;
    }
    /// Whether a file under damaged/ holds just these octets.
    [[nodiscard]] bool set_aside(const std::string& octets) const {
        return std::ranges::any_of(fs.names(root + "/damaged"), [&](const std::string& name) {
            return fs.content(root + "/damaged/" + name) == octets;
        });
    }

    struct Found {
        Ids whole;
        std::size_t reports = 0;
    };
    /// What a start finds: each once. It works on, and the next start finds the same.
    Found recovered() {
        Told told;
        Found found;
        std::size_t listed = 0;
        {
            auto spool = open_spool(fs, told);
            for (const auto& info : spool->list({}, 1000, {})) {
                ++listed;
                INFO(info.id);
                CHECK(all.contains(info.id));
                CHECK_FALSE(found.whole.contains(info.id));
                if (info.state == EntryState::damaged) continue;
                const auto loaded = spool->load(info.id);
                REQUIRE(loaded.has_value());
                CHECK(octets(loaded->entry) == body_of(info.id, 3000));
                found.whole.insert(info.id);
            }
            REQUIRE(commit(*spool, adding(make_entry("09NEW"))));
        }
        found.reports = told.damaged.size();
        for (const auto& [id, where] : told.damaged) CHECK(where.starts_with(root));
        auto spool = open_spool(fs, told);
        CHECK(ids(*spool).size() == listed + 1);
        return found;
    }
};

}  // namespace

TEST_CASE("segments that were exchanged are set aside whole, and the mail of all others is there",
          "[spool]") {
    Segments disk;
    const std::string first = disk.fs.content(disk.paths[0]);
    const std::string second = disk.fs.content(disk.paths[1]);
    Ids theirs = disk.in(first);
    theirs.merge(disk.in(second));
    REQUIRE_FALSE(theirs.empty());
    disk.fs.put(disk.paths[0], second);
    disk.fs.put(disk.paths[1], first);
    const auto found = disk.recovered();
    CHECK(found.whole == disk.without(theirs));
    CHECK(found.reports == 2);
    CHECK(disk.set_aside(first));
    CHECK(disk.set_aside(second));
}

TEST_CASE("a copy of a segment under another number makes no mail twice", "[spool]") {
    Segments disk;
    const std::string first = disk.fs.content(disk.paths[0]);
    disk.fs.put(root + "/0000000099.seg", first);
    const auto found = disk.recovered();
    CHECK(found.whole == disk.all);
    CHECK(found.reports == 1);
    CHECK(disk.set_aside(first));
}

TEST_CASE("a copy of a segment over another one loses that one alone, and is named", "[spool]") {
    Segments disk;
    const Ids lost = disk.in(disk.fs.content(disk.paths[1]));
    REQUIRE_FALSE(lost.empty());
    disk.fs.put(disk.paths[1], disk.fs.content(disk.paths[0]));
    const auto found = disk.recovered();
    CHECK(found.whole == disk.without(lost));
    CHECK(found.reports == 1);
}

TEST_CASE("a segment that was cut, amid others, loses what was cut off, and is named", "[spool]") {
    for (const std::size_t kept : {0UL, 100UL, 4096UL, 20'000UL, 33'000UL}) {
        INFO("cut at " << kept);
        Segments disk;
        const std::string whole = disk.fs.content(disk.paths[1]);
        REQUIRE(whole.size() > kept);
        const std::string rest = whole.substr(0, kept);
        disk.fs.put(disk.paths[1], rest);
        const Ids elsewhere = disk.without(disk.in(whole));
        const auto found = disk.recovered();
        CHECK(found.reports >= 1);
        CHECK(std::ranges::includes(found.whole, elsewhere));
        // Of the frame at the cut the head may be left.
        const std::size_t most = elsewhere.size() + disk.in(rest).size();
        CHECK(found.whole.size() <= most);
        CHECK(found.whole.size() + 1 >= most);
    }
}

TEST_CASE("a segment that is gone takes its own mail alone", "[spool]") {
    Segments disk;
    const Ids lost = disk.in(disk.fs.content(disk.paths[1]));
    REQUIRE_FALSE(disk.fs.unlink(disk.paths[1]));
    // As far as anybody can tell it was emptied: nothing is left to report.
    const auto found = disk.recovered();
    CHECK(found.whole == disk.without(lost));
    CHECK(found.reports == 0);
}

TEST_CASE("the newest segment's copy under an older number is no older segment", "[spool]") {
    Segments disk;
    const Ids lost = disk.in(disk.fs.content(disk.paths[0]));
    disk.fs.put(disk.paths[0], disk.fs.content(disk.paths.back()));
    const auto found = disk.recovered();
    CHECK(found.whole == disk.without(lost));
    CHECK(found.reports == 1);
}
