#include "relay/net/proxy.hpp"

#include <array>
#include <string>

#include "proto/proxy.hpp"

namespace postern::relay::net {

namespace {

asio::ip::tcp::endpoint endpoint(const std::string& address, std::uint16_t port) {
    error_code ec;
    const auto parsed = asio::ip::make_address(address, ec);
    return ec ? asio::ip::tcp::endpoint() : asio::ip::tcp::endpoint(parsed, port);
}

}  // namespace

awaitable<result<ProxiedPeer>> read_proxy_header(Stream& stream,
                                                 std::chrono::milliseconds deadline) {
    stream.set_deadline(deadline);
    std::string octets;
    std::array<char, 512> part;
    for (;;) {
        const auto got = co_await stream.read_some(part);
        if (!got) co_return got.error();
        if (*got == 0) co_return error_code(Error::proxy_malformed);
        octets.append(part.data(), *got);
        const proto::ProxyResult parsed = proto::parse_proxy(octets);
        if (parsed.status == proto::ProxyResult::Status::need_more) continue;
        if (parsed.status == proto::ProxyResult::Status::error)
            co_return error_code(Error::proxy_malformed);
        stream.unread(std::string_view(octets).substr(parsed.consumed));
        stream.clear_deadline();
        ProxiedPeer peer;
        if (!parsed.header.local) {
            peer.proxied = true;
            peer.source = endpoint(parsed.header.source, parsed.header.source_port);
            peer.destination = endpoint(parsed.header.destination, parsed.header.destination_port);
        }
        co_return peer;
    }
}

}  // namespace postern::relay::net
