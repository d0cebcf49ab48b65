#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::proto {

/// Base64 (RFC 4648 4) with padding, as AUTH uses it.
[[nodiscard]] std::string base64_encode(std::string_view octets);

/// Strict: only the alphabet, length a multiple of four, padding complete, unused bits zero. Unset
/// where it is not. The empty text is the empty string.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);

}  // namespace postern::proto
