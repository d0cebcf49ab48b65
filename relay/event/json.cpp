#include "relay/event/json.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace postern::relay::event {

namespace {

/// Names that come from outside (an operator's change) must not break the line.
bool is_plain_name(std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return c == '_' || c == '.' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    });
}

void write_pairs(JsonObject& json, const std::vector<std::pair<std::string, std::string>>& pairs) {
    for (const auto& [name, value] : pairs) {
        if (is_plain_name(name)) json.text(name, value);
    }
}

/// What an alert names beside its own fields; counts are numbers.
void write_alert_fields(JsonObject& json, const AlertRaised& e) {
    static constexpr std::array<std::string_view, 13> own{
        "t",     "event", "id",   "kind",   "severity", "subject", "state",
        "since", "count", "text", "action", "url",      "seq"};
    static constexpr std::array<std::string_view, 9> numeric{"free_bytes", "age_s",   "entries",
                                                             "s",          "asn",     "networks",
                                                             "failures",   "sources", "accounts"};
    for (const auto& [name, value] : e.fields) {
        if (!is_plain_name(name) || std::ranges::find(own, name) != own.end()) continue;
        std::int64_t number = 0;
        const auto* end = value.data() + value.size();
        if (std::ranges::find(numeric, name) != numeric.end() &&
            std::from_chars(value.data(), end, number).ptr == end && !value.empty()) {
            json.number(name, number);
        } else {
            json.text(name, value);
        }
    }
}

void write_rules(std::string& out, JsonObject& json, const std::vector<RuleSeen>& rules) {
    if (rules.empty()) return;
    json.key("rules");
    out += '[';
    for (const auto& rule : rules) {
        if (&rule != rules.data()) out += ',';
        JsonObject item(out);
        item.field("rule", rule.rule);
        item.field("mode", rule.mode);
        item.field("verdict", rule.verdict);
        if (rule.weight != 0) item.real("weight", rule.weight);
        if (!rule.reasons.empty()) item.texts("reasons", rule.reasons);
        if (!rule.saw.empty()) {
            item.key("saw");
            JsonObject saw(out);
            write_pairs(saw, rule.saw);
            saw.end();
        }
        item.end();
    }
    out += ']';
}

void write_code(JsonObject& json, int code, std::string_view enhanced) {
    if (code != 0) json.number("code", code);
    json.field("enhanced", enhanced);
}

void write_place(JsonObject& json, const policy::Place& place) {
    if (place.asn != 0) json.number("asn", place.asn);
    json.field("country", place.country);
}

// One overload an event that is written.

void write(std::string&, JsonObject& json, const Connect& e) {
    json.field("session", e.session);
    json.field("source", e.source);
    json.field("listener", e.listener);
    json.field("result", e.result);
}
void write(std::string&, JsonObject& json, const Disconnect& e) {
    json.field("session", e.session);
    json.field("reason", e.reason);
}
void write(std::string&, JsonObject& json, const Login& e) {
    json.field("session", e.session);
    json.field("account", e.account);
    json.flag("known", e.known);
    json.field("customer", e.customer);
    json.field("source", e.source);
    write_place(json, e.place);
    json.field("listener", e.listener);
    json.field("mechanism", e.mechanism);
    json.field("credential", e.credential);
    json.flag("ok", e.ok);
    json.field("secret_hash", e.secret_hash);
    json.field("result", e.result);
    json.field("error", e.error);
    json.field("reason", e.reason);
}
void write(std::string&, JsonObject& json, const Recipient& e) {
    json.field("session", e.session);
    json.field("ref", e.ref);
    json.field("account", e.account);
    json.field("rcpt", e.rcpt);
    json.field("outcome", e.outcome);
    json.field("rule", e.rule);
}
void write(std::string& out, JsonObject& json, const Attempt& e) {
    json.field("session", e.session);
    json.field("ref", e.ref);
    json.field("account", e.account);
    json.field("customer", e.customer);
    json.field("source", e.source);
    json.field("mail_from", e.mail_from);
    json.field("rcpt", e.rcpt);
    json.field("command", e.command);
    json.field("rule", e.rule);
    write_code(json, e.code, e.enhanced);
    json.field("text", e.text);
    write_rules(out, json, e.rules);
}
void write(std::string& out, JsonObject& json, const Message& e) {
    json.field("session", e.session);
    json.field("ref", e.ref);
    json.field("account", e.account);
    json.field("customer", e.customer);
    json.field("credential", e.credential);
    json.field("source", e.source);
    write_place(json, e.place);
    json.text("mail_from", e.mail_from);  // empty is the null reverse-path, and says so
    json.field("header_from", e.header_from);
    json.field("header_sender", e.header_sender);
    json.field("message_id", e.message_id);
    json.field("token", e.token);
    json.texts("rcpts", e.rcpts);
    json.number("bytes", e.bytes);
    json.flag("list_unsubscribe", e.list_unsubscribe);
    json.key("client");
    JsonObject client(out);
    client.field("ehlo", e.ehlo);
    client.field("tls", e.tls);
    client.field("shape", e.shape);
    client.end();
    json.field("outcome", e.outcome);
    json.field("rule", e.rule);
    write_code(json, e.code, e.enhanced);
    json.field("text", e.text);
    write_rules(out, json, e.rules);
}
void write(std::string&, JsonObject& json, const Answered& e) {
    json.field("session", e.session);
    json.field("ref", e.ref);
    json.field("outcome", e.outcome);
    json.field("rule", e.rule);
    if (e.code != 0) json.number("code", e.code);
    json.field("text", e.text);
    json.field("mode", e.mode);
    json.flag("queued", e.queued);
    json.real("seconds", e.seconds);
}
void write(std::string&, JsonObject& json, const Delivery& e) {
    json.field("ref", e.ref);
    if (e.id != e.ref) json.field("id", e.id);
    json.field("rcpt", e.rcpt);
    json.field("upstream", e.upstream);
    json.field("result", e.result);
    write_code(json, e.code, e.enhanced);
    json.field("judges", e.judges);
    json.field("stage", e.stage);
    json.field("text", e.text);
}
void write(std::string&, JsonObject& json, const Queued& e) {
    json.field("ref", e.ref);
    json.field("id", e.id);
    json.field("state", e.state);
    json.field("reason", e.reason);
    json.number("rcpts", e.rcpts);
    json.number("bytes", e.bytes);
}
void write(std::string&, JsonObject& json, const Settled& e) {
    json.field("ref", e.ref);
    json.field("id", e.id);
    json.field("rcpt", e.rcpt);
    json.field("how", e.how);
    json.field("reason", e.reason);
}
void write(std::string&, JsonObject& json, const Dsn& e) {
    json.field("ref", e.ref);
    json.field("id", e.id);
    json.field("action", e.action);
    json.field("rcpt", e.rcpt);
    json.field("result", e.result);
}
void write(std::string&, JsonObject& json, const Bounce& e) {
    json.field("ref", e.ref);
    json.field("rcpt", e.rcpt);
    json.field("enhanced", e.enhanced);
    json.field("text", e.text);
    json.field("account", e.account);
    json.field("customer", e.customer);
    json.field("upstream", e.upstream);
    json.field("domain", e.domain);
    json.field("via", e.via);
}
void write(std::string&, JsonObject& json, const Complaint& e) {
    json.field("ref", e.ref);
    json.field("rcpt", e.rcpt);
    json.field("kind", e.kind);
    json.field("via", e.via);
    json.flag("confirmed", e.confirmed);
    json.field("account", e.account);
    json.field("customer", e.customer);
    json.field("upstream", e.upstream);
    json.field("domain", e.domain);
}
void write(std::string&, JsonObject& json, const Upstream& e) {
    json.field("upstream", e.upstream);
    json.field("state", e.state);
    json.field("stage", e.stage);
    json.field("error", e.error);
}
void write(std::string&, JsonObject& json, const Lookup& e) {
    json.field("kind", e.kind);
    json.field("name", e.name);
    json.field("result", e.result);
    json.real("seconds", e.seconds);
}
void write(std::string& out, JsonObject& json, const Admin& e) {
    json.field("what", e.what);
    json.field("subject", e.subject);
    json.field("reason", e.reason);
    json.field("by", e.by);
    if (e.fields.empty()) return;
    json.key("fields");
    JsonObject fields(out);
    write_pairs(fields, e.fields);
    fields.end();
}
void write(std::string&, JsonObject& json, const Release& e) {
    json.field("account", e.account);
}
void write(std::string&, JsonObject& json, const Password& e) {
    json.field("account", e.account);
}
void write(std::string&, JsonObject& json, const SpoolError& e) {
    json.field("kind", e.kind);
    json.field("path", e.path);
    json.field("error", e.error);
}
void write(std::string&, JsonObject& json, const Reload& e) {
    json.field("result", e.result);
    json.field("error", e.error);
}
void write(std::string&, JsonObject& json, const AlertRaised& e) {
    json.field("id", e.id);
    json.field("kind", e.kind);
    json.field("severity", e.severity);
    json.field("subject", e.subject);
    json.field("state", e.state);
    json.time("since", e.since);
    json.number("count", e.count);
    json.field("text", e.text);
    json.field("action", e.action);
    json.field("url", e.url);
    write_alert_fields(json, e);
}
void write(std::string&, JsonObject& json, const Log& e) {
    json.field("level", name(e.level));
    json.field("area", e.area);
    json.text("text", e.text);
}

template <typename T>
concept Written = requires(std::string& out, JsonObject& json, const T& e) { write(out, json, e); };

/// In the order of Payload.
constexpr std::array<std::string_view, std::variant_size_v<Payload>> event_names{
    "connect",      "disconnect",  "tls_handshake", "login",    "reply",    "rcpt",
    "attempt",      "message",     "answered",      "delivery", "queued",   "settled",
    "dsn",          "bounce",      "complaint",     "intake",   "upstream", "upstream_time",
    "lookup",       "admin",       "release",       "password", "verdict",  "policy_time",
    "spool_commit", "spool_error", "loop_lag",      "reload",   "alert",    "log"};
static_assert(event_names.back() == "log");

}  // namespace

std::string_view event_name(const Payload& what) noexcept {
    return event_names[what.index()];
}

bool is_written(const Payload& what) noexcept {
    return std::visit([]<typename T>(const T&) { return Written<T>; }, what);
}

std::vector<std::string_view> written_names() {
    std::vector<std::string_view> out;
    const auto add = [&]<std::size_t... Index>(std::index_sequence<Index...>) {
        ((Written<std::variant_alternative_t<Index, Payload>> ? out.push_back(event_names[Index])
                                                              : void()),
         ...);
    };
    add(std::make_index_sequence<event_names.size()>{});
    return out;
}

Level level_of(const Payload& what) noexcept {
    if (const auto* log = std::get_if<Log>(&what)) return log->level;
    if (const auto* alert = std::get_if<AlertRaised>(&what)) {
        if (alert->state == "resolved" || alert->severity == "info") return Level::info;
        return alert->severity == "critical" ? Level::error : Level::warning;
    }
    if (std::holds_alternative<Lookup>(what)) return Level::debug;
    if (std::holds_alternative<SpoolError>(what)) return Level::error;
    if (const auto* reload = std::get_if<Reload>(&what);
        reload != nullptr && reload->result != "ok") {
        return Level::error;
    }
    return Level::info;
}

std::string_view name(Level level) noexcept {
    switch (level) {
        case Level::debug:
            return "debug";
        case Level::info:
            return "info";
        case Level::warning:
            return "warning";
        case Level::error:
            break;
    }
    return "error";
}

void append_line(std::string& out, const Event& e) {
    JsonObject json(out);
    json.time("t", e.t);
    json.field("event", event_name(e.what));
    std::visit(
        [&]<typename T>(const T& what) {
            if constexpr (Written<T>) write(out, json, what);
        },
        e.what);
    json.number("seq", e.seq);
    json.number(
        "mono_ns",
        std::chrono::duration_cast<std::chrono::nanoseconds>(e.mono.time_since_epoch()).count());
    json.end();
    out += '\n';
}

}  // namespace postern::relay::event
