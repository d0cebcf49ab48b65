#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::relay::config {

[[nodiscard]] std::string lower_case(std::string_view text);

/// Letters, digits and dashes in labels of at most 63, 253 in all, no digit-only last label; ASCII
/// (A-labels).
[[nodiscard]] bool is_host_name(std::string_view text) noexcept;

/// The domain of a host: its name less the first label, if a dot is left; else its name.
[[nodiscard]] std::string domain_of(const std::string& host);

/// One @, something before it without spaces, a host name after it.
[[nodiscard]] bool looks_like_mailbox(std::string_view text) noexcept;

/// 1 to 64 of letters, digits, dot, dash, underscore; not beginning with a dash.
[[nodiscard]] bool is_label(std::string_view text) noexcept;

struct HostPort {
    std::string host;                   ///< Without brackets.
    bool literal = false;               ///< An IP address, in canonical text.
    std::optional<std::uint16_t> port;  ///< 1 to 65535
};

/// "host", "host:25", "[::1]:25", "[host]:25" (as RELAYHOST writes it), "192.0.2.1:25", "::1".
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view text);

}  // namespace postern::relay::config
