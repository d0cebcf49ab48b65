#pragma once

#include <cstdint>
#include <string>

#include "relay/asio.hpp"
#include "relay/config/config.hpp"
#include "relay/descriptor.hpp"

namespace postern::relay::admin {

/// Who owns the socket's file.
struct SocketOwner {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
};

/// A listening Unix socket, 0660. A missing folder is made (0755); a file that nobody listens on is
/// replaced, one that somebody listens on is errc::address_in_use.
[[nodiscard]] result<Descriptor> listen_unix(const std::string& path, SocketOwner owner);
[[nodiscard]] result<Descriptor> listen_tcp(const std::string& address, std::uint16_t port);

/// The uid of a Unix socket's peer.
[[nodiscard]] result<std::uint32_t> peer_uid(int descriptor);

}  // namespace postern::relay::admin
