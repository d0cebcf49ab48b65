#include "relay/net/http_get.hpp"

#include <optional>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "proto/wipe.hpp"
#include "relay/net/connect.hpp"

namespace postern::relay::net {

namespace {

namespace http = boost::beast::http;
using clock = std::chrono::steady_clock;
using Parser = http::response_parser<http::string_body>;
using Fetched = result<std::string, HttpFault>;
using Posted = result<HttpAnswer, HttpFault>;

constexpr std::size_t max_header = 16384;
constexpr std::size_t read_size = 16384;

/// The header section up to its last field, without the empty line.
std::string head_of(std::string_view method, const HttpGet& what) {
    const bool six = what.host.contains(':');
    const std::uint16_t usual = what.tls ? 443 : 80;
    std::string host = six ? "[" + what.host + "]" : what.host;
    if (what.port != usual) host += fmt::format(":{}", what.port);
    return fmt::format(
        "{} {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
        "User-Agent: postern\r\nConnection: close\r\n",
        method, what.target, host);
}

/// A token may have stood in it.
struct Wiped {
    std::string& text;
    explicit Wiped(std::string& which) : text(which) {}
    Wiped(const Wiped&) = delete;
    Wiped& operator=(const Wiped&) = delete;
    ~Wiped() { proto::wipe(text); }
};

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

bool in_foreign_coding(const Parser& parser) {
    const auto coding = parser.get().find(http::field::content_encoding);
    return coding != parser.get().end() && coding->value() != "identity";
}

Fetched judged(Parser& parser) {
    const auto& answer = parser.get();
    if (answer.result() != http::status::ok)
        return HttpFault{fmt::format("answered {}, not 200", answer.result_int())};
    if (in_foreign_coding(parser)) return HttpFault{"answered in a coding that was not asked for"};
    return Fetched(boost::system::in_place_value, answer.body());
}

}  // namespace

namespace {

/// Sends `request` and reads the answer to its end. Unset: it is in the parser.
awaitable<std::optional<HttpFault>> converse(asio::io_context& context, Resolver& resolver,
                                             const HttpGet& what, const proto::Secret& request,
                                             Parser& parser) {
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
    if (const error_code error = co_await stream->write(request.reveal()); error)
        co_return HttpFault{error.message()};

    parser.eager(true);
    parser.header_limit(max_header);
    parser.body_limit(what.max_body);
    std::string octets;
    const Wiped wiped{octets};
    while (!parser.is_done()) {
        // Not in the coroutine's frame for longer than a read takes.
        std::string fresh(read_size, '\0');
        const Wiped wiped_too{fresh};
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
    co_return std::nullopt;
}

}  // namespace

awaitable<Fetched> http_get(asio::io_context& context, Resolver& resolver, HttpGet what) {
    const proto::Secret request(head_of("GET", what) + "\r\n");
    Parser parser;
    if (auto fault = co_await converse(context, resolver, what, request, parser))
        co_return std::move(*fault);
    co_return judged(parser);
}

awaitable<Posted> http_post_form(asio::io_context& context, Resolver& resolver, HttpGet where,
                                 proto::Secret form) {
    const std::string head =
        head_of("POST", where) +
        fmt::format("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
                    form.reveal().size());
    std::string whole;
    whole.reserve(head.size() + form.reveal().size());
    whole.append(head).append(form.reveal());
    const proto::Secret request(whole);
    proto::wipe(whole);
    Parser parser;
    auto fault = co_await converse(context, resolver, where, request, parser);
    const Wiped wiped{parser.get().body()};
    if (fault) co_return std::move(*fault);
    if (in_foreign_coding(parser))
        co_return HttpFault{"answered in a coding that was not asked for"};
    co_return HttpAnswer{parser.get().result_int(), proto::Secret(parser.get().body())};
}

}  // namespace postern::relay::net
