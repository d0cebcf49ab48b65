#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <optional>

#include <boost/asio/execution_context.hpp>

#include "relay/asio.hpp"
#include "relay/net/turns.hpp"

namespace postern::relay::net {

/// About 256 TLS handshakes at a time on one thread: thousands at once leave three times the
/// memory of their connections in the allocator. After a storm what is free is given back to the
/// system. It only bounds that peak, so nobody can be shut out by peers that begin a handshake and
/// do not go on: a place counts for `patience`, and who has waited so long goes on without one
/// being free. A service of the thread's io_context.
class HandshakeGate final : public asio::execution_context::service {
    struct Holder;

  public:
    using key_type = HandshakeGate;
    using clock = std::chrono::steady_clock;
    static asio::execution_context::id id;

    static constexpr std::size_t limit = 256;
    /// So many at a time are a storm, after which memory is given back.
    static constexpr std::size_t storm = 32;
    /// What a handshake may hold up another by.
    static constexpr std::chrono::seconds patience{1};

    explicit HandshakeGate(asio::execution_context& context);

    /// One handshake's place; leaves with it.
    class Place {
      public:
        Place(HandshakeGate* gate, std::list<Holder>::iterator at) noexcept
            : gate_(gate), at_(at) {}
        Place(Place&& other) noexcept : gate_(other.gate_), at_(other.at_) {
            other.gate_ = nullptr;
        }
        Place& operator=(Place&&) = delete;
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            if (gate_ != nullptr) gate_->leave(at_);
        }

      private:
        HandshakeGate* gate_;
        std::list<Holder>::iterator at_;
    };

    /// Waits for a place, in turn, at most for `patience`; nothing when `deadline` passes first.
    [[nodiscard]] awaitable<std::optional<Place>> enter(clock::time_point deadline);

    /// A turn at computing: nobody who is known here waits for a crowd of strangers' handshakes.
    /// Nothing when `deadline` passes first.
    [[nodiscard]] awaitable<std::optional<Turns::Turn>> turn(clock::time_point deadline) {
        return turns_.wait(deadline);
    }

    /// More are under way, or wait, than one by one would be.
    [[nodiscard]] bool crowded() const noexcept {
        return holders_.size() >= storm || turns_.waiting() >= storm;
    }

    /// Handshakes that hold a place which counts.
    [[nodiscard]] std::size_t under_way() const noexcept { return holders_.size(); }

  private:
    void shutdown() override;
    [[nodiscard]] std::list<Holder>::iterator take();
    void leave(std::list<Holder>::iterator at) noexcept;
    void pass_over_stalled() noexcept;
    void trim_later();

    struct Holder {
        clock::time_point since;
        bool counts = true;
    };
    struct Waiter {
        explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
        asio::steady_timer timer;
        bool admitted = false;
    };

    std::list<Holder> holders_;  ///< In the order of their coming.
    std::list<Holder> stalled_;  ///< Those whose place counts no more.
    std::list<Waiter*> waiters_;
    Turns turns_;
    std::optional<asio::steady_timer> trim_timer_;
    std::size_t promised_ = 0;  ///< Places of waiters that were admitted and did not go on yet.
    std::size_t peak_ = 0;
    bool trim_pending_ = false;
    bool stopped_ = false;
};

}  // namespace postern::relay::net
