#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "relay/asio.hpp"
#include "relay/cli/channel.hpp"

namespace postern::relay::cli {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Local = asio::local::stream_protocol;
using Stream = beast::basic_stream<Local, asio::any_io_executor>;

constexpr std::chrono::seconds connect_deadline{5};
constexpr std::uint64_t largest_answer = 512ULL << 20U;

class SocketChannel final : public Channel {
  public:
    explicit SocketChannel(std::string path)
        : path_(std::move(path)), stream_(io_.get_executor()) {}

    bool connect() {
        bool connected = false;
        asio::co_spawn(io_, dial(connected), rethrow);
        run();
        return connected;
    }

    std::optional<admin::Response> send(const Call& call) override {
        std::optional<admin::Response> answer;
        asio::co_spawn(io_, exchange(call, answer), rethrow);
        run();
        return answer;
    }

  private:
    static void rethrow(std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    }

    void run() {
        io_.restart();
        io_.run();
    }

    awaitable<void> dial(bool& connected) {
        stream_.expires_after(connect_deadline);
        const auto [error] = co_await stream_.async_connect(Local::endpoint(path_), as_value);
        connected = !error;
        stream_.expires_never();
    }

    awaitable<void> exchange(const Call& call, std::optional<admin::Response>& answer) {
        http::request<http::string_body> request(http::string_to_verb(call.method), call.target(),
                                                 11);
        request.set(http::field::host, "localhost");
        if (!call.reason.empty()) request.set("X-Reason", call.reason);
        if (!call.body.is_null()) {
            request.set(http::field::content_type, "application/json");
            request.body() = admin::dump(call.body);
        }
        request.prepare_payload();
        stream_.expires_after(call.patience);
        const auto [write_error, written] = co_await http::async_write(stream_, request, as_value);
        if (write_error) co_return;
        http::response_parser<http::string_body> parser;
        parser.body_limit(largest_answer);
        const auto [read_error, size] =
            co_await http::async_read(stream_, buffer_, parser, as_value);
        if (read_error) co_return;
        stream_.expires_never();
        auto& got = parser.get();
        answer =
            admin::Response{static_cast<int>(got.result_int()),
                            std::string(got[http::field::content_type]), std::move(got.body())};
    }

    std::string path_;
    asio::io_context io_{1};
    Stream stream_;
    beast::flat_buffer buffer_;
};

}  // namespace

std::unique_ptr<Channel> connect_socket(const std::string& path) {
    constexpr std::size_t longest = 107;  // sun_path
    if (path.empty() || path.size() > longest) return nullptr;
    auto channel = std::make_unique<SocketChannel>(path);
    if (!channel->connect()) return nullptr;
    return channel;
}

}  // namespace postern::relay::cli
