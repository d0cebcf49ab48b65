#pragma once

#include <chrono>

#include "relay/net/stream.hpp"

namespace postern::relay::net {

/// Whom a PROXY header names. Default made endpoints: the header says LOCAL or UNKNOWN, the
/// connection is its own.
struct ProxiedPeer {
    bool proxied = false;
    asio::ip::tcp::endpoint source;
    asio::ip::tcp::endpoint destination;
};

/// Reads a PROXY header (v1 or v2) that must come first, before TLS and before our greeting. What
/// follows it stays in the stream. Errors: proxy_malformed, timed_out, the end of the connection.
[[nodiscard]] awaitable<result<ProxiedPeer>> read_proxy_header(
    Stream& stream, std::chrono::milliseconds deadline = std::chrono::seconds(5));

}  // namespace postern::relay::net
