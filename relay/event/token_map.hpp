#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "relay/event/event.hpp"

namespace postern::relay::event {

// Which message a token of X-Abuse stands for: STATE/trace, files like the journal's, kept for
// message.trace_retention. A line is a `message` event of what a report needs to know of it, or a
// `bounce` or `complaint` with token and recipient, by which each counts once.

/// 32 hex digits, in lower case. Unset: it is no token.
[[nodiscard]] std::optional<std::string> parse_token(std::string_view text);

/// Appends the map's line of an event with its '\n'; nothing where it is neither a message with a
/// token nor told of one.
void append_token_line(std::string& out, const Event& e);

/// The line of a token; files are searched from the newest back. Unset: not found, or no token.
/// Blocks. Never throws on what files hold.
[[nodiscard]] std::optional<nlohmann::json> find_token(const std::string& folder,
                                                       std::string_view token);

}  // namespace postern::relay::event
