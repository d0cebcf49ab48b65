#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace postern::policy {

/// A source packed into eight octets: the upper half of an IPv6 address, or an IPv4 address under
/// a prefix that no network has. Text that is no address is hashed, and cannot be read back.
/// Never 0.
using SourceKey = std::uint64_t;

[[nodiscard]] SourceKey source_key(std::string_view source) noexcept;
/// "192.0.2.7", "2001:db8:0:1::/64"; "" of what was no address.
[[nodiscard]] std::string source_text(SourceKey key);

/// The network around a source, packed: the /24 of an IPv4 address, the /48 of a /64. 0: it has
/// none. A key of this kind is never that of a source's in the same table.
[[nodiscard]] SourceKey network_key(SourceKey source) noexcept;
/// "192.0.2.0/24", "2001:db8:1::/48"
[[nodiscard]] std::string network_text(SourceKey network);
/// Which of its network's 256 places a source has; of IPv6 a place is shared by 256 of them.
[[nodiscard]] std::uint8_t place_in_network(SourceKey source) noexcept;

/// Reads "192.0.2.0/24" and "2001:db8:1::/48" (host bits are cut off); unset: neither.
[[nodiscard]] std::optional<SourceKey> parse_network(std::string_view text) noexcept;
/// Reads an IPv4 address, an IPv6 address or its /64; unset: none of these.
[[nodiscard]] std::optional<SourceKey> parse_source(std::string_view text) noexcept;

}  // namespace postern::policy
