#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "proto/utf8.hpp"
#include "relay/event/alerts.hpp"
#include "relay/event/json.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::event;
using nlohmann::json;

namespace {

const std::chrono::system_clock::time_point noon{std::chrono::milliseconds(1'772'442'900'120)};

std::string line_of(Payload what) {
    std::string out;
    append_line(out,
                Event{.t = noon,
                      .mono = std::chrono::steady_clock::time_point{std::chrono::nanoseconds(77)},
                      .seq = 9,
                      .what = std::move(what)});
    return out;
}

std::string json_text(std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
}

}  // namespace

TEST_CASE("a time is RFC 3339 in UTC with milliseconds") {
    CHECK(time_text(noon) == "2026-03-02T09:15:00.120Z");
    CHECK(time_text(std::chrono::system_clock::time_point{}) == "1970-01-01T00:00:00.000Z");
    CHECK(time_text(std::chrono::system_clock::time_point{std::chrono::milliseconds(-1)}) ==
          "1969-12-31T23:59:59.999Z");
    CHECK(time_text(std::chrono::system_clock::time_point{std::chrono::seconds(1'709'164'800)}) ==
          "2024-02-29T00:00:00.000Z");
}

TEST_CASE("text in a line is always valid, and moves no terminal's cursor") {
    CHECK(json_text("plain <ann@example.net>") == R"("plain <ann@example.net>")");
    CHECK(json_text("a\"b\\c") == R"("a\"b\\c")");
    CHECK(json_text("a\r\n\tb") == R"("a\r\n\tb")");
    CHECK(json_text(std::string("\0\x1b[2J\x7f", 6)) == R"("\u0000\u001b[2J\u007f")");
    CHECK(json_text("gr\xc3\xbc\xc3\x9f") == "\"gr\xc3\xbc\xc3\x9f\"");
    CHECK(json_text("\xc2\x9b"
                    "2J") == R"("\u009b2J")");  // CSI as a C1 control
    CHECK(json_text("a\xff\xc3") == "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    for (int a = 0; a < 256; ++a) {
        for (int b = 0; b < 256; ++b) {
            const std::string text{static_cast<char>(a), static_cast<char>(b), 'x'};
            const auto out = json_text(text);
            const auto parsed = json::parse(out, nullptr, false);
            REQUIRE(parsed.is_string());
            REQUIRE(proto::valid_utf8(out));
            REQUIRE_FALSE(proto::has_control(out));
            if (proto::valid_utf8(text)) REQUIRE(parsed.get<std::string>() == text);
        }
    }
}

TEST_CASE("where an address is stands beside it, as far as it is known") {
    const auto login = json::parse(
        line_of(Login{.source = "198.51.100.9", .place = {.asn = 64511, .country = "FR"}}));
    CHECK(login["asn"] == 64511);
    CHECK(login["country"] == "FR");
    const auto message = json::parse(line_of(Message{.place = {.asn = 64500, .country = {}}}));
    CHECK(message["asn"] == 64500);
    CHECK_FALSE(message.contains("country"));
    CHECK_FALSE(json::parse(line_of(Login{})).contains("asn"));
    const auto alert = json::parse(line_of(
        AlertRaised{.kind = "success_new_network",
                    .fields = {{"source", "198.51.100.9"}, {"asn", "64511"}, {"country", "FR"}}}));
    CHECK(alert["asn"] == 64511);
    CHECK(alert["country"] == "FR");
}

TEST_CASE("a login's line has the names of the contract") {
    const auto line = line_of(Login{.session = "s42",
                                    .account = "ann@shop.example",
                                    .customer = "shop",
                                    .source = "198.51.100.9",
                                    .mechanism = "PLAIN",
                                    .secret_hash = "6f1c",
                                    .known = true,
                                    .ok = false});
    REQUIRE(line.ends_with("}\n"));
    const auto event = json::parse(line);
    CHECK(event["t"] == "2026-03-02T09:15:00.120Z");
    CHECK(event["event"] == "login");
    CHECK(event["known"] == true);
    CHECK(event["ok"] == false);
    CHECK(event["secret_hash"] == "6f1c");
    CHECK(event["seq"] == 9);
    CHECK(event["mono_ns"] == 77);
    CHECK_FALSE(event.contains("credential"));
}

TEST_CASE("a message's line has the names of the contract") {
    Message m;
    m.session = "s41";
    m.ref = "01J00000000000000000000000";
    m.account = m.mail_from = m.header_from = "ann@shop.example";
    m.rcpts = {"b@example.org", "c@example.org"};
    m.bytes = 10'240;
    m.ehlo = "[192.0.2.7]";
    m.tls = "TLSv1.3";
    m.outcome = "accepted";
    m.rules = {{.rule = "limits",
                .mode = "observe",
                .verdict = "throttle",
                .reasons = {"too many"},
                .weight = 0.5,
                .saw = {{"window", "60/min"}}}};
    const auto event = json::parse(line_of(m));
    CHECK(event["event"] == "message");
    CHECK(event["rcpts"] == json::array({"b@example.org", "c@example.org"}));
    CHECK(event["bytes"] == 10'240);
    CHECK(event["client"]["ehlo"] == "[192.0.2.7]");
    CHECK(event["outcome"] == "accepted");
    CHECK(event["list_unsubscribe"] == false);
    CHECK(event["rules"][0]["rule"] == "limits");
    CHECK(event["rules"][0]["reasons"][0] == "too many");
    CHECK(event["rules"][0]["saw"]["window"] == "60/min");
    CHECK(event["rules"][0]["weight"] == 0.5);
    m.mail_from.clear();
    CHECK(json::parse(line_of(m))["mail_from"] == "");
}

TEST_CASE("every event that is written is a line of its own name") {
    const std::vector<std::pair<Payload, const char*>> rows{
        {Connect{}, "connect"},   {Disconnect{}, "disconnect"},
        {Login{}, "login"},       {Recipient{}, "rcpt"},
        {Attempt{}, "attempt"},   {Message{}, "message"},
        {Answered{}, "answered"}, {Delivery{}, "delivery"},
        {Queued{}, "queued"},     {Settled{}, "settled"},
        {Dsn{}, "dsn"},           {Upstream{}, "upstream"},
        {Lookup{}, "lookup"},     {Admin{}, "admin"},
        {Release{}, "release"},   {Password{}, "password"},
        {Reload{}, "reload"},     {AlertRaised{}, "alert"},
        {Log{}, "log"},           {SpoolError{}, "spool_error"},
        {Bounce{}, "bounce"},     {Complaint{}, "complaint"},
    };
    for (const auto& [what, name] : rows) {
        CHECK(is_written(what));
        CHECK(json::parse(line_of(what))["event"] == name);
    }
    for (const auto& what :
         std::vector<Payload>{TlsHandshake{}, Reply{}, UpstreamTime{}, Verdict{}, PolicyTime{},
                              SpoolCommit{}, LoopLag{}, IntakeTaken{}}) {
        CHECK_FALSE(is_written(what));
    }
}

TEST_CASE("an alert's line has its own fields, and others cannot take their place") {
    AlertRaised alert;
    alert.kind = "disk_low";
    alert.severity = "critical";
    alert.subject = "/var/lib/postern";
    alert.state = "firing";
    alert.since = noon;
    alert.count = 3;
    alert.fields = {
        {"free_bytes", "4096"}, {"since", "x"}, {"Bad\"name", "x"}, {"path", "/var/lib/postern"}};
    const auto line = line_of(alert);
    const auto event = json::parse(line);
    CHECK(event["since"] == "2026-03-02T09:15:00.120Z");
    CHECK(event["free_bytes"] == 4'096);
    CHECK(event["path"] == "/var/lib/postern");
    CHECK(event["count"] == 3);
    CHECK(line.find("Bad") == std::string::npos);
    CHECK(level_of(alert) == Level::error);
    alert.state = "resolved";
    CHECK(level_of(alert) == Level::info);
}

TEST_CASE("numbers that are none are null") {
    CHECK(json::parse(line_of(Answered{.seconds = 1.0 / 3}))["seconds"].get<double>() > 0.333);
    double zero = 0;
    CHECK(json::parse(line_of(Answered{.seconds = 1 / zero}))["seconds"].is_null());
}

TEST_CASE("one alert an hour and subject is told, later ones are counted") {
    AlertBook book;
    const auto raise = [&](const char* subject, std::chrono::system_clock::time_point t) {
        AlertRaised alert;
        alert.kind = "upstream_down";
        alert.subject = subject;
        const bool told = book.admit(alert, t);
        return std::pair(told, alert);
    };
    using std::chrono::minutes;
    const auto [first_told, first] = raise("primary", noon);
    CHECK(first_told);
    CHECK(first.severity == "warning");
    CHECK(first.state == "firing");
    CHECK(first.count == 1);
    for (int i = 1; i < 60; ++i) CHECK_FALSE(raise("primary", noon + minutes(i)).first);
    CHECK(raise("fallback", noon).first);
    const auto [told, later] = raise("primary", noon + minutes(60));
    CHECK(told);
    CHECK(later.id == first.id);
    CHECK(later.since == noon);
    CHECK(later.count == 61);
    CHECK(book.firing().size() == 2);

    AlertRaised resolved;
    resolved.kind = "upstream_down";
    resolved.subject = "primary";
    resolved.resolved = true;
    CHECK(book.admit(resolved, noon + minutes(61)));
    CHECK(resolved.state == "resolved");
    CHECK(resolved.id == first.id);
    CHECK_FALSE(book.admit(resolved, noon + minutes(62)));
    CHECK(book.firing().size() == 1);
    CHECK(raise("primary", noon + minutes(63)).second.id != first.id);
    CHECK(raise("primary", noon - std::chrono::hours(5)).first);  // the clock was set back
}

TEST_CASE("alerts are bounded, and severities are the table's") {
    AlertBook book(10);
    for (int i = 0; i < 100; ++i) {
        AlertRaised alert;
        alert.kind = "entry_damaged";
        alert.subject = std::to_string(i);
        CHECK(book.admit(alert, noon + std::chrono::seconds(i)));
    }
    CHECK(book.firing().size() == 10);
    for (const auto* kind :
         {"spool_failed", "store_failed", "disk_low", "queue_stuck", "all_upstreams_down"}) {
        CHECK(severity_of(kind) == "critical");
    }
    CHECK(severity_of("certificate_expiring") == "warning");
}
