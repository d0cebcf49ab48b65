#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "proto/secret.hpp"
#include "relay/asio.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/tls.hpp"

namespace postern::relay::net {

/// Why no document came: what was met instead, in words.
struct HttpFault {
    std::string what;
};

/// A document to be fetched by one GET (HTTP/1.1).
struct HttpGet {
    std::string host;  ///< A name, or an IP literal without brackets.
    std::uint16_t port = 443;
    std::string target;  ///< "/jwks"; visible ASCII.
    TlsClientPtr tls;    ///< Null: in the clear, and then from loopback addresses alone.
    std::chrono::seconds patience{10};  ///< For all of it.
    std::size_t max_body = std::size_t{1} << 20U;
};

/// The body of a 200 answer; redirections are not followed, codings not undone. On the thread of
/// `context`, by a coroutine that runs there.
[[nodiscard]] awaitable<result<std::string, HttpFault>> http_get(asio::io_context& context,
                                                                 Resolver& resolver, HttpGet what);

/// What came, whatever its status; a body may hold secrets.
struct HttpAnswer {
    unsigned status = 0;
    proto::Secret body;
};

/// Sends a form (application/x-www-form-urlencoded) by one POST to `where`, under the same rules as
/// http_get; what went out and came in is wiped, as far as it is ours.
[[nodiscard]] awaitable<result<HttpAnswer, HttpFault>> http_post_form(asio::io_context& context,
                                                                      Resolver& resolver,
                                                                      HttpGet where,
                                                                      proto::Secret form);

}  // namespace postern::relay::net
