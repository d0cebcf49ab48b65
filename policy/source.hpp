#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::policy {

/// The canonical text of a client address, what "source" means everywhere: IPv4 as it is,
/// IPv4-mapped IPv6 as its IPv4, IPv6 as its /64 ("2001:db8:0:1::/64"). A scope ("%eth0") is
/// dropped. Text that is no address comes back lower-cased, at most 64 octets, so that a caller has
/// a key in any case.
[[nodiscard]] std::string canonical_source(std::string_view address);
[[nodiscard]] std::string canonical_source(const std::array<std::uint8_t, 4>& v4);
[[nodiscard]] std::string canonical_source(const std::array<std::uint8_t, 16>& v6);

/// The network that a canonical source belongs to and that one customer of an access provider may
/// have to himself: the /24 of an IPv4 address, the /48 of a /64. Other text as it is.
[[nodiscard]] std::string wide_source(std::string_view source);

}  // namespace postern::policy
