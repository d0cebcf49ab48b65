#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern::proto {

/// Octets of the UTF-8 sequence (RFC 3629) that `text` begins with, 1 to 4; 0 where it begins with
/// none.
[[nodiscard]] std::size_t utf8_sequence(std::string_view text) noexcept;

[[nodiscard]] bool valid_utf8(std::string_view text) noexcept;

[[nodiscard]] bool is_ascii(std::string_view text) noexcept;

/// C0 controls and DEL; no octet of a valid UTF-8 sequence is one.
[[nodiscard]] constexpr bool is_control(char c) noexcept {
    const auto u = static_cast<unsigned char>(c);
    return u < 0x20 || u == 0x7f;
}

/// White space of folded fields (RFC 5322 3.2.2) and their line ends.
[[nodiscard]] constexpr bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

[[nodiscard]] bool has_control(std::string_view text) noexcept;

[[nodiscard]] constexpr char ascii_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

/// Equal but for the case of ASCII letters.
[[nodiscard]] bool same_ignoring_case(std::string_view a, std::string_view b) noexcept;

[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] std::string to_upper(std::string_view text);

/// Valid UTF-8 with the letters of Latin, Greek and Cyrillic script in lower case; others stay as
/// they are. Undecodable octets stay too.
[[nodiscard]] std::string fold_case(std::string_view text);

}  // namespace postern::proto
