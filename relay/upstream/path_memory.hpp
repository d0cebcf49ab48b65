#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "relay/upstream/control.hpp"
#include "relay/upstream/rate_turns.hpp"
#include "relay/upstream/send_rate.hpp"
#include "relay/upstream/warming.hpp"

namespace postern::relay {

/// What is known of an upstream by its name, whatever its settings: what an operator has set, what
/// has gone there lately. A reload hands it to the path that takes the name over; a restart forgets
/// it. Thread-safe; locks are short.
class PathMemory {
  public:
    /// What operators set: as PathControl has it.
    void pause(PathControl::Until until);
    void promote(PathControl::Until until);
    [[nodiscard]] bool resume(SteadyTime now);
    [[nodiscard]] bool demote(SteadyTime now);
    [[nodiscard]] PathControl control() const;
    [[nodiscard]] bool paused(SteadyTime now) const;
    [[nodiscard]] bool promoted(SteadyTime now) const;
    [[nodiscard]] PathControl::Ended expire(SteadyTime now);

    /// Rate: as SendRate has it.
    void set_rate(const std::vector<policy::Window>& windows);
    /// For `who` (a customer, or the account of none): not what is kept for those in the queue that
    /// had to wait before.
    [[nodiscard]] bool take(SteadyTime now, std::string_view who = {});
    /// Until one of the queue may pass of `who`, 0: now. Who has to wait has one kept for a while.
    [[nodiscard]] std::chrono::nanoseconds rate_turn(SteadyTime now, std::string_view who);
    /// Mail in the queue waits for the rate, until then at least.
    void queue_waits(SteadyTime until);
    /// Whether the mail of a waiting client may pass. Not while mail in the queue waits for the
    /// rate: there all have their turn.
    [[nodiscard]] bool client_may_pass(SteadyTime now);
    [[nodiscard]] std::chrono::nanoseconds rate_wait(SteadyTime now) const;
    [[nodiscard]] std::size_t rate_room(SteadyTime now, std::size_t most) const;

    /// How long a message took from its MAIL to its last reply; the mean forgets.
    void took(double seconds);
    [[nodiscard]] std::optional<double> latency() const;

    [[nodiscard]] const std::shared_ptr<Warming>& warming() const noexcept { return warming_; }

  private:
    mutable std::mutex mutex_;
    PathControl control_;
    /// How much longer than the wait one is kept: an entry comes again by then.
    static constexpr std::chrono::seconds kept_for{3};
    [[nodiscard]] std::chrono::nanoseconds turn_locked(SteadyTime now, std::string_view who);
    SteadyTime queue_waits_until_;

    SendRate rate_;
    RateTurns rate_turns_;
    std::optional<double> latency_;
    const std::shared_ptr<Warming> warming_ = std::make_shared<Warming>();
};

}  // namespace postern::relay
