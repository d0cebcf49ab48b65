#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::proto {

/// The PROXY protocol's header, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt).
struct ProxyHeader {
    /// LOCAL (v2) or UNKNOWN (v1): the proxy speaks for itself; the addresses are the socket's own
    /// and empty here.
    bool local = false;
    std::string source;  ///< Numeric; IPv6 in RFC 5952 form.
    std::uint16_t source_port = 0;
    std::string destination;
    std::uint16_t destination_port = 0;
    bool operator==(const ProxyHeader&) const = default;
};

struct ProxyResult {
    enum class Status : std::uint8_t { need_more, done, error } status = Status::need_more;
    std::size_t consumed = 0;  ///< Octets of the header once done; what follows is the client's.
    ProxyHeader header;
};

/// Against a peer that never ends its header: v1 has at most 107 octets, v2 16 and at most 4096
/// more.
inline constexpr std::size_t proxy_v1_limit = 107;
inline constexpr std::size_t proxy_v2_payload_limit = 4096;

/// Reads the header from all octets of the connection so far. `need_more`: call again with more of
/// them. An error is any octet that cannot begin or continue a header, an address family other than
/// IPv4 or IPv6, or datagram transport.
[[nodiscard]] ProxyResult parse_proxy(std::string_view octets);

}  // namespace postern::proto
