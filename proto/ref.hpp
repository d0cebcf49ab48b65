#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::proto {

/// Octets in a message's reference as written.
inline constexpr std::size_t ref_length = 26;

/// 80 random bits, from the caller.
using RefRandom = std::array<std::uint8_t, 10>;

/// A message's reference: a ULID, 48 bits of Unix time in milliseconds and 80 random bits as 26
/// characters of Crockford's base32, upper case. It sorts by time. Bits of `unix_ms` above 48 are
/// dropped.
[[nodiscard]] std::string make_ref(std::uint64_t unix_ms, const RefRandom& random);

/// Whether `text` is a reference as make_ref() writes it.
[[nodiscard]] bool is_ref(std::string_view text) noexcept;

/// A reference as a person types it (lower case; I and L for 1, O for 0) in the form of make_ref();
/// unset where it is none.
[[nodiscard]] std::optional<std::string> parse_ref(std::string_view text);

/// Unix milliseconds of a reference for which is_ref() holds; unset else.
[[nodiscard]] std::optional<std::uint64_t> ref_time(std::string_view ref) noexcept;

}  // namespace postern::proto
