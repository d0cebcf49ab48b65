// /api/v1/trace and /api/v1/events: what the journal knows.
#include <fmt/format.h>

#include <charconv>

#include "proto/network.hpp"
#include "proto/ref.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/event/journal_reader.hpp"
#include "relay/event/token_map.hpp"

namespace postern::relay::admin {
namespace {

constexpr std::size_t most_latest = 100'000;

/// A page's end: the `seq` of its last event, and its time so that older files are passed over.
struct Cursor {
    std::uint64_t seq = 0;
    std::int64_t milliseconds = 0;
};

std::optional<Cursor> parse_cursor(std::string_view text) {
    Cursor c;
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const std::string_view seq = text.substr(0, dash);
    const std::string_view time = text.substr(dash + 1);
    const auto whole = [](std::string_view part, auto& value) {
        const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
        return error == std::errc{} && end == part.data() + part.size();
    };
    if (!whole(seq, c.seq) || !whole(time, c.milliseconds)) return std::nullopt;
    return c;
}

std::optional<std::string> cursor_of(const Json& event, std::chrono::system_clock::time_point now) {
    const auto seq = event.find("seq");
    const auto t = event.find("t");
    if (seq == event.end() || !seq->is_number_unsigned() || t == event.end() || !t->is_string())
        return std::nullopt;
    const auto time = parse_time(t->get<std::string>(), now);
    if (!time) return std::nullopt;
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time->time_since_epoch());
    return fmt::format("{}-{}", seq->get<std::uint64_t>(), ms.count());
}

Checked<event::EventQuery> read_query(Selectors& s) {
    event::EventQuery q;
    q.accounts = s.texts("account");
    q.customers = s.texts("customer");
    q.sources = s.texts("source");
    for (const std::string& source : q.sources) {
        if (!proto::Network::parse(source))
            return invalid(fmt::format("{} is no address or network", source), "source");
    }
    q.mail_from = s.texts("mail_from");
    q.rcpts = s.texts("rcpt");
    q.upstreams = s.texts("upstream");
    q.sessions = s.texts("session");
    for (const std::string& ref : s.texts("ref"))
        q.refs.push_back(proto::parse_ref(ref).value_or(ref));
    q.rules = s.texts("rule");
    q.events = s.texts("event");
    for (const std::string& name : q.events) {
        if (auto right = instead_of_event(name)) return invalid(*std::move(right), "event");
    }
    const auto since = s.time("since");
    if (!since) return since.error();
    q.since = *since;
    const auto until = s.time("until");
    if (!until) return until.error();
    q.until = *until;
    return q;
}

/// Reads on behind the cursor until a page is full.
Checked<Answer> page(const Ports& ports, event::EventQuery query,
                     const std::optional<Cursor>& after, std::size_t limit) {
    constexpr std::chrono::minutes disorder{
        1};  // Threads write at nearly the order of their times.
    if (after) {
        const std::chrono::system_clock::time_point from{
            std::chrono::milliseconds(after->milliseconds)};
        if (!query.since || *query.since < from - disorder) query.since = from - disorder;
    }
    Json items = Json::array();
    bool more = false;
    const auto read = event::read_events(ports.journal, query, [&](std::string_view line) {
        Json event = Json::parse(line, nullptr, false);
        if (!event.is_object()) return true;
        const auto seq = event.find("seq");
        const bool numbered = seq != event.end() && seq->is_number_unsigned();
        if (after && numbered && seq->get<std::uint64_t>() <= after->seq) return true;
        more = items.size() == limit;
        if (!more) items.push_back(std::move(event));
        return !more;
    });
    if (!read) return internal(fmt::format("the journal: {}", read.error().message()));
    Json out;
    const auto next = more ? cursor_of(items.back(), ports.now()) : std::nullopt;
    out["items"] = std::move(items);
    out["next"] = next ? Json(*next) : Json(nullptr);
    return Answer{std::move(out)};
}

Checked<Answer> latest(const Ports& ports, event::EventQuery query, std::size_t count) {
    query.limit = count;
    Json items = Json::array();
    const auto read = event::read_events(ports.journal, query, [&](std::string_view line) {
        Json event = Json::parse(line, nullptr, false);
        if (event.is_object()) items.push_back(std::move(event));
        return true;
    });
    if (!read) return internal(fmt::format("the journal: {}", read.error().message()));
    return Answer{Json{{"items", std::move(items)}, {"next", nullptr}}};
}

}  // namespace

Checked<Answer> trace_endpoint(const Ports& ports, const Request& request,
                               std::span<const std::string> rest) {
    if (ports.journal.empty()) return not_ready("there is no journal");
    if (ports.flush) ports.flush();
    if (rest.size() != 1) return no_such_path();
    if (request.method != "GET") return no_such_method(request);
    const std::string id = proto::parse_ref(rest[0]).value_or(rest[0]);
    const auto found = event::parse_token(id) ? event::trace_token(ports.journal, ports.tokens, id)
                                              : event::trace(ports.journal, id);
    const auto forgotten = [&](const Json& message) {
        const auto t = message.find("t");
        if (!ports.trace_retention || t == message.end() || !t->is_string()) return false;
        const auto time = parse_time(t->get<std::string>(), ports.now());
        return time && *time < ports.now() - ports.trace_retention();
    };
    if (!found || forgotten(*found))
        return not_found("the journal knows no message by that reference, token or Message-ID");
    return Answer{
        Json::parse(found->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))};
}

Checked<Answer> events_endpoint(const Ports& ports, const Request& request) {
    if (ports.journal.empty()) return not_ready("there is no journal");
    if (ports.flush) ports.flush();
    if (request.method != "GET") return no_such_method(request);
    Selectors s(request.query, ports.now());
    const auto query = read_query(s);
    if (!query) return query.error();
    const std::string cursor_text = s.text("cursor");
    const auto cursor = parse_cursor(cursor_text);
    if (!cursor_text.empty() && !cursor) return invalid("is none that a list gave", "cursor");
    const auto newest = s.number("latest", 0, most_latest);
    if (!newest) return newest.error();
    const auto limit = s.number("limit", default_page, largest_page);
    if (!limit) return limit.error();
    if (const auto done = s.done(); !done) return done.error();
    return *newest > 0 ? latest(ports, *query, *newest) : page(ports, *query, cursor, *limit);
}

}  // namespace postern::relay::admin
