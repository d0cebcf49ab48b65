#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "relay/asio.hpp"
#include "relay/net/error.hpp"

namespace postern::relay::net {

/// Counts one session of a worker for as long as it lives.
class SessionToken {
  public:
    explicit SessionToken(std::shared_ptr<std::atomic<std::size_t>> count)
        : count_(std::move(count)) {
        count_->fetch_add(1, std::memory_order_relaxed);
    }
    SessionToken(SessionToken&& other) noexcept = default;
    SessionToken& operator=(SessionToken&& other) noexcept {
        std::swap(count_, other.count_);
        return *this;
    }
    SessionToken(const SessionToken&) = delete;
    SessionToken& operator=(const SessionToken&) = delete;
    ~SessionToken() {
        if (count_) count_->fetch_sub(1, std::memory_order_relaxed);
    }

  private:
    std::shared_ptr<std::atomic<std::size_t>> count_;
};

/// A connection as its worker gets it, already on the worker's io_context.
struct Accepted {
    asio::ip::tcp::socket socket;
    asio::ip::tcp::endpoint peer;  ///< IPv4 as such, also from a dual stack listener.
    std::size_t listener = 0;      ///< ListenOptions::index
    SessionToken token;
};

/// A thread that serves connections. `serve` is called on that thread.
struct Worker {
    asio::io_context* context = nullptr;
    std::shared_ptr<std::atomic<std::size_t>> sessions;
    std::function<void(Accepted)> serve;
};

struct ListenOptions {
    std::size_t index = 0;  ///< Told to the worker with each connection.
    std::string refusal;  ///< Sent to whom no descriptor is left for; empty: closed without a word.
    std::optional<int> receive_buffer;  ///< SO_RCVBUF of accepted sockets, octets.
    std::optional<int> send_buffer;
};

/// Opens a listening socket: `address` "A:P", "[A]:P", or "[::]:P", which takes IPv4 too. Port 0:
/// any free one. May be called before the process gives up its rights; the caller owns the
/// descriptor until it is adopted.
[[nodiscard]] result<int> open_listening_socket(const std::string& address);

/// One acceptor: deals each connection to the worker with the fewest sessions, among equals
/// in turn.
class Listener {
  public:
    /// Adopts an open listening descriptor (of ours or of systemd) and closes it in the end.
    /// `context`: where it accepts; `workers` stays valid as long as the listener.
    Listener(asio::io_context& context, int descriptor, std::span<const Worker> workers,
             ListenOptions options);
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    ~Listener();

    /// Accepts until `stop`; spawn it in a TaskGroup on `context`.
    [[nodiscard]] awaitable<void> run();
    void stop() noexcept;  ///< On `context`'s thread.

    [[nodiscard]] asio::ip::tcp::endpoint local() const;
    /// How often a connection could not be taken for want of descriptors or memory. Any thread.
    [[nodiscard]] std::uint64_t exhausted() const noexcept;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace postern::relay::net
