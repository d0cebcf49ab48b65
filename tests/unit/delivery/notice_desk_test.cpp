#include "relay/delivery/notice_desk.hpp"

#include "bench.hpp"

using namespace std::chrono_literals;
using namespace postern;
using namespace postern::relay;
using test::Bench;

namespace {

NoticeSource source(const proto::Envelope& envelope) {
    return {.ref = "REF",
            .account = "ann@example.net",
            .customer = "",
            .envelope = &envelope,
            .pieces = {"Subject: x\r\n\r\n"},
            .received = {}};
}

proto::Envelope an_envelope() {
    proto::Envelope envelope;
    envelope.mail_from = proto::Address{"ann", "example.net"};
    envelope.recipients.push_back({.address = {"bob", "example.org"}, .notify = {}, .orcpt = {}});
    return envelope;
}

std::vector<Notice> a_notice() {
    return {{.recipient = 0,
             .action = proto::DsnAction::failed,
             .reply = {550, "5.1.1", "no", false},
             .remote = "",
             .reason = ""}};
}

/// A notification of ours that waits.
LoadedEntry& notification(Bench& bench, const std::string& id, std::chrono::hours age = {}) {
    LoadedEntry& loaded = bench.entry(id, age);
    loaded.entry.ref = "01OF";
    loaded.entry.dsn = true;
    loaded.entry.envelope.mail_from.reset();
    loaded.entry.pieces = {"Subject: x\r\n\r\nReporting-MTA: dns; x\r\nAction: delayed\r\n"};
    return loaded;
}

}  // namespace

TEST_CASE("an account's notifications are kept back beyond sixty, and none is lost") {
    NoticeRate rate;
    const NoticeRate::Time now{1h};
    for (int i = 0; i < 60; ++i) CHECK(rate.next("ann", now) == 0s);
    CHECK(rate.next("ann", now) == 1s);
    CHECK(rate.next("ann", now) == 2s);
    CHECK(rate.next("bob", now) == 0s);
    CHECK(rate.next("ann", now + 3s) == 0s);
    std::chrono::nanoseconds last{0};
    for (int i = 0; i < 100'000; ++i) last = rate.next("ann", now);
    CHECK(last == NoticeRate::longest);
}

TEST_CASE("nobody is told of mail that was not his") {
    config::Config config;
    config.server.hostname = "relay.example";
    int refs = 0;
    bool may = false;
    NoticeDesk desk({.make_ref = [&] { return "01REF" + std::to_string(refs++); },
                     .may_tell =
                         [&](const std::string& account, const proto::Address& sender) {
                             CHECK(account == "ann@example.net");
                             CHECK(sender.text() == "ann@example.net");
                             return may;
                         }});
    proto::Envelope envelope = an_envelope();
    CHECK_FALSE(desk.write(config, source(envelope), a_notice()));
    may = true;
    const auto entry = desk.write(config, source(envelope), a_notice());
    REQUIRE(entry);
    CHECK(entry->dsn);
    CHECK_FALSE(entry->envelope.mail_from);
    CHECK(entry->state == EntryState::ready);
    CHECK_FALSE(desk.write(config, source(envelope), {}));
    std::optional<NewEntry> late;
    for (int i = 0; i < 70; ++i) late = desk.write(config, source(envelope), a_notice());
    REQUIRE(late);
    CHECK(late->state == EntryState::deferred);
    CHECK(late->next_attempt > late->created);
    envelope.mail_from.reset();
    CHECK_FALSE(desk.write(config, source(envelope), a_notice()));
}

TEST_CASE("a notification goes upstream as configured, and stays one for us") {
    config::Config config;
    proto::Envelope envelope = an_envelope();
    envelope.mail_from.reset();
    CHECK_FALSE(as_sent(config, envelope).mail_from);
    config.delivery.dsn_envelope = "bounces@relay.example";
    const proto::Envelope sent = as_sent(config, envelope);
    REQUIRE(sent.mail_from);
    CHECK(sent.mail_from->text() == "bounces@relay.example");
    CHECK(sent.recipients.size() == 1);
    CHECK_FALSE(envelope.mail_from);
}

TEST_CASE("the action of a notification is read back") {
    CHECK(action_told({"a\r\nAction: delayed\r\n"}) == "delayed");
    CHECK(action_told({"x", "a\r\nAction: relayed\r\n"}) == "relayed");
    CHECK(action_told({"a\r\nAction: failed\r\n\r\nAction: delayed\r\n"}) == "failed");
    CHECK(action_told({}) == "failed");
}

TEST_CASE("a notification that cannot be delivered raises an alert and causes no other") {
    for (const char* envelope : {"", "bounces@relay.example"}) {
        Bench bench;
        bench.config->delivery.dsn_envelope = envelope;
        LoadedEntry& loaded = notification(bench, "one", std::chrono::hours(24 * 5));
        loaded.entry.envelope.mail_from.reset();
        // Nothing that is configured takes it: there is no path at all.
        bench.run(bench.delivery.run_entry(bench.pool, "one"));
        REQUIRE(bench.spool.taken.size() == 1);
        CHECK(bench.spool.taken[0].add.empty());
        REQUIRE(bench.spool.taken[0].update[0].done.size() == 1);
        const auto told = bench.events.of<event::Dsn>();
        REQUIRE(told.size() == 1);
        CHECK(told[0].result == "refused");
        CHECK(told[0].action == "delayed");
        CHECK(told[0].id == "one");
        const auto alerts = bench.events.of<event::AlertRaised>();
        REQUIRE(alerts.size() == 1);
        CHECK(alerts[0].kind == "dsn_undeliverable");
        CHECK_FALSE(alerts[0].resolved);
    }
}

TEST_CASE("notifications wait for their own upstream, and other mail does not") {
    Bench bench;
    const auto path = [&](const std::string& name) {
        PathSettings settings;
        settings.upstream.name = name;
        settings.hostname = "relay.example";
        settings.upstream.address = {"127.0.0.1", 1};  // Nobody is there.
        settings.upstream.tls = config::UpstreamTls::none;
        return std::make_shared<Path>(std::move(settings), bench.events);
    };
    bench.paths->paths = {path("first"), path("second")};
    bench.paths->paths[1]->trip(std::chrono::steady_clock::now(), "greeting", "away");
    bench.config->delivery.dsn_upstream = "second";
    notification(bench, "one");
    bench.run(bench.delivery.run_entry(bench.pool, "one"));
    CHECK(bench.spool.put_backs == std::vector<std::string>{"one"});
    CHECK(bench.spool.taken.empty());
    bench.entry("two");
    bench.run(bench.delivery.run_entry(bench.pool, "two"));
    CHECK(bench.spool.taken.size() == 1);  // An attempt at the first.
}
