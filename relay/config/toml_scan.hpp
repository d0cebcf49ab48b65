#pragma once

#include <optional>
#include <string_view>

namespace postern::relay::config {

/// The first line with an octet beyond ASCII outside of strings and comments, where TOML has none
/// (or right behind a backslash and white space in a string of several lines). toml++ 3.3
/// classifies such characters by code that ends in undefined behaviour, so they are refused before
/// it sees them.
[[nodiscard]] std::optional<unsigned> line_with_stray_octet(std::string_view text) noexcept;

}  // namespace postern::relay::config
