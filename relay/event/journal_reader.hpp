#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>
#include <nlohmann/json.hpp>

#include "relay/event/trace.hpp"  // trace(): the other way to read the journal

namespace postern::relay::event {

/// Selects lines: fields ANDed, a repeated one ORed, an empty one asks nothing. Addresses may be
/// "@DOMAIN".
struct EventQuery {
    std::vector<std::string> accounts, customers, sources, mail_from, rcpts, upstreams, sessions,
        refs, rules, events;
    std::optional<std::chrono::system_clock::time_point> since, until;
    std::size_t limit = 0;  ///< 0: all; else the latest so many.
};
/// What is read of one line; unset: it is no event (damaged). Never throws.
[[nodiscard]] std::optional<nlohmann::json> parse_journal_line(std::string_view line);
[[nodiscard]] bool matches(const EventQuery& query, const nlohmann::json& event);

struct ReadResult {
    std::size_t lines = 0;    ///< That matched.
    std::size_t damaged = 0;  ///< Passed over.
};
/// Calls `each` for every line that matches, the oldest first. Reads files: blocks. Returning false
/// ends it.
[[nodiscard]] boost::system::result<ReadResult> read_events(
    const std::string& folder, const EventQuery& query,
    const std::function<bool(std::string_view line)>& each);

}  // namespace postern::relay::event
