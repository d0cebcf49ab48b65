#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "relay/net/stream.hpp"

namespace postern::relay::intake {

/// Bounds of a request; they stop a peer that fills memory.
struct HttpLimits {
    std::uint32_t header = 16U << 10U;  ///< Octets
    std::uint64_t body = 1ULL << 20U;   ///< Octets
};

struct HttpAnswer {
    int status = 500;
    std::string content_type;
    std::string body;
    std::string fields;  ///< More of them, each ended by CRLF: constant text.
};

/// An RFC 9457 answer; `code` as the admin API has it. `detail` may hold cleaned foreign text.
[[nodiscard]] HttpAnswer http_problem(int status, std::string_view code, std::string_view detail,
                                      std::string fields = {});

/// HTTP/1.1 on a stream, plain or TLS: requests one after the other, each read in two steps, so
/// that who may not call is told before his body is taken. Deadlines are the stream's.
class HttpConnection {
  public:
    using Request = boost::beast::http::request<boost::beast::http::string_body>;
    enum class Got : std::uint8_t {
        all,
        gone,  ///< The end, a time-out, an error: nobody is there to be told.
        not_http,
        header_too_large,
        body_too_large,
    };

    explicit HttpConnection(net::Stream& stream, HttpLimits limits = {})
        : stream_(stream), limits_(limits) {}

    /// Begins a new request.
    [[nodiscard]] awaitable<Got> read_head();
    /// Behind read_head(). Says 100 Continue to who waits for it.
    [[nodiscard]] awaitable<Got> read_body();
    /// Of the request under way.
    [[nodiscard]] const Request& request() const { return parser_->get(); }
    /// Its body, handed over.
    [[nodiscard]] std::string take_body() { return std::move(parser_->get().body()); }
    [[nodiscard]] std::string_view field(std::string_view name) const;
    [[nodiscard]] bool has_field(std::string_view name) const;

    enum class Then : std::uint8_t { keep, close };
    [[nodiscard]] awaitable<error_code> write(HttpAnswer answer, Then then);

  private:
    using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
    enum class Until : std::uint8_t { head, body };
    [[nodiscard]] awaitable<Got> read(Until until);
    [[nodiscard]] bool whole(Until until) const {
        return until == Until::head ? parser_->is_header_done() : parser_->is_done();
    }
    /// Gives the parser what came; what is left needs more behind it.
    [[nodiscard]] error_code feed(Until until);

    net::Stream& stream_;
    HttpLimits limits_;
    std::optional<Parser> parser_;
    std::string octets_;  ///< Read and not yet parsed.
};

}  // namespace postern::relay::intake
