#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "relay/event/alerts.hpp"
#include "relay/event/event.hpp"

namespace postern::relay::event {

/// Takes events over to keep them: the recorder. Thread-safe, must not block.
class Keeper {
  public:
    virtual ~Keeper() = default;
    virtual void keep(std::unique_ptr<Event> e) noexcept = 0;
};

/// Both clocks of an event.
struct Clock {
    std::chrono::system_clock::time_point (*wall)() noexcept = &std::chrono::system_clock::now;
    std::chrono::steady_clock::time_point (*steady)() noexcept = &std::chrono::steady_clock::now;
};

/// The stream: stamps each event with both times and `seq`, shows it to the readers on the thread
/// that emits, then hands it to the keeper. Takes no lock of its own but for alerts. Readers are
/// fixed at construction and outlive it.
class FanOut final : public Stream {
  public:
    /// `first_seq`: above every number ever used before (Journal::next_seq()). `keeper` may be
    /// null.
    FanOut(std::uint64_t first_seq, std::vector<Reader*> readers, Keeper* keeper, Clock clock = {});

    void emit(Payload what) noexcept override;

    [[nodiscard]] std::uint64_t next_seq() const noexcept {
        return seq_.load(std::memory_order_relaxed);
    }
    /// Events that could not be told for want of memory.
    [[nodiscard]] std::uint64_t lost() const noexcept {
        return lost_.load(std::memory_order_relaxed);
    }
    /// Alerts that fire now.
    [[nodiscard]] const AlertBook& alerts() const noexcept { return alerts_; }

  private:
    std::atomic<std::uint64_t> seq_;
    std::atomic<std::uint64_t> lost_{0};
    std::vector<Reader*> readers_;
    Keeper* keeper_;
    Clock clock_;
    AlertBook alerts_;
};

/// For tests and commands that have no stream: forgets everything.
class NullStream final : public Stream {
  public:
    void emit(Payload) noexcept override {}
};

}  // namespace postern::relay::event
