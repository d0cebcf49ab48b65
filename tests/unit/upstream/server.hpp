#pragma once

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include "relay/asio.hpp"

namespace postern::test {

namespace asio = boost::asio;

/// An upstream on the test's own thread: says yes to everything but where it was told otherwise,
/// and keeps the answer to each final dot back until it is let go.
class Server {
  public:
    using tcp = asio::ip::tcp;
    explicit Server(asio::io_context& context)
        : acceptor_(context, {asio::ip::make_address("127.0.0.1"), 0}) {
        asio::co_spawn(context, accept(), [](const std::exception_ptr&) {});
    }
    [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

    std::deque<std::string> greetings;  ///< Of the next connections; none: 220.
    std::string ehlo = "250 upstream\r\n";
    std::vector<std::string> senders;  ///< Of the mails whose DATA has come, in their order.
    std::size_t dots = 0;              ///< Final dots that have come.
    bool answers_itself = false;       ///< Keeps no answer back.

    /// Answers the oldest mail whose dot has come; with `then_close` closes in the same breath.
    enum class Then : std::uint8_t { stay, close };
    void answer(const std::string& reply, Then then = Then::stay) {
        const auto one = std::ranges::find_if(open_, [](const auto& c) { return c->held; });
        if (one == open_.end()) return;
        (*one)->held = false;
        boost::system::error_code ignored;
        asio::write((*one)->socket, asio::buffer(reply), ignored);
        if (then == Then::close) (*one)->socket.close();
    }
    /// Where those that are connected now come from.
    [[nodiscard]] std::vector<std::string> peers() const {
        std::vector<std::string> out;
        for (const auto& one : open_)
            out.push_back(one->socket.remote_endpoint().address().to_string());
        return out;
    }
    /// Closes every connection at once.
    void drop() {
        for (const auto& one : open_) one->socket.close();
        open_.clear();
    }
    void stop() {
        acceptor_.close();
        drop();
    }

  private:
    struct Client {
        tcp::socket socket;
        std::string unread = {};
        bool held = false;
    };
    using ClientPtr = std::shared_ptr<Client>;

    asio::awaitable<void> accept() {
        for (;;) {
            auto client =
                std::make_shared<Client>(co_await acceptor_.async_accept(asio::use_awaitable));
            open_.push_back(client);
            asio::co_spawn(acceptor_.get_executor(), serve(client),
                           [](const std::exception_ptr&) {});
        }
    }
    static asio::awaitable<std::string> until(ClientPtr client, std::string_view end) {
        std::array<char, 4096> buffer{};
        std::size_t at = 0;
        while ((at = client->unread.find(end)) == std::string::npos) {
            const std::size_t n =
                co_await client->socket.async_read_some(asio::buffer(buffer), asio::use_awaitable);
            client->unread.append(buffer.data(), n);
        }
        std::string out = client->unread.substr(0, at);
        client->unread.erase(0, at + end.size());
        co_return out;
    }
    static asio::awaitable<void> say(ClientPtr client, std::string_view text) {
        co_await asio::async_write(client->socket, asio::buffer(text), asio::use_awaitable);
    }
    asio::awaitable<void> serve(ClientPtr client) {
        std::string greeting = "220 upstream\r\n";
        if (!greetings.empty()) {
            greeting = greetings.front();
            greetings.pop_front();
        }
        co_await say(client, greeting);
        std::string sender;
        for (;;) {
            const std::string line = co_await until(client, "\r\n");
            if (line.starts_with("EHLO")) {
                co_await say(client, ehlo);
            } else if (line.starts_with("DATA")) {
                senders.push_back(sender);
                co_await say(client, "354 go on\r\n");
                (void)co_await until(client, "\r\n.\r\n");
                ++dots;
                client->held = !answers_itself;
                if (answers_itself) co_await say(client, "250 ok\r\n");
            } else {
                if (line.starts_with("MAIL FROM:<")) sender = line.substr(11, line.find('@') - 11);
                co_await say(client, "250 ok\r\n");
            }
        }
    }

    tcp::acceptor acceptor_;
    std::vector<ClientPtr> open_;
};

}  // namespace postern::test
