#include "relay/event/metrics.hpp"

#include <charconv>
#include <exception>
#include <mutex>
#include <sstream>
#include <string_view>

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include "relay/event/json.hpp"
#include "relay/event/labelled.hpp"
#include "relay/event/process.hpp"

namespace postern::relay::event {

namespace {

using prometheus::Counter;
using prometheus::Histogram;

using Bounds = Histogram::BucketBoundaries;
const Bounds seconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                     0.5,   1,      2.5,   5,    10,    20,   60};
const Bounds short_seconds{0.000001, 0.000005, 0.00001, 0.00005, 0.0001, 0.0005,
                           0.001,    0.005,    0.01,    0.05,    0.1};
const Bounds disk_seconds{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                          0.025,  0.05,    0.1,    0.25,  0.5,    1,     5};
const Bounds entries{1, 2, 4, 8, 16, 32, 64, 128, 256};

constexpr std::size_t few = 64;  // sets of labels, at most
constexpr std::size_t some = 512;
constexpr std::size_t many = 2'048;

template <std::size_t N>
using Counters = Labelled<Counter, N>;
template <std::size_t N>
using Histograms = Labelled<Histogram, N>;

/// A number as a label's value.
class Digits {
  public:
    template <typename Integer>
    explicit Digits(Integer value) : end_(std::to_chars(text_, text_ + sizeof text_, value).ptr) {}
    [[nodiscard]] std::string_view text() const { return {text_, end_}; }

  private:
    char text_[24];
    char* end_;
};

std::string_view none_if_empty(std::string_view text) {
    return text.empty() ? "none" : text;
}
std::string_view yes_no(bool value) {
    return value ? "yes" : "no";
}

}  // namespace

struct Metrics::Impl {
    explicit Impl(std::string version_text) : version(std::move(version_text)) {}

    prometheus::Registry registry;

    prometheus::Family<Counter>& counter(const char* name, const char* help) {
        return prometheus::BuildCounter()
            .Name(std::string("postern_") + name)
            .Help(help)
            .Register(registry);
    }
    prometheus::Family<Histogram>& histogram(const char* name, const char* help) {
        return prometheus::BuildHistogram()
            .Name(std::string("postern_") + name)
            .Help(help)
            .Register(registry);
    }

    Counters<2> connections{counter("connections_total", "Connections taken or turned away."),
                            {"listener", "result"},
                            few};
    Counters<2> handshakes{
        counter("tls_handshakes_total", "TLS handshakes as a server."), {"version", "result"}, few};
    Counters<2> logins{
        counter("logins_total", "AUTH exchanges that ended."), {"mechanism", "result"}, few};
    Counters<2> replies{counter("replies_total", "Replies to clients."), {"command", "code"}, many};
    Counters<3> messages{counter("messages_total", "Messages, by what the client heard."),
                         {"outcome", "rule", "queued"},
                         some};
    Counters<1> recipients{
        counter("recipients_total", "Recipients as asked for."), {"outcome"}, few};
    Counters<1> bytes{counter("message_bytes_total", "Octets of messages."), {"direction"}, few};
    Histograms<1> accept{
        histogram("accept_seconds", "From the end of data to the reply."), {"mode"}, few, seconds};
    Histograms<1> policy{
        histogram("policy_seconds", "Policy, one stage."), {"stage"}, few, short_seconds};
    Counters<3> verdicts{
        counter("verdicts_total", "Verdicts of rules."), {"rule", "mode", "verdict"}, some};
    Histograms<0> commit{
        histogram("spool_commit_seconds", "A batch of the spool until it is durable."),
        {},
        few,
        disk_seconds};
    Histograms<0> batch{
        histogram("spool_batch_entries", "Entries of a batch of the spool."), {}, few, entries};
    Counters<1> spool_errors{
        counter("spool_errors_total", "Failures of the spool."), {"kind"}, few};
    Counters<2> deliveries{counter("deliveries_total", "What upstreams said, by recipient."),
                           {"upstream", "result"},
                           some};
    Histograms<2> upstream{histogram("upstream_seconds", "Stages of upstream sessions."),
                           {"upstream", "stage"},
                           some,
                           seconds};
    Counters<2> dsn{
        counter("dsn_total", "Delivery status notifications."), {"action", "result"}, few};
    Counters<1> bounces{
        counter("bounces_total", "Later words that a mail was not delivered, by recipient."),
        {"upstream"},
        some};
    Counters<1> complaints{
        counter("complaints_total", "Mail that recipients call abuse."), {"via"}, few};
    Counters<2> intake{
        counter("intake_total", "What came to the intake."), {"kind", "result"}, few};
    Counters<2> lookups{counter("dns_lookups_total", "DNS questions."), {"kind", "result"}, few};
    Histograms<1> lookup_time{histogram("dns_seconds", "DNS answers."), {"kind"}, few, seconds};
    Histograms<1> lag{histogram("loop_lag_seconds", "How late a network thread's timer fires."),
                      {"thread"},
                      some,
                      disk_seconds};
    Counters<1> events{counter("events_total", "Events of the stream."), {"event"}, few};
    Counters<1> reloads{counter("reloads_total", "Reloads of the configuration."), {"result"}, few};

    std::string version;
    struct Asked {
        Kind kind;
        std::string name, help;
        std::function<std::vector<Sample>()> read;
    };
    mutable std::mutex asked_mutex;
    std::vector<Asked> asked;

    // One overload an event that is counted beyond events_total.
    void count(const Connect& e) {
        connections.at({e.listener, none_if_empty(e.result)}).Increment();
    }
    void count(const TlsHandshake& e) {
        handshakes.at({none_if_empty(e.version), e.result}).Increment();
    }
    void count(const Login& e) {
        const std::string_view result = !e.result.empty() ? std::string_view(e.result)
                                        : e.ok            ? "ok"
                                        : e.error.empty() ? "failed"
                                                          : "error";
        logins.at({none_if_empty(e.mechanism), result}).Increment();
    }
    void count(const Reply& e) { replies.at({e.command, Digits(e.code).text()}).Increment(); }
    void count(const Recipient& e) { recipients.at({none_if_empty(e.outcome)}).Increment(); }
    void count(const Attempt& e) {
        count(e.rules);
        if (e.command != "MAIL")
            return;  // a message that ended before its data is told of by nothing else
        const std::string_view outcome = e.code >= 500 ? "refused" : "throttled";
        messages.at({outcome, e.rule.empty() ? "syntax" : std::string_view(e.rule), "no"})
            .Increment();
    }
    void count(const Message& e) {
        count(e.rules);
        bytes.at({"in"}).Increment(static_cast<double>(e.bytes));
    }
    void count(const Answered& e) {
        messages.at({e.outcome, none_if_empty(e.rule), yes_no(e.queued)}).Increment();
        accept.at({none_if_empty(e.mode)}).Observe(e.seconds);
    }
    void count(const Delivery& e) {
        deliveries.at({e.upstream, e.result}).Increment();
        if (e.bytes != 0) bytes.at({"out"}).Increment(static_cast<double>(e.bytes));
    }
    void count(const Dsn& e) { dsn.at({e.action, none_if_empty(e.result)}).Increment(); }
    void count(const Bounce& e) { bounces.at({none_if_empty(e.upstream)}).Increment(); }
    void count(const Complaint& e) { complaints.at({none_if_empty(e.via)}).Increment(); }
    void count(const IntakeTaken& e) { intake.at({e.kind, e.result}).Increment(); }
    void count(const UpstreamTime& e) { upstream.at({e.upstream, e.stage}).Observe(e.seconds); }
    void count(const Lookup& e) {
        lookups.at({e.kind, e.result}).Increment();
        lookup_time.at({e.kind}).Observe(e.seconds);
    }
    void count(const Verdict& e) { verdicts.at({e.rule, e.mode, e.verdict}).Increment(); }
    void count(const PolicyTime& e) { policy.at({e.stage}).Observe(e.seconds); }
    void count(const SpoolCommit& e) {
        commit.at({}).Observe(e.seconds);
        batch.at({}).Observe(static_cast<double>(e.entries));
    }
    void count(const SpoolError& e) { spool_errors.at({e.kind}).Increment(); }
    void count(const LoopLag& e) { lag.at({Digits(e.thread).text()}).Observe(e.seconds); }
    void count(const Reload& e) { reloads.at({e.result}).Increment(); }
    void count(const std::vector<RuleSeen>& rules) {
        for (const auto& r : rules) verdicts.at({r.rule, r.mode, r.verdict}).Increment();
    }
};

Metrics::Metrics(std::string version) : impl_(std::make_unique<Impl>(std::move(version))) {}
Metrics::~Metrics() = default;

void Metrics::on_event(const Event& e) noexcept {
    try {
        impl_->events.at({event_name(e.what)}).Increment();
        std::visit(
            [this]<typename T>(const T& what) {
                if constexpr (requires { impl_->count(what); }) impl_->count(what);
            },
            e.what);
    } catch (const std::exception&) {
        // No memory for a new set of labels: it is not counted, and the next one of it may be.
        return;
    }
}

void Metrics::ask(Kind kind, std::string name, std::string help,
                  std::function<std::vector<Sample>()> read) {
    const std::scoped_lock lock(impl_->asked_mutex);
    impl_->asked.push_back({kind, std::move(name), std::move(help), std::move(read)});
}

std::string Metrics::render() const {
    auto families = impl_->registry.Collect();
    const auto add = [&](Kind kind, std::string name, const std::string& help,
                         const std::vector<Sample>& samples) {
        prometheus::MetricFamily family;
        family.name = std::move(name);
        family.help = help;
        family.type =
            kind == Kind::gauge ? prometheus::MetricType::Gauge : prometheus::MetricType::Counter;
        for (const auto& sample : samples) {
            prometheus::ClientMetric metric;
            for (const auto& [label, value] : sample.labels) metric.label.push_back({label, value});
            (kind == Kind::gauge ? metric.gauge.value : metric.counter.value) = sample.value;
            family.metric.push_back(std::move(metric));
        }
        families.push_back(std::move(family));
    };
    add(Kind::gauge, "postern_build_info", "The version that runs.",
        {{{{"version", impl_->version}}, 1.0}});
    {
        const std::scoped_lock lock(impl_->asked_mutex);
        for (const auto& asked : impl_->asked)
            add(asked.kind, "postern_" + asked.name, asked.help, asked.read());
    }
    for (const auto& [name, help, counter, value] : process_figures()) {
        add(counter ? Kind::counter : Kind::gauge, name, help, {{{}, value}});
    }
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
}

}  // namespace postern::relay::event
