#pragma once

#include <string_view>

namespace postern::proto {

/// xtext (RFC 3461 4): printable ASCII but `+` and `=`, or `+` and two upper-case hexadecimal
/// digits that do not name a control octet (a value is handed on: what it decodes to must not hold
/// line ends). Not empty.
[[nodiscard]] bool valid_xtext(std::string_view text) noexcept;

}  // namespace postern::proto
