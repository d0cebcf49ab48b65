// What operators say of an entry: hold, release, reroute, drop, by selectors.
#include <atomic>
#include <cerrno>
#include <random>
#include <set>

#include "harness.hpp"
#include "relay/spool/bytes.hpp"
#include "relay/spool/checksum.hpp"
#include "relay/spool/frame.hpp"
#include "relay/spool/record.hpp"

using namespace postern::test;
using postern::relay::ChangeOutcome;
using postern::relay::EntryChange;
using postern::relay::EntryInfo;
using postern::relay::EntrySelector;
using Kind = EntryChange::Kind;
using List = std::vector<std::string>;

namespace {

EntryInfo the(Spool& spool, const std::string& id) {
    const auto found = spool.list({.ids = {id}}, 1, {});
    REQUIRE(found.size() == 1);
    return found.front();
}

void is(const ChangeOutcome& outcome, std::size_t matched, std::size_t changed,
        std::size_t failed) {
    CHECK(outcome.matched == matched);
    CHECK(outcome.changed == changed);
    CHECK(outcome.failed == failed);
    CHECK(outcome.failures.size() == std::min(failed, ChangeOutcome::failures_kept));
    CHECK_FALSE(outcome.error.failed());
}

std::string id_number(int i) {
    return "01" + std::to_string(10'000 + i);
}

std::string with_its_check(const std::string& content) {
    std::string out;
    postern::relay::spool::put_u32(out, postern::relay::spool::crc32c(content));
    return out + content;
}

}  // namespace

TEST_CASE("a hold stops an entry over restarts, and its release makes it due", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    EntryUpdate before = deferral("01A", 3, at(500s));
    before.delay_notified = true;
    REQUIRE(commit(*spool, updating(before)));
    is(change(*spool, Kind::hold, {.ids = {"01A"}}), 1, 1, 0);
    is(change(*spool, Kind::hold, {.ids = {"01A"}}), 1, 0, 0);
    for (int round = 0; round < 3; ++round) {
        CHECK(spool->take_due(at(9000s), 5).empty());
        CHECK_FALSE(spool->next_due().has_value());
        is(change(*spool, Kind::retry, {}), 1, 0, 1);
        const EntryInfo info = the(*spool, "01A");
        CHECK(info.state == EntryState::held);
        CHECK(info.reason == "by hand");
        CHECK(info.attempts == 3);
        CHECK(info.last_reply == "451 4.3.0 later");
        CHECK(info.delay_notified);
        CHECK(spool->stats().entries[static_cast<int>(EntryState::held)] == 1);
        CHECK(spool->stats().entries[static_cast<int>(EntryState::deferred)] == 0);
        spool.reset();
        spool = open_spool(fs, told);
    }
    is(change(*spool, Kind::release, {.states = {EntryState::held}}, at(20s)), 1, 1, 0);
    CHECK(the(*spool, "01A").reason.empty());
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(spool->take_due(at(20s), 5) == List{"01A"});
    CHECK(spool->load("01A")->delay_notified);
    is(change(*spool, Kind::release, {}), 1, 0, 0);
}

TEST_CASE("an attempt in hand ends as it does, then the hold holds", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (const char* id : {"01A", "01B", "01C", "01D"}) {
        REQUIRE(commit(*spool, adding(make_entry(id, 100, 2))));
    }
    REQUIRE(spool->take_due(at(0s), 4).size() == 4);
    is(change(*spool, Kind::hold, {}), 4, 4, 0);
    CHECK(the(*spool, "01A").state == EntryState::active);
    CHECK(ids(*spool, {.states = {EntryState::held}}).size() == 4);
    CHECK(spool->load("01A")->held);

    REQUIRE(commit(*spool, updating(delivery("01A", {0, 1}))));
    EntryUpdate part = deferral("01B", 1, at(60s));
    part.done.push_back({0, Settled::delivered});
    REQUIRE(commit(*spool, updating(part)));
    spool->put_back("01C", at(1s));
    CHECK(ids(*spool) == List{"01B", "01C", "01D"});
    CHECK(the(*spool, "01B").state == EntryState::held);
    CHECK(the(*spool, "01B").reason == "by hand");
    CHECK(the(*spool, "01C").state == EntryState::held);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(spool->take_due(at(9000s), 5).empty());
    for (const char* id : {"01B", "01C", "01D"}) {
        CHECK(the(*spool, id).state == EntryState::held);
    }
    CHECK(spool->load("01B")->open == std::vector<std::uint32_t>{1});
    is(change(*spool, Kind::release, {}), 3, 3, 0);
    CHECK(spool->take_due(at(1s), 5).size() == 3);
}

TEST_CASE("mail in doubt is held as such, and goes no other way", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    NewEntry doubt = make_entry("01D");
    doubt.state = EntryState::in_doubt;
    doubt.upstream = "first";
    doubt.next_attempt = at(600s);
    REQUIRE(commit(*spool, adding(std::move(doubt))));
    const auto refused = change(*spool, Kind::reroute, {}, at(1s), "second");
    is(refused, 1, 0, 1);
    CHECK(refused.failures.front().why.find("first may have it already") != std::string::npos);
    is(change(*spool, Kind::reroute, {}, at(1s), "first"), 1, 0, 0);
    is(change(*spool, Kind::hold, {}), 1, 1, 0);
    is(change(*spool, Kind::reroute, {}, at(1s), "second"), 1, 0, 1);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(spool->take_due(at(9000s), 5).empty());
    CHECK(spool->load("01D")->entry.state == EntryState::in_doubt);
    is(change(*spool, Kind::release, {}, at(1s)), 1, 1, 0);
    CHECK(the(*spool, "01D").state == EntryState::in_doubt);
    CHECK(spool->take_due(at(599s), 5).empty());
    REQUIRE(spool->take_due(at(600s), 5).size() == 1);
    CHECK(spool->load("01D")->entry.upstream == "first");
}

TEST_CASE("a suspension and a hold are two things", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    REQUIRE(commit(*spool, adding(make_entry("01B"))));
    is(change(*spool, Kind::hold, {.ids = {"01A"}}), 1, 1, 0);
    REQUIRE(freeze(*spool, "ann@example.net", true));
    CHECK(the(*spool, "01A").state == EntryState::frozen);
    CHECK(spool->stats().entries[static_cast<int>(EntryState::frozen)] == 2);
    CHECK(ids(*spool, {.states = {EntryState::held}}) == List{"01A"});
    CHECK(ids(*spool, {.states = {EntryState::frozen}}).size() == 2);
    const auto released = change(*spool, Kind::release, {.ids = {"01B"}});
    is(released, 1, 0, 1);
    CHECK(released.failures.front().why.find("suspended") != std::string::npos);
    spool.reset();
    spool = open_spool(fs, told);

    SECTION("the account's release leaves what is held") {
        REQUIRE(freeze(*spool, "ann@example.net", false));
        CHECK(the(*spool, "01A").state == EntryState::held);
        CHECK(spool->take_due(at(9s), 5) == List{"01B"});
    }
    SECTION("the hold's release leaves what is frozen") {
        is(change(*spool, Kind::release, {.states = {EntryState::held}}), 1, 1, 0);
        CHECK(spool->take_due(at(9s), 5).empty());
        REQUIRE(freeze(*spool, "ann@example.net", false));
        CHECK(spool->take_due(at(9s), 5).size() == 2);
    }
}

TEST_CASE("a rerouted entry keeps its way, whatever was tried meanwhile", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    REQUIRE(commit(*spool, updating(deferral("01A", 1, at(900s)))));
    is(change(*spool, Kind::reroute, {.upstreams = {"primary"}}, at(5s), "second"), 1, 1, 0);
    for (int round = 0; round < 2; ++round) {
        CHECK(the(*spool, "01A").rerouted);
        CHECK(the(*spool, "01A").upstream == "second");
        CHECK(spool->take_due(at(5s), 5) == List{"01A"});
        CHECK(spool->load("01A")->rerouted);
        spool->put_back("01A", at(5s));
        spool.reset();
        spool = open_spool(fs, told);
    }
    REQUIRE(spool->take_due(at(5s), 5).size() == 1);
    is(change(*spool, Kind::reroute, {}, at(5s), "third"), 1, 1, 0);
    CHECK(the(*spool, "01A").state == EntryState::active);
    REQUIRE(commit(*spool, updating(deferral("01A", 2, at(60s)))));
    CHECK(the(*spool, "01A").upstream == "third");
    CHECK(spool->load("01A")->entry.attempts == 2);

    // In doubt elsewhere: it belongs to who had its dot.
    EntryUpdate doubt = deferral("01A", 3, at(70s));
    doubt.state = EntryState::in_doubt;
    REQUIRE(commit(*spool, updating(doubt)));
    CHECK_FALSE(spool->load("01A")->rerouted);
    CHECK(spool->load("01A")->entry.upstream == "primary");
}

TEST_CASE("in doubt by the way it was sent, an entry stays with it", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    is(change(*spool, Kind::reroute, {}, at(5s), "primary"), 1, 1, 0);
    EntryUpdate doubt = deferral("01A", 3, at(70s));
    doubt.state = EntryState::in_doubt;
    REQUIRE(commit(*spool, updating(doubt)));
    REQUIRE(commit(*spool, updating(deferral("01A", 4, at(90s)))));
    CHECK(spool->load("01A")->rerouted);
}

TEST_CASE("holds and ways outlive compaction", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    std::set<std::string> kept;
    for (int i = 0; i < 200; ++i) REQUIRE(commit(*spool, adding(make_entry(id_number(i), 2000))));
    for (int i = 0; i < 200; i += 20) kept.insert(id_number(i));
    const EntrySelector those{.ids = {kept.begin(), kept.end()}};
    is(change(*spool, Kind::hold, those), kept.size(), kept.size(), 0);
    is(change(*spool, Kind::reroute, those, at(1s), "second"), kept.size(), kept.size(), 0);
    for (int i = 0; i < 200; ++i) {
        if (!kept.contains(id_number(i))) REQUIRE(commit(*spool, updating(delivery(id_number(i)))));
    }
    // What was in the first segment is elsewhere now.
    CHECK(eventually([&] {
        const auto names = fs.names(root);
        return std::ranges::find(names, "0000000001.seg") == names.end();
    }));
    for (int round = 0; round < 2; ++round) {
        const auto found = spool->list({}, 1000, {});
        CHECK(found.size() == kept.size());
        for (const EntryInfo& info : found) {
            CHECK(info.state == EntryState::held);
            CHECK(info.reason == "by hand");
            CHECK(info.rerouted);
            CHECK(info.upstream == "second");
        }
        spool.reset();
        spool = open_spool(fs, told);
    }
    CHECK(told.damaged.empty());
}

TEST_CASE("a change of very many goes page by page, with a limit, and ends when it must",
          "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    constexpr int many = 1300;
    for (int from = 0; from < many; from += 100) {
        SpoolBatch batch;
        for (int i = from; i < from + 100; ++i) {
            batch.add.push_back(make_entry(id_number(i), 10));
            if (i % 2 == 1) batch.add.back().account = "bob@example.net";
        }
        REQUIRE(commit(*spool, std::move(batch)));
    }
    is(change(*spool, Kind::hold, {}), many, many, 0);
    int asked = 0;
    EntryChange some{.kind = Kind::release, .now = at(0s), .stop = [&] { return ++asked > 1; }};
    const auto stopped = spool->change({}, some, {});
    CHECK(stopped.error == SpoolError::busy);
    CHECK(stopped.changed == 1000);
    some.stop = {};
    some.limit = 10;
    is(spool->change({.states = {EntryState::held}}, some, {}), 10, 10, 0);
    CHECK(ids(*spool, {.states = {EntryState::held}}).size() == many - 1010);
    CHECK(ids(*spool, {.states = {EntryState::held}}).front() == id_number(1010));

    // One is in hand.
    const std::string busy = spool->take_due(at(1s), 1).front();
    const std::string account = the(*spool, busy).account;
    List gone;
    const auto dropped =
        spool->change({.accounts = {account}},
                      {.kind = Kind::drop, .reason = "spam run", .now = at(0s), .stop = {}},
                      [&](const EntryInfo& info) {
                          CHECK(info.reason == "spam run");
                          gone.push_back(info.id);
                      });
    is(dropped, many / 2, many / 2 - 1, 1);
    CHECK(std::ranges::is_sorted(gone));
    CHECK(gone.size() == many / 2 - 1);
    CHECK(ids(*spool, {.accounts = {account}}) == List{busy});
    spool->put_back(busy, at(1s));
    CHECK(drop(*spool, {.accounts = {account}})->size() == 1);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool).size() == many / 2);
}

TEST_CASE("a change that cannot be recorded has not been made", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    std::atomic<bool> broken = true;
    fs.set_hook([&](const SimulatedFileSystem::Event& event) {
        const bool fails = event.call == SimulatedFileSystem::Call::sync && broken;
        return fails ? boost::system::error_code(EIO, boost::system::system_category())
                     : boost::system::error_code{};
    });
    const auto failed = change(*spool, Kind::hold, {});
    CHECK(failed.error.failed());
    CHECK(failed.changed == 0);
    CHECK(failed.failed == 1);
    CHECK(the(*spool, "01A").state == EntryState::ready);
    broken = false;
    CHECK(eventually([&] { return change(*spool, Kind::hold, {}).changed == 1; }));
    std::mt19937 random(7);
    spool->stop();
    const auto failed_later = change(*spool, Kind::release, {});
    CHECK(failed_later.error == SpoolError::busy);
    const auto crashed = fs.crashed_now(random);
    spool.reset();
    spool = open_spool(*crashed, told);
    CHECK(the(*spool, "01A").state == EntryState::held);
    spool.reset();  // Before the files that it works on.
}

TEST_CASE("entries are selected by where they came from", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    const std::vector<std::pair<std::string, std::string>> from = {
        {"01A", "192.0.2.7"}, {"01B", "192.0.2.200"}, {"01C", "2001:db8::1"}, {"01D", ""}};
    for (const auto& [id, source] : from) {
        NewEntry e = make_entry(id);
        e.source = source;
        REQUIRE(commit(*spool, adding(std::move(e))));
    }
    const std::vector<std::pair<std::string, List>> cases = {{"192.0.2.7", {"01A"}},
                                                             {"192.0.2.0/24", {"01A", "01B"}},
                                                             {"2001:db8::/32", {"01C"}},
                                                             {"0.0.0.0/0", {"01A", "01B"}},
                                                             {"198.51.100.0/24", {}}};
    for (int round = 0; round < 2; ++round) {
        for (const auto& [network, expected] : cases) {
            CAPTURE(network);
            CHECK(ids(*spool, {.sources = {*postern::proto::Network::parse(network)}}) == expected);
        }
        CHECK(the(*spool, "01A").source == "192.0.2.7");
        spool.reset();
        spool = open_spool(fs, told);
    }
}

TEST_CASE("records of the first format are read as they were meant", "[spool]") {
    using namespace postern::relay::spool;
    struct Case {
        EntryState written;
        std::uint8_t notified;
        EntryState beneath;
        bool held;
    };
    for (const Case& c : {Case{EntryState::deferred, 1, EntryState::deferred, false},
                          Case{EntryState::in_doubt, 0, EntryState::in_doubt, false},
                          Case{EntryState::held, 1, EntryState::deferred, true}}) {
        std::string content;
        put_text(content, "01A");
        put_u8(content, static_cast<std::uint8_t>(c.written));
        put_u64(content, static_cast<std::uint64_t>(to_disk(at(5s))));
        put_u32(content, 3);
        put_text(content, "up");
        put_text(content, "reply");
        put_text(content, "why");
        put_u8(content, c.notified);
        put_u32(content, 0);
        const auto state = decode_state(with_its_check(content));
        REQUIRE(state.has_value());
        CHECK(state->state == c.beneath);
        CHECK(state->held == c.held);
        CHECK_FALSE(state->rerouted);
        CHECK(state->delay_notified == (c.notified != 0));
        CHECK(state->reason == "why");
    }
    for (const EntryState beneath : {EntryState::deferred, EntryState::in_doubt}) {
        StateRecord held;
        held.id = "01A";
        held.state = beneath;
        held.held = true;
        held.rerouted = beneath == EntryState::deferred;
        std::string octets;
        encode_state(held, octets);
        const auto state = decode_state(octets);
        REQUIRE(state.has_value());
        CHECK(state->state == beneath);
        CHECK(state->held);
        CHECK(state->rerouted == held.rerouted);
        CHECK_FALSE(state->delay_notified);
    }
}

TEST_CASE("a spool of the first format is opened, and goes on in this one", "[spool]") {
    using namespace postern::relay::spool;
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    spool.reset();
    for (const std::string& name : fs.names(root)) {
        if (!name.ends_with(".seg")) continue;
        const std::string path = root + "/" + name;
        std::string octets = fs.content(path);
        auto header = decode_header(std::string_view(octets).substr(0, 4096));
        REQUIRE(header.has_value());
        header->version = oldest_version;
        const std::string front = encode_header(*header);
        octets.replace(0, front.size(), front);
        fs.put(path, octets);
    }
    spool = open_spool(fs, told);
    CHECK(ids(*spool) == List{"01A"});
    is(change(*spool, Kind::hold, {}), 1, 1, 0);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(the(*spool, "01A").state == EntryState::held);
    CHECK(told.damaged.empty());
}
