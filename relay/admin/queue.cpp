// /api/v1/queue: what waits, and what an operator does to it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <future>
#include <memory>

#include "proto/ref.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/event/event.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::admin {
namespace {

constexpr std::array<EntryState, 7> all_states = {
    EntryState::ready, EntryState::active, EntryState::deferred, EntryState::in_doubt,
    EntryState::held,  EntryState::frozen, EntryState::damaged};

Json item(const EntryInfo& e) {
    Json out;
    out["id"] = e.id;
    out["ref"] = e.ref;
    out["state"] = name(e.state);
    out["account"] = text_or_null(e.account);
    out["customer"] = text_or_null(e.customer);
    out["mail_from"] = e.mail_from;
    out["rcpts"] = e.open_rcpts;
    out["bytes"] = e.bytes;
    out["created"] = time_or_null(e.created);
    out["attempts"] = e.attempts;
    out["next_attempt"] =
        e.state == EntryState::active ? Json(nullptr) : time_or_null(e.next_attempt);
    out["upstream"] = text_or_null(e.upstream);
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
           w.rcpts.empty() && w.upstreams.empty() && w.states.empty() && !w.since && !w.until;
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
    [[nodiscard]] Checked<Answer> change(const std::string& verb, const std::string& id) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto query = fields->as_query();
        if (!query) return query.error();
        Selectors s(*query, ports_.now());
        auto which = selector(s);
        if (!which) return which.error();
        const bool all = s.flag("all");
        const bool dsn = verb == "drop" && s.flag("dsn");
        const auto limit = s.number("limit", 0, 1'000'000);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        if (!id.empty()) which->ids = {canonical_id(id)};
        if (selects_everything(*which) && !all)
            return invalid("a change needs a selector, or \"all\": true");
        const std::size_t matched = count(*which, *limit);
        if (matched == 0 && !which->ids.empty())
            return not_found("there is no such entry in the queue");
        return verb == "retry" ? retry(*which, matched) : drop(*which, matched, dsn);
    }

  private:
    static EntrySelector of(const std::string& id) {
        EntrySelector which;
        which.ids = {canonical_id(id)};
        return which;
    }

    /// How many it selects; with a limit the selector is narrowed to the first of them.
    std::size_t count(EntrySelector& which, std::size_t limit) const {
        std::size_t total = 0;
        std::string after;
        std::vector<std::string> ids;
        while (true) {
            const std::size_t page =
                limit == 0 ? largest_page : std::min(limit - total, largest_page);
            const auto entries =
                page == 0 ? std::vector<EntryInfo>() : spool_.list(which, page, after);
            total += entries.size();
            if (limit != 0) {
                for (const EntryInfo& e : entries) ids.push_back(e.id);
            }
            if (entries.empty() || entries.size() < page) break;
            after = entries.back().id;
        }
        if (limit != 0 && total > 0) which.ids = std::move(ids);
        return total;
    }

    static Answer outcome(std::size_t matched, std::size_t changed) {
        return {Json{{"matched", std::max(matched, changed)},
                     {"changed", changed},
                     {"failed", matched > changed ? matched - changed : 0}}};
    }

    void told(const std::string& what, const EntrySelector& which, std::size_t changed) const {
        std::vector<std::pair<std::string, std::string>> fields;
        const auto each = [&](const char* field, const std::vector<std::string>& values) {
            constexpr std::size_t most = 20;
            for (const std::string& v : values) {
                if (fields.size() < most) fields.emplace_back(field, v);
            }
        };
        each("account", which.accounts);
        each("customer", which.customers);
        each("mail_from", which.mail_from);
        each("rcpt", which.rcpts);
        each("upstream", which.upstreams);
        each("id", which.ids);
        fields.emplace_back("changed", std::to_string(changed));
        tell(ports_, request_, what, which.ids.size() == 1 ? which.ids.front() : "",
             std::move(fields));
    }

    Checked<Answer> retry(const EntrySelector& which, std::size_t matched) const {
        const std::size_t changed = spool_.retry(which, ports_.now());
        told("queue_retry", which, changed);
        return outcome(matched, changed);
    }

    Checked<Answer> drop(const EntrySelector& which, std::size_t matched, bool dsn) const {
        if (dsn && !ports_.drop_with_dsn)
            return not_ready("the relay is not running; start it with: postern serve");
        const std::string reason =
            request_.reason.empty() ? "dropped by " + request_.who : request_.reason;
        const auto dropped =
            dsn ? ports_.drop_with_dsn(which, reason) : drop_silently(which, reason);
        if (!dropped) return internal(fmt::format("the spool: {}", dropped.error().message()));
        if (ports_.events != nullptr) {
            for (const EntryInfo& e : *dropped) {
                for (const std::string& rcpt : e.open_rcpts) {
                    ports_.events->emit(event::Settled{e.ref, e.id, rcpt, "dropped", reason});
                }
            }
        }
        told("queue_drop", which, dropped->size());
        return outcome(matched, dropped->size());
    }

    boost::system::result<std::vector<EntryInfo>> drop_silently(const EntrySelector& which,
                                                                const std::string& reason) const {
        using Dropped = boost::system::result<std::vector<EntryInfo>>;
        const auto done = std::make_shared<std::promise<Dropped>>();
        auto outcome = done->get_future();
        spool_.drop(which, reason, [done](Dropped r) { done->set_value(std::move(r)); });
        return outcome.get();
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
    const auto is_verb = [](const std::string& word) { return word == "retry" || word == "drop"; };
    if (rest.empty()) return request.method == "GET" ? call.list() : no_such_method(request);
    if (rest.size() == 1 && is_verb(rest[0])) {
        return request.method == "POST" ? call.change(rest[0], "") : no_such_method(request);
    }
    if (rest.size() == 1)
        return request.method == "GET" ? call.show(rest[0]) : no_such_method(request);
    if (rest.size() == 2 && is_verb(rest[1])) {
        return request.method == "POST" ? call.change(rest[1], rest[0]) : no_such_method(request);
    }
    return no_such_path();
}

}  // namespace postern::relay::admin
