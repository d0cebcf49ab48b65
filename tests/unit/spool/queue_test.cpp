#include <thread>

#include "harness.hpp"
#include "relay/spool/frame.hpp"

using namespace postern::test;
using postern::relay::EntrySelector;

TEST_CASE("an entry is found again as it was stored, after a restart too", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    NewEntry entry = make_entry("01A", 3000, 2);
    entry.customer = "acme";
    entry.envelope.smtputf8 = true;
    entry.envelope.ret = postern::proto::Ret::headers;
    entry.envelope.envid = "E1";
    entry.envelope.body = postern::proto::Body::eight_bit_mime;
    entry.envelope.recipients[1].notify = postern::proto::Notify{.success = true, .delay = true};
    entry.envelope.recipients[1].orcpt = "rfc822;x@y";
    const auto envelope = entry.envelope;
    const std::string body = octets(entry);
    REQUIRE(commit(*spool, adding(std::move(entry))));
    for (int round = 0; round < 2; ++round) {
        const auto loaded = spool->load("01A");
        REQUIRE(loaded.has_value());
        CHECK(octets(loaded->entry) == body);
        CHECK(loaded->entry.account == "ann@example.net");
        CHECK(loaded->entry.customer == "acme");
        CHECK(loaded->entry.ref == "01A");
        CHECK(loaded->entry.message_id == "<01A@example.net>");
        CHECK(loaded->entry.created == at(0s));
        CHECK(loaded->entry.state == EntryState::ready);
        CHECK(loaded->entry.envelope.mail_from == envelope.mail_from);
        CHECK(loaded->entry.envelope.smtputf8);
        CHECK(loaded->entry.envelope.ret == envelope.ret);
        CHECK(loaded->entry.envelope.envid == "E1");
        CHECK(loaded->entry.envelope.body == envelope.body);
        REQUIRE(loaded->entry.envelope.recipients.size() == 2);
        CHECK(loaded->entry.envelope.recipients[1].notify == envelope.recipients[1].notify);
        CHECK_FALSE(loaded->entry.envelope.recipients[0].notify.has_value());
        CHECK(loaded->entry.envelope.recipients[1].orcpt == "rfc822;x@y");
        CHECK(loaded->open == std::vector<std::uint32_t>{0, 1});
        spool.reset();
        spool = open_spool(fs, told);
    }
    CHECK(told.damaged.empty());
    CHECK(told.failed.empty());
}

TEST_CASE("a large body is a file of its own, and goes with its entry", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01BIG", 100'000))));
    CHECK(fs.names(root + "/bodies") == std::vector<std::string>{"01BIG"});
    spool.reset();
    spool = open_spool(fs, told);
    const auto loaded = spool->load("01BIG");
    REQUIRE(loaded.has_value());
    CHECK(octets(loaded->entry) == body_of("01BIG", 100'000));
    REQUIRE(commit(*spool, updating(delivery("01BIG"))));
    CHECK(eventually([&] { return fs.names(root + "/bodies").empty(); }));
    CHECK(spool->load("01BIG").error() == SpoolError::not_found);
}

TEST_CASE("recipients are settled one by one until the entry is gone", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    const std::size_t recipients = 130;  // Beyond what has a bit in the index.
    REQUIRE(commit(*spool, adding(make_entry("01R", 100, recipients))));
    for (std::uint32_t i = 0; i + 1 < recipients; i += 3) {
        EntryUpdate u = deferral("01R", i, at(60s));
        for (std::uint32_t n = i; n < i + 3 && n + 1 < recipients; ++n) {
            u.done.push_back({n, Settled::delivered});
        }
        u.delay_notified = true;
        REQUIRE(commit(*spool, updating(u)));
        if (i % 30 == 0) {
            spool.reset();
            spool = open_spool(fs, told);
        }
    }
    const auto loaded = spool->load("01R");
    REQUIRE(loaded.has_value());
    CHECK(loaded->open == std::vector<std::uint32_t>{129});
    CHECK(loaded->delay_notified);
    CHECK(loaded->entry.upstream == "primary");
    CHECK(loaded->entry.last_reply == "451 4.3.0 later");
    CHECK(spool->list({}, 10, {}).front().open_rcpts ==
          std::vector<std::string>{"r129@example.org"});
    REQUIRE(commit(*spool, updating(delivery("01R", {129}))));
    CHECK(ids(*spool).empty());
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool).empty());
}

TEST_CASE("a batch is refused as a whole for what it cannot mean", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01X"))));
    SpoolBatch batch = adding(make_entry("01Y"));
    batch.update.push_back(delivery("none"));
    CHECK(commit(*spool, std::move(batch)).error() == SpoolError::not_found);
    CHECK(commit(*spool, updating(delivery("01X", {1}))).error() == SpoolError::not_found);
    CHECK(commit(*spool, adding(make_entry("01X"))).error() == SpoolError::exists);
    CHECK(commit(*spool, adding(make_entry("01X", 100'000))).error() == SpoolError::exists);
    CHECK(commit(*spool, adding(make_entry("../x"))).error() == SpoolError::damaged);
    CHECK(commit(*spool, adding(make_entry("../x", 100'000))).error() == SpoolError::damaged);
    CHECK(commit(*spool, adding(make_entry("01Z", 1, 0))).error() == SpoolError::damaged);
    SpoolBatch twice = adding(make_entry("01T"));
    twice.add.push_back(make_entry("01T"));
    CHECK(commit(*spool, std::move(twice)).error() == SpoolError::damaged);
    CHECK(ids(*spool) == std::vector<std::string>{"01X"});
    CHECK(told.failed.empty());
    spool->stop();
    CHECK(commit(*spool, adding(make_entry("01Q"))).error() == SpoolError::busy);
}

TEST_CASE("entries are due at their time, become active, and are put back", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    CHECK_FALSE(spool->next_due().has_value());
    NewEntry later = make_entry("01L");
    later.state = EntryState::deferred;
    later.next_attempt = at(100s);
    REQUIRE(commit(*spool, adding(std::move(later))));
    CHECK(spool->next_due() == at(100s));
    CHECK(spool->take_due(at(99s), 10).empty());
    CHECK(spool->take_due(at(100s), 10) == std::vector<std::string>{"01L"});
    CHECK_FALSE(spool->next_due().has_value());
    CHECK(spool->list({}, 10, {}).front().state == EntryState::active);
    spool->put_back("01L", at(150s));
    CHECK(spool->next_due() == at(150s));
    CHECK(eventually([&] { return told.get([](Told& t) { return t.due_changed >= 2; }); }));
    CHECK(spool->list({}, 10, {}).front().state == EntryState::deferred);
    CHECK(spool->take_due(at(150s), 10).size() == 1);
    REQUIRE(commit(*spool, updating(deferral("01L", 2, at(300s)))));
    CHECK(spool->next_due() == at(300s));
    CHECK(retry(*spool, {}, at(160s)) == 1);
    CHECK(spool->take_due(at(160s), 10).size() == 1);

    // What was active when the process ended is due again.
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(spool->next_due() == at(300s));
    CHECK(spool->list({}, 10, {}).front().attempts == 2);
}

TEST_CASE("mail in doubt waits while its answer is awaited, and is due after a restart",
          "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    NewEntry doubt = make_entry("01D");
    doubt.state = EntryState::in_doubt;
    doubt.upstream = "fallback";
    doubt.next_attempt = at(600s);
    REQUIRE(commit(*spool, adding(std::move(doubt))));
    CHECK(spool->take_due(at(1s), 1).empty());
    CHECK(retry(*spool, {}, at(1s)) == 0);
    spool.reset();
    spool = open_spool(fs, told);
    REQUIRE(spool->take_due(at(1s), 1).size() == 1);
    const auto loaded = spool->load("01D");
    REQUIRE(loaded.has_value());
    CHECK(loaded->entry.state == EntryState::in_doubt);
    CHECK(loaded->entry.upstream == "fallback");
    spool->put_back("01D", at(2s));
    CHECK(spool->list({}, 10, {}).front().state == EntryState::in_doubt);
}

TEST_CASE("customers take turns, and within one its accounts", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    int n = 100;
    const auto add = [&](const std::string& customer, const std::string& account) {
        NewEntry e = make_entry("01" + std::to_string(n++));
        e.customer = customer;
        e.account = account;
        REQUIRE(commit(*spool, adding(std::move(e))));
    };
    for (int i = 0; i < 20; ++i) add("big", "big-a");
    for (int i = 0; i < 4; ++i) add("big", "big-b");
    for (int i = 0; i < 4; ++i) add("small", "small-a");
    for (int i = 0; i < 4; ++i) add("", "alone");
    std::map<std::string, int> taken;
    for (const std::string& id : spool->take_due(at(1s), 12)) {
        ++taken[spool->load(id)->entry.account];
    }
    CHECK(taken["small-a"] == 4);
    CHECK(taken["alone"] == 4);
    CHECK(taken["big-a"] == 2);
    CHECK(taken["big-b"] == 2);
    CHECK(spool->take_due(at(1s), 100).size() == 20);
}

TEST_CASE("large mails cost their customer more turns", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (int i = 0; i < 40; ++i) {
        NewEntry large = make_entry("01L" + std::to_string(100 + i), 70'000);
        large.account = "large";
        REQUIRE(commit(*spool, adding(std::move(large))));
        NewEntry little = make_entry("01S" + std::to_string(100 + i), 100);
        little.account = "little";
        REQUIRE(commit(*spool, adding(std::move(little))));
    }
    int little = 0;
    for (const std::string& id : spool->take_due(at(1s), 24)) little += id[2] == 'S' ? 1 : 0;
    CHECK(little == 20);  // Four to five octet blocks of 16 KiB against one turn.
}

TEST_CASE("lists are in order of id, by selectors, page by page", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (int i = 9; i >= 0; --i) {
        NewEntry e = make_entry("0" + std::to_string(i), 100, 2);
        e.account = i % 2 == 0 ? "even" : "odd";
        e.customer = i < 5 ? "low" : "high";
        e.created = at(std::chrono::seconds(i));
        if (i == 3) e.envelope.mail_from.reset();
        if (i == 4) e.envelope.recipients[1].address = {"Bob", "EXAMPLE.com"};
        REQUIRE(commit(*spool, adding(std::move(e))));
    }
    CHECK(ids(*spool).size() == 10);
    CHECK(std::ranges::is_sorted(ids(*spool)));
    const auto page = spool->list({}, 3, "04");
    REQUIRE(page.size() == 3);
    CHECK(page[0].id == "05");
    using List = std::vector<std::string>;
    CHECK(ids(*spool, {.accounts = {"even"}, .customers = {"low"}}) == List{"00", "02", "04"});
    CHECK(ids(*spool, {.ids = {"07", "01", "zz"}}) == List{"01", "07"});
    CHECK(ids(*spool, {.accounts = {"nobody"}}).empty());
    CHECK(ids(*spool, {.mail_from = {"<>"}}) == List{"03"});
    CHECK(ids(*spool, {.mail_from = {"@Example.NET"}}).size() == 9);
    CHECK(ids(*spool, {.rcpts = {"bob@example.com"}}) == List{"04"});
    CHECK(ids(*spool, {.rcpts = {"@example.com", "r9@x"}}) == List{"04"});
    CHECK(ids(*spool, {.since = at(8s), .until = {}}) == List{"08", "09"});
    CHECK(ids(*spool, {.since = {}, .until = at(1s)}) == List{"00", "01"});
    CHECK(ids(*spool, {.states = {EntryState::held}}).empty());
    REQUIRE(commit(*spool, updating(delivery("04", {1}))));
    CHECK(ids(*spool, {.rcpts = {"bob@example.com"}}).empty());
    CHECK(ids(*spool, {.upstreams = {"primary"}}).empty());
    REQUIRE(commit(*spool, updating(deferral("05", 1, at(9s)))));
    CHECK(ids(*spool, {.upstreams = {"primary"}}) == List{"05"});

    const auto stats = spool->stats();
    CHECK(stats.entries[static_cast<int>(EntryState::ready)] == 8);
    CHECK(stats.entries[static_cast<int>(EntryState::deferred)] == 2);
    CHECK(stats.bytes[static_cast<int>(EntryState::ready)] == 800);
    CHECK(stats.oldest[static_cast<int>(EntryState::ready)] == at(0s));
    CHECK_FALSE(stats.oldest[static_cast<int>(EntryState::held)].has_value());
    CHECK(stats.writable);
    CHECK(stats.free_bytes > 0);
}

TEST_CASE("what is dropped comes back as a list, and never again", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    for (const char* id : {"01A", "01B", "01C"}) REQUIRE(commit(*spool, adding(make_entry(id))));
    REQUIRE(spool->take_due(at(0s), 1) == std::vector<std::string>{"01A"});
    const auto dropped = drop(*spool, {}, "spam run");
    REQUIRE(dropped.has_value());
    REQUIRE(dropped->size() == 2);  // Not the active one.
    CHECK(dropped->front().id == "01B");
    CHECK(dropped->front().reason == "spam run");
    CHECK(dropped->front().open_rcpts == std::vector<std::string>{"r0@example.org"});
    CHECK(drop(*spool, {.ids = {"none"}})->empty());
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool) == std::vector<std::string>{"01A"});
}

TEST_CASE("a frozen account's mail waits, whenever it came, over restarts", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01A"))));
    REQUIRE(spool->take_due(at(0s), 5).size() == 1);
    REQUIRE(freeze(*spool, "ann@example.net", true));
    spool->put_back("01A", at(1s));
    REQUIRE(commit(*spool, adding(make_entry("01B"))));
    NewEntry other = make_entry("01C");
    other.account = "bob";
    REQUIRE(commit(*spool, adding(std::move(other))));
    for (int round = 0; round < 3; ++round) {
        CHECK(spool->take_due(at(9s), 5) == std::vector<std::string>{"01C"});
        CHECK(ids(*spool, {.states = {EntryState::frozen}}).size() == 2);
        CHECK(retry(*spool, {}, at(9s)) == 0);
        spool.reset();
        spool = open_spool(fs, told);
    }
    REQUIRE(freeze(*spool, "ann@example.net", false));
    CHECK(spool->take_due(at(9s), 5).size() == 3);
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(ids(*spool, {.states = {EntryState::frozen}}).empty());
}

TEST_CASE("a held entry stays held", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01H"))));
    EntryUpdate hold = deferral("01H", 0, at(0s));
    hold.state = EntryState::held;
    REQUIRE(commit(*spool, updating(hold)));
    for (int round = 0; round < 2; ++round) {
        CHECK(spool->take_due(at(9s), 5).empty());
        CHECK(retry(*spool, {}, at(9s)) == 0);
        CHECK(spool->list({}, 5, {}).front().state == EntryState::held);
        spool.reset();
        spool = open_spool(fs, told);
    }
}

TEST_CASE("a partial outcome keeps an active entry active", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    auto spool = open_spool(fs, told);
    REQUIRE(commit(*spool, adding(make_entry("01P", 10, 2))));
    REQUIRE(spool->take_due(at(0s), 5).size() == 1);
    EntryUpdate part = delivery("01P", {0});
    part.state = EntryState::active;
    REQUIRE(commit(*spool, updating(part)));
    CHECK(spool->list({}, 5, {}).front().state == EntryState::active);
    CHECK(spool->take_due(at(9s), 5).empty());
    spool.reset();
    spool = open_spool(fs, told);
    CHECK(spool->take_due(at(9s), 5).size() == 1);
    CHECK(spool->load("01P")->open == std::vector<std::uint32_t>{1});
}

TEST_CASE("a segment of a later format is refused by name, and nothing is touched", "[spool]") {
    SimulatedFileSystem fs;
    Told told;
    open_spool(fs, told).reset();
    postern::relay::spool::SegmentHeader header;
    header.version = postern::relay::spool::format_version + 1;
    header.segment = 9;
    fs.put(root + "/0000000009.seg", postern::relay::spool::encode_header(header));
    const auto names = fs.names(root);
    const auto spool = Spool::open(fs, small_settings(), told.observer());
    REQUIRE(spool.has_error());
    CHECK(spool.error() == SpoolError::newer);
    CHECK(spool.error().message().find("later version") != std::string::npos);
    CHECK(fs.names(root) == names);
}
