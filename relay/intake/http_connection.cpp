#include "relay/intake/http_connection.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <nlohmann/json.hpp>

#include "proto/utf8.hpp"

namespace postern::relay::intake {
namespace {

namespace beast_http = boost::beast::http;

constexpr std::size_t http_read_size = 16384;

HttpConnection::Got fault_of(const error_code& error) {
    if (error == beast_http::error::header_limit) return HttpConnection::Got::header_too_large;
    if (error == beast_http::error::body_limit) return HttpConnection::Got::body_too_large;
    return HttpConnection::Got::not_http;
}

std::string head_of(const HttpAnswer& answer, HttpConnection::Then then) {
    const std::string_view reason =
        beast_http::obsolete_reason(static_cast<beast_http::status>(answer.status));
    return fmt::format(
        "HTTP/1.1 {} {}\r\n{}{}Content-Length: {}\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: {}\r\n\r\n",
        answer.status, reason,
        answer.content_type.empty() ? "" : fmt::format("Content-Type: {}\r\n", answer.content_type),
        answer.fields, answer.body.size(),
        then == HttpConnection::Then::keep ? "keep-alive" : "close");
}

}  // namespace

HttpAnswer http_problem(int status, std::string_view code, std::string_view detail,
                        std::string fields) {
    nlohmann::ordered_json out;
    out["type"] = "about:blank";
    out["title"] = code;
    out["status"] = status;
    out["detail"] = detail;
    out["code"] = code;
    return {
        .status = status,
        .content_type = "application/problem+json",
        .body = out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n",
        .fields = std::move(fields)};
}

awaitable<HttpConnection::Got> HttpConnection::read_head() {
    parser_.emplace();
    parser_->header_limit(limits_.header);
    parser_->body_limit(limits_.body);
    return read(Until::head);
}

awaitable<HttpConnection::Got> HttpConnection::read_body() {
    if (!parser_->is_done() && proto::same_ignoring_case(field("Expect"), "100-continue")) {
        // A view of constant text: it outlives the write.
        if (co_await stream_.write("HTTP/1.1 100 Continue\r\n\r\n")) co_return Got::gone;
    }
    parser_->eager(true);
    co_return co_await read(Until::body);
}

awaitable<HttpConnection::Got> HttpConnection::read(Until until) {
    for (;;) {
        if (const error_code error = feed(until); error) co_return fault_of(error);
        if (whole(until)) co_return Got::all;
        // Holds no memory while nothing comes.
        if (const error_code error = co_await stream_.wait_readable(); error) co_return Got::gone;
        std::string fresh(http_read_size, '\0');
        const auto got = co_await stream_.read_some(fresh);
        if (!got || *got == 0) co_return Got::gone;
        octets_.append(fresh, 0, *got);
    }
}

error_code HttpConnection::feed(Until until) {
    error_code error;
    while (!octets_.empty() && !whole(until)) {
        const std::size_t taken = parser_->put(asio::buffer(octets_), error);
        octets_.erase(0, taken);
        if (error == beast_http::error::need_more) {
            error.clear();
            if (taken == 0 || !parser_->is_header_done()) break;
        }
        if (error) return error;
        if (taken == 0 && !whole(until)) break;
    }
    return error;
}

std::string_view HttpConnection::field(std::string_view name) const {
    const auto it = request().find(name);
    return it == request().end() ? std::string_view() : std::string_view(it->value());
}

bool HttpConnection::has_field(std::string_view name) const {
    return request().find(name) != request().end();
}

awaitable<error_code> HttpConnection::write(HttpAnswer answer, Then then) {
    const std::string head = head_of(answer, then);
    const std::array<std::string_view, 2> pieces{head, answer.body};
    co_return co_await stream_.write(pieces);
}

}  // namespace postern::relay::intake
