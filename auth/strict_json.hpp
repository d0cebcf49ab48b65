#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace postern::auth {

using Json = nlohmann::json;

/// More than this no token and no key set has.
inline constexpr std::size_t max_json_depth = 16;
inline constexpr std::size_t max_json_values = 4096;

struct JsonBounds {
    std::size_t depth = max_json_depth;    ///< Of objects and arrays in one another.
    std::size_t values = max_json_values;  ///< All of them, whatever they are.
};

/// One JSON value and nothing behind it. Unset: not UTF-8, too deep, too many values, or an object
/// in it names a member twice. The caller bounds the size. Throws for want of memory alone.
[[nodiscard]] std::optional<Json> parse_bounded(std::string_view text, const JsonBounds& bounds);

/// One JSON object and nothing behind it. Unset: no object, not UTF-8, too deep, too many values,
/// or an object in it names a member twice (RFC 7515 4, RFC 7519 4: two readers might believe
/// different ones). The caller bounds the size. Throws for want of memory alone.
[[nodiscard]] std::optional<Json> parse_strict(std::string_view text);

/// The member's string; null: there is none, or it is no string.
[[nodiscard]] const std::string* string_member(const Json& object, const char* name);

}  // namespace postern::auth
