#pragma once

#include <string>
#include <string_view>

namespace postern::proto {

/// The value of an upper-case hexadecimal digit, as xtext writes them; -1 where it is none.
[[nodiscard]] constexpr int hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// xtext (RFC 3461 4): printable ASCII but `+` and `=`, or `+` and two upper-case hexadecimal
/// digits that do not name a control octet (a value is handed on: what it decodes to must not hold
/// line ends). Not empty.
[[nodiscard]] bool valid_xtext(std::string_view text) noexcept;

/// Undoes xtext; what is none stays as it is.
[[nodiscard]] std::string decode_xtext(std::string_view text);

}  // namespace postern::proto
