#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>

#include <boost/asio/execution_context.hpp>

#include "relay/asio.hpp"

namespace postern::relay::net {

/// At most 256 TLS handshakes at a time on one thread: thousands at once leave three times the
/// memory of their connections in the allocator. After a storm what is free is given back to the
/// system. A service of the thread's io_context.
class HandshakeGate final : public asio::execution_context::service {
  public:
    using key_type = HandshakeGate;
    static asio::execution_context::id id;

    static constexpr std::size_t limit = 256;
    /// So many at a time are a storm, after which memory is given back.
    static constexpr std::size_t storm = 32;

    explicit HandshakeGate(asio::execution_context& context);

    /// One handshake's place; leaves with it.
    class Place {
      public:
        explicit Place(HandshakeGate* gate) noexcept : gate_(gate) {}
        Place(Place&& other) noexcept : gate_(other.gate_) { other.gate_ = nullptr; }
        Place& operator=(Place&&) = delete;
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            if (gate_ != nullptr) gate_->leave();
        }

      private:
        HandshakeGate* gate_;
    };

    /// Waits for a place, in turn; nothing when `deadline` passes first.
    [[nodiscard]] awaitable<std::optional<Place>> enter(
        std::chrono::steady_clock::time_point deadline);

    [[nodiscard]] std::size_t under_way() const noexcept { return under_way_; }

  private:
    void shutdown() override;
    void leave() noexcept;
    void trim_later();

    struct Waiter {
        explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
        asio::steady_timer timer;
        bool admitted = false;
    };

    std::list<Waiter*> waiters_;
    std::optional<asio::steady_timer> trim_timer_;
    std::size_t under_way_ = 0;
    std::size_t peak_ = 0;
    bool trim_pending_ = false;
    bool stopped_ = false;
};

}  // namespace postern::relay::net
