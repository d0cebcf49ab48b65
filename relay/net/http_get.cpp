#include "relay/net/http_get.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "relay/net/connect.hpp"

namespace postern::relay::net {

namespace {

namespace http = boost::beast::http;
using clock = std::chrono::steady_clock;
using Parser = http::response_parser<http::string_body>;
using Fetched = result<std::string, HttpFault>;

constexpr std::size_t max_header = 16384;
constexpr std::size_t read_size = 16384;

std::string request_of(const HttpGet& what) {
    const bool six = what.host.contains(':');
    const std::uint16_t usual = what.tls ? 443 : 80;
    std::string host = six ? "[" + what.host + "]" : what.host;
    if (what.port != usual) host += fmt::format(":{}", what.port);
    return fmt::format(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        "User-Agent: postern\r\nConnection: close\r\n\r\n",
        what.target, host);
}

/// Feeds what came; what is left in `octets` needs more behind it.
error_code feed(Parser& parser, std::string& octets) {
    error_code error;
    while (!octets.empty() && !parser.is_done()) {
        const std::size_t taken = parser.put(asio::buffer(octets), error);
        octets.erase(0, taken);
        if (error == http::error::need_more) {
            error.clear();
            if (taken == 0 || !parser.is_header_done()) break;
        }
        if (error) return error;
    }
    return error;
}

Fetched judged(Parser& parser) {
    const auto& answer = parser.get();
    if (answer.result() != http::status::ok)
        return HttpFault{fmt::format("answered {}, not 200", answer.result_int())};
    const auto coding = answer.find(http::field::content_encoding);
    if (coding != answer.end() && coding->value() != "identity")
        return HttpFault{"answered in a coding that was not asked for"};
    return Fetched(boost::system::in_place_value, answer.body());
}

}  // namespace

awaitable<Fetched> http_get(asio::io_context& context, Resolver& resolver, HttpGet what) {
    const auto deadline = clock::now() + what.patience;
    auto addresses = co_await resolver.resolve(what.host);
    if (!addresses) co_return HttpFault{addresses.error().message()};
    if (!what.tls) {
        // A name may resolve to an address that is not ours.
        std::erase_if(*addresses,
                      [](const asio::ip::address& address) { return !address.is_loopback(); });
        if (addresses->empty()) co_return HttpFault{"not a loopback address, and no https"};
    }
    auto stream = co_await connect(context, std::move(*addresses), what.port,
                                   ConnectOptions{.deadline = deadline});
    if (!stream) co_return HttpFault{stream.error().message()};
    stream->set_deadline(deadline);
    if (what.tls) {
        const error_code error = co_await stream->start_tls_client(
            what.tls, what.host, TlsStart::implicit, fmt::format("{}:{}", what.host, what.port));
        if (error) co_return HttpFault{"TLS: " + error.message()};
    }
    const std::string request = request_of(what);
    if (const error_code error = co_await stream->write(request); error)
        co_return HttpFault{error.message()};

    Parser parser;
    parser.eager(true);
    parser.header_limit(max_header);
    parser.body_limit(what.max_body);
    std::string octets;
    while (!parser.is_done()) {
        // Not in the coroutine's frame for longer than a read takes.
        std::string fresh(read_size, '\0');
        const auto got = co_await stream->read_some(fresh);
        if (!got) co_return HttpFault{got.error().message()};
        error_code error;
        if (*got == 0) {
            parser.put_eof(error);
            if (error || !parser.is_done()) co_return HttpFault{"the answer ends too early"};
            break;
        }
        octets.append(fresh, 0, *got);
        error = feed(parser, octets);
        if (error == http::error::body_limit) co_return HttpFault{"the answer is too large"};
        if (error) co_return HttpFault{"no HTTP answer: " + error.message()};
    }
    stream->close();
    co_return judged(parser);
}

}  // namespace postern::relay::net
