#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "relay/upstream/traffic.hpp"
#include "relay/upstream/warm_schedule.hpp"

namespace postern::relay {

using SteadyTime = std::chrono::steady_clock::time_point;

/// One standby's warm mail: its schedule, and a pause after mail that it did not take, for such a
/// mail loses time. Thread-safe. Lives in a shared_ptr.
class Warming : public std::enable_shared_from_this<Warming> {
  public:
    /// One mail that goes to the standby. Whoever does not say how it ended has it back: the mail
    /// did not come there.
    class Claim {
      public:
        Claim(std::shared_ptr<Warming> of, std::string customer)
            : of_(std::move(of)), customer_(std::move(customer)) {}
        Claim(Claim&&) noexcept = default;
        Claim& operator=(Claim&&) = delete;
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;
        ~Claim() {
            if (of_) of_->ended(customer_, false);
        }
        void delivered();
        /// The standby did not take it for reasons of its own.
        void failed(SteadyTime now);

      private:
        std::shared_ptr<Warming> of_;
        std::string customer_;
    };
    /// Unset: the next mail, one of `customer`, is not for the standby.
    [[nodiscard]] std::optional<Claim> claim(const WarmShare& share, const Traffic::Today& today,
                                             std::string_view customer, SteadyTime now);

  private:
    static constexpr std::chrono::seconds first_pause{30};
    static constexpr std::chrono::seconds last_pause{600};
    void ended(std::string_view customer, bool delivered);
    void pause(SteadyTime now);

    std::mutex mutex_;
    WarmSchedule schedule_;
    std::chrono::sys_days day_;
    std::optional<SteadyTime> paused_until_;
    std::chrono::seconds pause_ = first_pause;
};

}  // namespace postern::relay
