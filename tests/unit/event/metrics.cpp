#include "relay/event/metrics.hpp"

#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

#include "relay/event/recorder.hpp"
#include "relay/event/stream.hpp"
#include "tests/catch.hpp"

using namespace postern::relay::event;

namespace {

bool has(const std::string& text, const std::string& line) {
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

RuleSeen accepted(std::string_view rule) {
    return {.rule = rule,
            .mode = "enforce",
            .verdict = "accept",
            .reasons = {},
            .weight = 0,
            .saw = {}};
}

/// The events of one accepted message.
void tell_message(Stream& stream) {
    Message m;
    m.session = "s123456";
    m.ref = "01J00000000000000000000000";
    m.account = m.mail_from = m.header_from = "somebody@customer.example.net";
    m.customer = "customer";
    m.source = "192.0.2.7";
    m.message_id = "<20260302091500.120.1234567890@customer.example.net>";
    m.rcpts = {"recipient@example.org"};
    m.bytes = 10'240;
    m.shape = "from,to,subject,date,message-id,mime-version,content-type";
    m.outcome = "accepted";
    m.rule = "none";
    m.rules = {accepted("sender_ownership"), accepted("limits"), accepted("limits"),
               accepted("header_from")};
    stream.emit(Recipient{.session = m.session,
                          .ref = m.ref,
                          .account = m.account,
                          .rcpt = m.rcpts[0],
                          .outcome = "accepted"});
    stream.emit(std::move(m));
    stream.emit(Delivery{.ref = "01J00000000000000000000000",
                         .id = "01J00000000000000000000000",
                         .rcpt = "recipient@example.org",
                         .upstream = "primary",
                         .enhanced = "2.0.0",
                         .text = "2.0.0 Ok: queued as ABCDEF",
                         .code = 250,
                         .judges = "message",
                         .result = "delivered",
                         .bytes = 10'500});
    stream.emit(Answered{.session = "s123456",
                         .ref = "01J00000000000000000000000",
                         .outcome = "accepted",
                         .rule = "none",
                         .text = "2.0.0 Ok: queued as ABCDEF",
                         .mode = "cut-through",
                         .code = 250,
                         .seconds = 0.0042});
    for (const auto* command : {"MAIL", "RCPT", "DATA", "end-of-data"})
        stream.emit(Reply{.command = command, .code = 250});
    for (const auto* stage : {"mail", "rcpt", "data"})
        stream.emit(PolicyTime{.stage = stage, .seconds = 0.000003});
    for (const auto* stage : {"mail", "data", "dot"})
        stream.emit(UpstreamTime{.upstream = "primary", .stage = stage, .seconds = 0.001});
}

}  // namespace

TEST_CASE("the metrics of one message have their names and labels") {
    Metrics metrics("0.1.0");
    FanOut stream(1, {&metrics}, nullptr);
    tell_message(stream);
    tell_message(stream);
    stream.emit(Connect{.listener = "[::]:587", .result = "accepted"});
    stream.emit(TlsHandshake{.version = "TLSv1.3", .result = "ok"});
    stream.emit(Login{.mechanism = "PLAIN", .ok = true});
    stream.emit(Login{.mechanism = "PLAIN", .result = "delayed"});
    stream.emit(Login{.mechanism = "PLAIN", .error = "store"});
    stream.emit(Attempt{.command = "MAIL", .rule = "limits", .code = 451});
    stream.emit(SpoolCommit{.entries = 3, .seconds = 0.002});
    stream.emit(SpoolError{.kind = "full"});
    stream.emit(Dsn{.action = "failed", .result = "queued"});
    stream.emit(Lookup{.kind = "address", .result = "ok", .seconds = 0.01});
    stream.emit(Reload{.result = "ok"});
    stream.emit(Bounce{.upstream = "primary"});
    stream.emit(Bounce{});
    stream.emit(Complaint{.via = "arf"});
    stream.emit(IntakeTaken{.kind = "bounce", .result = "counted"});
    stream.emit(Verdict{.rule = "login_guard", .mode = "enforce", .verdict = "refuse"});
    const auto text = metrics.render();
    for (const auto* line : {
             R"(postern_messages_total{outcome="accepted",queued="no",rule="none"} 2)",
             R"(postern_messages_total{outcome="throttled",queued="no",rule="limits"} 1)",
             R"(postern_recipients_total{outcome="accepted"} 2)",
             R"(postern_message_bytes_total{direction="in"} 20480)",
             R"(postern_message_bytes_total{direction="out"} 21000)",
             R"(postern_accept_seconds_count{mode="cut-through"} 2)",
             R"(postern_policy_seconds_count{stage="rcpt"} 2)",
             R"(postern_verdicts_total{mode="enforce",rule="limits",verdict="accept"} 4)",
             R"(postern_verdicts_total{mode="enforce",rule="login_guard",verdict="refuse"} 1)",
             R"(postern_deliveries_total{result="delivered",upstream="primary"} 2)",
             R"(postern_bounces_total{upstream="primary"} 1)",
             R"(postern_bounces_total{upstream="none"} 1)",
             R"(postern_complaints_total{via="arf"} 1)",
             R"(postern_intake_total{kind="bounce",result="counted"} 1)",
             R"(postern_replies_total{code="250",command="MAIL"} 2)",
             R"(postern_upstream_seconds_count{stage="dot",upstream="primary"} 2)",
             R"(postern_connections_total{listener="[::]:587",result="accepted"} 1)",
             R"(postern_tls_handshakes_total{result="ok",version="TLSv1.3"} 1)",
             R"(postern_logins_total{mechanism="PLAIN",result="ok"} 1)",
             R"(postern_logins_total{mechanism="PLAIN",result="delayed"} 1)",
             R"(postern_logins_total{mechanism="PLAIN",result="error"} 1)",
             R"(postern_spool_commit_seconds_count 1)",
             R"(postern_spool_batch_entries_sum 3)",
             R"(postern_spool_errors_total{kind="full"} 1)",
             R"(postern_dsn_total{action="failed",result="queued"} 1)",
             R"(postern_dns_lookups_total{kind="address",result="ok"} 1)",
             R"(postern_reloads_total{result="ok"} 1)",
             R"(postern_events_total{event="message"} 2)",
             R"(postern_build_info{version="0.1.0"} 1)",
         }) {
        INFO(line);
        CHECK(has(text, line));
    }
    CHECK(text.find("process_cpu_seconds_total ") != std::string::npos);
    CHECK(text.find("process_start_time_seconds ") != std::string::npos);
    CHECK(text.find("# TYPE postern_accept_seconds histogram") != std::string::npos);
}

TEST_CASE("gauges are asked when somebody looks") {
    Metrics metrics("0.1.0");
    double entries = 1;
    metrics.ask(Metrics::Kind::gauge, "queue_entries", "Entries of the queue.", [&] {
        return std::vector<Metrics::Sample>{{{{"state", "ready"}}, entries},
                                            {{{"state", "deferred"}}, 7}};
    });
    metrics.ask(Metrics::Kind::counter, "events_dropped_total", "Lost.",
                [] { return std::vector<Metrics::Sample>{{{{"reader", "log"}}, 2}}; });
    CHECK(has(metrics.render(), R"(postern_queue_entries{state="ready"} 1)"));
    entries = 3;
    const auto text = metrics.render();
    CHECK(has(text, R"(postern_queue_entries{state="ready"} 3)"));
    CHECK(has(text, R"(postern_queue_entries{state="deferred"} 7)"));
    CHECK(has(text, R"(postern_events_dropped_total{reader="log"} 2)"));
    CHECK(text.find("# TYPE postern_events_dropped_total counter") != std::string::npos);
}

TEST_CASE("labels from outside cannot grow the metrics without bound") {
    Metrics metrics("0.1.0");
    FanOut stream(1, {&metrics}, nullptr);
    for (int i = 0; i < 100'000; ++i)
        stream.emit(Login{.mechanism = "X" + std::to_string(i), .ok = false});
    const auto text = metrics.render();
    CHECK(text.size() < 50'000);
    CHECK(text.find(R"(postern_logins_total{mechanism="other",result="other"} 99952)") !=
          std::string::npos);
    CHECK(text.find('\0') == std::string::npos);
}

TEST_CASE("threads count into the same metrics, and a scrape looks on") {
    Metrics metrics("0.1.0");
    FanOut stream(1, {&metrics}, nullptr);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 500; ++i) tell_message(stream);
        });
    }
    for (int i = 0; i < 5; ++i) (void)metrics.render();
    for (auto& thread : threads) thread.join();
    CHECK(has(metrics.render(), R"(postern_recipients_total{outcome="accepted"} 2000)"));
}

TEST_CASE("the events of a message are cheap on the thread that tells them", "[.speed]") {
    Metrics metrics("0.1.0");
    Recorder recorder(std::nullopt, nullptr, {.max_events = 1'000'000, .max_octets = 1U << 30U});
    FanOut stream(1, {&metrics}, &recorder);
    constexpr int messages = 50'000;
    for (int i = 0; i < 1'000; ++i) tell_message(stream);
    timespec before{};
    timespec after{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    for (int i = 0; i < messages; ++i) tell_message(stream);
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    const double us = (static_cast<double>(after.tv_sec - before.tv_sec) * 1e9 +
                       static_cast<double>(after.tv_nsec - before.tv_nsec)) /
                      1e3 / messages;
    std::cout << "events of one message: " << us << " us on the network thread\n";
    CHECK(us < 20);
}
