#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::auth {

/// Base64url without padding (RFC 7515 2). Strict: only the alphabet, no length that cannot be,
/// unused bits zero, so that no two texts mean the same octets. Unset where it is not.
[[nodiscard]] std::optional<std::string> base64url_decode(std::string_view text);

}  // namespace postern::auth
