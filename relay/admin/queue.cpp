// /api/v1/queue: what waits, and what an operator does to it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "proto/base64.hpp"
#include "proto/ref.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/config/reading.hpp"
#include "relay/event/event.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::admin {
namespace {

constexpr std::array<EntryState, 7> all_states = {
    EntryState::ready, EntryState::active, EntryState::deferred, EntryState::in_doubt,
    EntryState::held,  EntryState::frozen, EntryState::damaged};

using Kind = EntryChange::Kind;
constexpr std::array<std::pair<std::string_view, Kind>, 5> verbs = {{{"hold", Kind::hold},
                                                                     {"release", Kind::release},
                                                                     {"reroute", Kind::reroute},
                                                                     {"retry", Kind::retry},
                                                                     {"drop", Kind::drop}}};

std::optional<Kind> verb_of(std::string_view word) {
    const auto* at = std::ranges::find(verbs, word, &std::pair<std::string_view, Kind>::first);
    return at == verbs.end() ? std::nullopt : std::optional(at->second);
}

std::string_view word_of(Kind kind) {
    return std::ranges::find(verbs, kind, &std::pair<std::string_view, Kind>::second)->first;
}

/// As it is kept with each entry; the event has it whole.
std::string shortened(std::string reason) {
    constexpr std::size_t longest = 500;
    constexpr unsigned char continues = 0x80;  // UTF-8
    constexpr unsigned char mask = 0xC0;
    if (reason.size() <= longest) return reason;
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(reason[end]) & mask) == continues) --end;
    reason.resize(end);
    return reason;
}

/// Octets of a message in one answer.
constexpr std::size_t export_part = 4U << 20U;

Json item(const EntryInfo& e) {
    Json out;
    out["id"] = e.id;
    out["ref"] = e.ref;
    out["state"] = name(e.state);
    out["account"] = text_or_null(e.account);
    out["customer"] = text_or_null(e.customer);
    out["source"] = text_or_null(e.source);
    out["mail_from"] = e.mail_from;
    out["rcpts"] = e.open_rcpts;
    out["bytes"] = e.bytes;
    out["created"] = time_or_null(e.created);
    out["attempts"] = e.attempts;
    out["next_attempt"] =
        e.state == EntryState::active ? Json(nullptr) : time_or_null(e.next_attempt);
    out["upstream"] = text_or_null(e.upstream);
    out["rerouted"] = e.rerouted;
    out["last_reply"] = text_or_null(e.last_reply);
    out["reason"] = text_or_null(e.reason);
    return out;
}

/// Ids as a person types them: lower case, O for 0.
std::string canonical_id(const std::string& typed) {
    return proto::parse_ref(typed).value_or(typed);
}

Checked<EntrySelector> selector(Selectors& s) {
    EntrySelector which;
    for (const std::string& id : s.texts("id")) which.ids.push_back(canonical_id(id));
    which.accounts = s.texts("account");
    which.customers = s.texts("customer");
    which.mail_from = s.texts("mail_from");
    which.rcpts = s.texts("rcpt");
    which.upstreams = s.texts("upstream");
    for (const std::string& text : s.texts("source")) {
        const auto network = proto::Network::parse(text);
        if (!network) {
            return invalid("must be an address or a network like 192.0.2.0/24", "source");
        }
        which.sources.push_back(*network);
    }
    for (const std::string& text : s.texts("state")) {
        const auto* state =
            std::ranges::find_if(all_states, [&](EntryState one) { return name(one) == text; });
        if (state == all_states.end()) {
            return invalid("is one of ready active deferred in_doubt held frozen damaged", "state");
        }
        which.states.push_back(*state);
    }
    const auto since = s.time("since");
    if (!since) return since.error();
    which.since = *since;
    const auto until = s.time("until");
    if (!until) return until.error();
    which.until = *until;
    return which;
}

bool selects_everything(const EntrySelector& w) {
    return w.ids.empty() && w.accounts.empty() && w.customers.empty() && w.mail_from.empty() &&
           w.rcpts.empty() && w.upstreams.empty() && w.sources.empty() && w.states.empty() &&
           !w.since && !w.until;
}

class QueueCall {
  public:
    QueueCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), spool_(*ports.spool) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        const auto which = selector(s);
        if (!which) return which.error();
        const std::string cursor = s.text("cursor");
        if (!cursor.empty() && !proto::is_ref(cursor))
            return invalid("is none that a list gave", "cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const auto entries = spool_.list(*which, *limit + 1, cursor);
        Json out;
        out["items"] = Json::array();
        for (const EntryInfo& e : entries) {
            if (out["items"].size() < *limit) out["items"].push_back(item(e));
        }
        const bool more = entries.size() > *limit;
        out["next"] = more ? Json(entries[*limit - 1].id) : Json(nullptr);
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> show(const std::string& id) const {
        const auto entries = spool_.list(of(id), 1, "");
        if (entries.empty()) return not_found("there is no such entry in the queue");
        return Answer{item(entries.front())};
    }

    /// `id` is empty where the body selects.
    [[nodiscard]] Checked<Answer> change(Kind kind, const std::string& id) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto query = fields->as_query();
        if (!query) return query.error();
        Selectors s(*query, ports_.now());
        auto which = selector(s);
        if (!which) return which.error();
        const bool all = s.flag("all");
        const bool dsn = kind == Kind::drop && s.flag("dsn");
        EntryChange what{.kind = kind,
                         .reason = shortened(request_.reason),
                         .upstream = kind == Kind::reroute ? s.text("to") : "",
                         .now = ports_.now(),
                         .limit = 0,
                         .stop = ports_.stopping};
        const auto limit = s.number("limit", 0, 1'000'000'000);
        if (!limit) return limit.error();
        what.limit = *limit;
        if (const auto done = s.done(); !done) return done.error();
        if (kind == Kind::reroute) {
            if (const auto known = is_upstream(what.upstream); !known) return known.error();
        }
        if (!id.empty()) which->ids = {canonical_id(id)};
        if (selects_everything(*which) && !all)
            return invalid("a change needs a selector, or \"all\": true");
        if (dsn && !ports_.drop_with_dsn)
            return not_ready("the relay is not running; start it with: postern serve");
        if (what.reason.empty() && (kind == Kind::drop || kind == Kind::hold))
            what.reason =
                fmt::format("{} by {}", kind == Kind::drop ? "dropped" : "held", request_.who);
        const ChangeOutcome outcome = carry_out(*which, what, dsn);
        if (outcome.matched == 0 && !which->ids.empty())
            return not_found("there is no such entry in the queue");
        // Of a change that ended early, too: what is changed is changed.
        told(*which, what, outcome);
        if (outcome.error) {
            return internal(fmt::format("the spool: {}; {} were changed until then",
                                        outcome.error.message(), outcome.changed));
        }
        return answer(outcome);
    }

    /// A part of a message, as it goes out. That somebody reads it is told with the first.
    [[nodiscard]] Checked<Answer> export_message(const std::string& typed) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto query = fields->as_query();
        if (!query) return query.error();
        Selectors s(*query, ports_.now());
        const auto offset = s.number("offset", 0, SIZE_MAX, 0);
        if (!offset) return offset.error();
        if (const auto done = s.done(); !done) return done.error();
        const std::string id = canonical_id(typed);
        const auto loaded = spool_.load(id);
        if (!loaded && loaded.error() == SpoolError::not_found)
            return not_found("there is no such entry in the queue");
        if (!loaded && loaded.error() == SpoolError::damaged)
            return Problem(409, "conflict", "it is damaged; see the spool's folder damaged");
        if (!loaded) return internal(fmt::format("the spool: {}", loaded.error().message()));
        std::string part;
        std::size_t total = 0;
        for (const std::string_view piece : loaded->entry.pieces) {
            const std::size_t at = std::max(*offset, total);
            total += piece.size();
            if (at < total && part.size() < export_part)
                part += piece.substr(piece.size() - (total - at), export_part - part.size());
        }
        if (*offset > total) return invalid("is behind the message's end", "offset");
        tell(ports_, request_, "queue_export", id,
             {{"ref", loaded->entry.ref}, {"offset", std::to_string(*offset)}});
        const std::size_t end = *offset + part.size();
        return Answer{Json{{"id", id},
                           {"bytes", total},
                           {"data", proto::base64_encode(part)},
                           {"next", end < total ? Json(end) : Json(nullptr)}}};
    }

  private:
    static EntrySelector of(const std::string& id) {
        EntrySelector which;
        which.ids = {canonical_id(id)};
        return which;
    }

    [[nodiscard]] Checked<void> is_upstream(const std::string& to) const {
        const auto names =
            ports_.upstream_names ? ports_.upstream_names() : std::vector<std::string>();
        if (std::ranges::find(names, to) != names.end()) return {};
        const std::vector<std::string_view> views(names.begin(), names.end());
        const std::string_view near = config::nearest(to, views);
        if (to.empty() || near.empty())
            return invalid(fmt::format("is one of the upstreams: {}", fmt::join(names, ", ")),
                           "to");
        return invalid(fmt::format("no such upstream; did you mean {}?", near), "to");
    }

    static Answer answer(const ChangeOutcome& outcome) {
        Json out{
            {"matched", outcome.matched}, {"changed", outcome.changed}, {"failed", outcome.failed}};
        if (outcome.failures.empty()) return Answer{std::move(out)};
        out["failures"] = Json::array();
        for (const ChangeOutcome::Failure& failure : outcome.failures) {
            out["failures"].push_back(Json{{"id", failure.id}, {"why", failure.why}});
        }
        return Answer{std::move(out)};
    }

    void told(const EntrySelector& which, const EntryChange& what,
              const ChangeOutcome& outcome) const {
        std::vector<std::pair<std::string, std::string>> fields;
        const auto each = [&](const char* field, const std::vector<std::string>& values) {
            constexpr std::size_t most = 20;
            for (const std::string& v : values) {
                if (fields.size() < most) fields.emplace_back(field, v);
            }
        };
        if (what.kind == Kind::reroute) fields.emplace_back("to", what.upstream);
        each("account", which.accounts);
        each("customer", which.customers);
        each("mail_from", which.mail_from);
        each("rcpt", which.rcpts);
        each("upstream", which.upstreams);
        each("id", which.ids);
        std::vector<std::string> networks;
        for (const proto::Network& network : which.sources) networks.push_back(network.text());
        each("source", networks);
        fields.emplace_back("changed", std::to_string(outcome.changed));
        fields.emplace_back("failed", std::to_string(outcome.failed));
        tell(ports_, request_, fmt::format("queue_{}", word_of(what.kind)),
             which.ids.size() == 1 ? which.ids.front() : "", std::move(fields));
    }

    ChangeOutcome carry_out(const EntrySelector& which, const EntryChange& what, bool dsn) const {
        if (what.kind != Kind::drop) return spool_.change(which, what, {});
        const auto dropped = [&](const EntryInfo& e) {
            if (ports_.events == nullptr) return;
            for (const std::string& rcpt : e.open_rcpts) {
                ports_.events->emit(event::Settled{e.ref, e.id, rcpt, "dropped", what.reason});
            }
        };
        return dsn ? ports_.drop_with_dsn(which, what, dropped)
                   : spool_.change(which, what, dropped);
    }

    const Ports& ports_;
    const Request& request_;
    Spool& spool_;
};

}  // namespace

Checked<Answer> queue_endpoint(const Ports& ports, const Request& request,
                               std::span<const std::string> rest) {
    if (ports.spool == nullptr)
        return not_ready("the relay is not running; start it with: postern serve");
    const QueueCall call(ports, request);
    if (rest.empty()) return request.method == "GET" ? call.list() : no_such_method(request);
    const auto verb = verb_of(rest.back());
    const bool exports = rest.size() == 2 && rest[1] == "export";
    const bool changes = verb && rest.size() <= 2;
    if (!changes && !exports) {
        if (rest.size() != 1) return no_such_path();
        return request.method == "GET" ? call.show(rest[0]) : no_such_method(request);
    }
    if (request.method != "POST") return no_such_method(request);
    if (exports) return call.export_message(rest[0]);
    return call.change(*verb, rest.size() == 2 ? rest[0] : "");
}

}  // namespace postern::relay::admin
