#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::auth {

/// RFC 3454 section 7: stored strings hold no code point that Unicode 3.2 did not know, queries
/// may.
enum class PrepUse : std::uint8_t { stored, query };

/// SASLprep (RFC 4013): mapping, NFKC, prohibited characters, bidi rules. Unset: not UTF-8, or
/// prohibited, or over 8 KiB. What is not ASCII goes through ICU; ASCII costs a scan. Never throws
/// but for want of memory. Thread-safe.
[[nodiscard]] std::optional<std::string> saslprep(std::string_view text, PrepUse use);

/// The form in which login names are stored and compared: SASLprep, then proto::normalised_address.
[[nodiscard]] std::optional<std::string> normalised_login(std::string_view text);

[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;

}  // namespace postern::auth
