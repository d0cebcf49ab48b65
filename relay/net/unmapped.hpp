#pragma once

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "relay/asio.hpp"

namespace postern::relay::net {

/// An IPv4 address that a dual stack socket shows as IPv6 (RFC 4291 2.5.5.2), as what it is.
[[nodiscard]] inline asio::ip::address unmapped(const asio::ip::address& address) {
    if (!address.is_v6() || !address.to_v6().is_v4_mapped()) return address;
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
}
[[nodiscard]] inline asio::ip::tcp::endpoint unmapped(const asio::ip::tcp::endpoint& endpoint) {
    return {unmapped(endpoint.address()), endpoint.port()};
}

}  // namespace postern::relay::net
