#include "relay/event/journal_reader.hpp"

#include <algorithm>
#include <deque>
#include <sstream>

#include "policy/source.hpp"
#include "proto/network.hpp"
#include "proto/utf8.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/journal_lines.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::event {

namespace {

using nlohmann::json;

/// The text of a field; empty where there is none, or it is no text.
std::string_view text_of(const json& event, const char* field) {
    const auto found = event.find(field);
    if (found == event.end() || !found->is_string()) return {};
    return found->get_ref<const std::string&>();
}

bool same_address(std::string_view wanted, std::string_view address) {
    if (!wanted.starts_with('@')) return proto::same_ignoring_case(wanted, address);
    const auto at = address.rfind('@');
    return at != std::string_view::npos && proto::same_ignoring_case(wanted, address.substr(at));
}

bool any_is(const std::vector<std::string>& wanted, std::string_view value) {
    return wanted.empty() || std::ranges::find(wanted, value) != wanted.end();
}

bool any_address_is(const std::vector<std::string>& wanted, std::string_view value) {
    return wanted.empty() ||
           std::ranges::any_of(wanted, [&](const auto& w) { return same_address(w, value); });
}

/// An address or a network, against what events call a source: an IPv4 address, an IPv6 /64.
bool source_is(const std::string& wanted, std::string_view value) {
    if (wanted == value || policy::canonical_source(wanted) == value) return true;
    const auto network = proto::Network::parse(wanted);
    if (!network || value.empty()) return false;
    const auto held = proto::Network::parse(value);
    return held && network->is_v4() == held->is_v4() && network->prefix() <= held->prefix() &&
           network->contains(value.substr(0, value.find('/')));
}

/// Alerts and what operators do name whom they are about as their subject.
template <typename Is>
bool any_about(const std::vector<std::string>& wanted, const json& event, const char* field,
               const Is& is) {
    if (wanted.empty()) return true;
    std::string_view value = text_of(event, field);
    if (value.empty()) value = text_of(event, "subject");
    return std::ranges::any_of(wanted, [&](const std::string& w) { return is(w, value); });
}

bool any_recipient_is(const std::vector<std::string>& wanted, const json& event) {
    if (wanted.empty()) return true;
    if (const auto one = text_of(event, "rcpt"); !one.empty()) return any_address_is(wanted, one);
    const auto all = event.find("rcpts");
    if (all == event.end() || !all->is_array()) return false;
    return std::ranges::any_of(*all, [&](const json& rcpt) {
        return rcpt.is_string() && any_address_is(wanted, rcpt.get_ref<const std::string&>());
    });
}

}  // namespace

std::optional<nlohmann::json> parse_journal_line(std::string_view line) {
    // A line is flat but for rules: a depth beyond that is no event, and would cost the parser's
    // stack.
    constexpr int deepest = 16;
    bool shallow = true;
    const json::parser_callback_t watch = [&](int depth, json::parse_event_t, json&) {
        shallow = shallow && depth <= deepest;
        return shallow;
    };
    auto parsed = json::parse(line, watch, false);
    if (!shallow || parsed.is_discarded() || !parsed.is_object()) return std::nullopt;
    if (text_of(parsed, "event").empty() || text_of(parsed, "t").empty()) return std::nullopt;
    return parsed;
}

bool matches(const EventQuery& query, const nlohmann::json& event) {
    // RFC 3339 in UTC with milliseconds: the order of the texts is that of the times.
    const auto t = text_of(event, "t");
    if (query.since && t < time_text(*query.since)) return false;
    if (query.until && t > time_text(*query.until)) return false;
    return any_is(query.events, text_of(event, "event")) &&
           any_is(query.refs, text_of(event, "ref")) &&
           any_is(query.sessions, text_of(event, "session")) &&
           any_is(query.rules, text_of(event, "rule")) &&
           any_is(query.customers, text_of(event, "customer")) &&
           any_about(query.sources, event, "source", source_is) &&
           any_is(query.upstreams, text_of(event, "upstream")) &&
           any_about(query.accounts, event, "account", same_address) &&
           any_address_is(query.mail_from, text_of(event, "mail_from")) &&
           any_recipient_is(query.rcpts, event);
}

boost::system::result<ReadResult> read_events(
    const std::string& folder, const EventQuery& query,
    const std::function<bool(std::string_view line)>& each) {
    ReadResult out;
    auto files = journal_files(folder);
    // A file holds its day's events, and by the batch that midnight falls into a few of the day
    // beside it.
    if (query.since) {
        const auto first = time_text(*query.since - std::chrono::days(1)).substr(0, 10);
        std::erase_if(files, [&](const JournalFile& f) { return f.date < first; });
    }
    if (query.until) {
        const auto last = time_text(*query.until + std::chrono::days(1)).substr(0, 10);
        std::erase_if(files, [&](const JournalFile& f) { return f.date > last; });
    }
    std::deque<std::string> latest;
    const auto look = [&](std::string_view line) {
        const auto event = parse_journal_line(line);
        if (!event) {
            ++out.damaged;
            return true;
        }
        if (!matches(query, *event)) return true;
        if (query.limit == 0) {
            ++out.lines;
            return each(line);
        }
        latest.emplace_back(line);
        if (latest.size() > query.limit) latest.pop_front();
        return true;
    };
    if (query.limit == 0) {
        for (const auto& file : files) {
            const auto read = read_lines(file.path, {}, look);
            if (!read) continue;  // expired meanwhile
            out.damaged += read->damaged;
            if (read->stopped) break;
        }
        return out;
    }
    // The latest so many: from the newest file back, until there are enough.
    std::deque<std::string> found;
    for (auto file = files.rbegin(); file != files.rend() && found.size() < query.limit; ++file) {
        latest.clear();
        const auto read = read_lines(file->path, {}, look);
        if (!read) continue;
        out.damaged += read->damaged;
        while (latest.size() + found.size() > query.limit) latest.pop_front();
        found.insert(found.begin(), std::make_move_iterator(latest.begin()),
                     std::make_move_iterator(latest.end()));
    }
    for (const auto& line : found) {
        ++out.lines;
        if (!each(line)) break;
    }
    return out;
}

}  // namespace postern::relay::event
