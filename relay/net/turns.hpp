#pragma once

#include <chrono>
#include <list>
#include <optional>
#include <utility>

#include "relay/asio.hpp"

namespace postern::relay::net {

/// Turns at what costs a thread a good part of a millisecond: one each time round its loop, in the
/// order of their coming. So whoever else is served there waits for one of them at most, however
/// many there are. Of one thread.
class Turns {
  public:
    using clock = std::chrono::steady_clock;

    Turns() = default;
    Turns(const Turns&) = delete;
    Turns& operator=(const Turns&) = delete;

    /// Whoever holds it has the turn; the next one's begins the next time round.
    class Turn {
      public:
        Turn(Turns* turns, asio::any_io_executor executor) noexcept
            : turns_(turns), executor_(std::move(executor)) {}
        Turn(Turn&& other) noexcept
            : turns_(std::exchange(other.turns_, nullptr)), executor_(std::move(other.executor_)) {}
        Turn& operator=(Turn&&) = delete;
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() {
            if (turns_ != nullptr) turns_->pass_on_later(executor_);
        }

      private:
        Turns* turns_;
        asio::any_io_executor executor_;
    };

    /// Nothing when `deadline` passes first.
    [[nodiscard]] awaitable<std::optional<Turn>> wait(clock::time_point deadline);

    [[nodiscard]] std::size_t waiting() const noexcept { return waiters_.size(); }

    /// The loop ends: nothing is passed on any more.
    void stop() noexcept { stopped_ = true; }

  private:
    void pass_on_later(const asio::any_io_executor& executor) noexcept;
    void pass_on() noexcept;

    struct Waiter {
        explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
        asio::steady_timer timer;
        bool admitted = false;
    };

    std::list<Waiter*> waiters_;
    bool taken_ = false;
    bool stopped_ = false;
};

}  // namespace postern::relay::net
