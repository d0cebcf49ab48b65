#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "policy/window.hpp"

namespace postern::relay {

using SteadyTime = std::chrono::steady_clock::time_point;

/// How many messages may go one way: windows as limits have them (GCRA). Pure: time comes in as an
/// argument. Not thread-safe (PathMemory locks it).
class SendRate {
  public:
    /// A window that was there before goes on as it is; new ones start full.
    void set(const std::vector<policy::Window>& windows);
    /// One message of every window, or of none. False: it must wait.
    [[nodiscard]] bool take(SteadyTime now);
    /// Until so many may go, or as many as ever may at a time; 0: now.
    [[nodiscard]] std::chrono::nanoseconds wait(SteadyTime now, std::size_t messages = 1) const;
    /// How many may go now, `most` at most.
    [[nodiscard]] std::size_t room(SteadyTime now, std::size_t most) const;

  private:
    struct Running {
        policy::Window window;
        SteadyTime full_at;  ///< When all of it is there again.
        [[nodiscard]] std::chrono::nanoseconds each() const;
        /// What is spent of it, as time.
        [[nodiscard]] std::chrono::nanoseconds spent(SteadyTime now) const;
    };
    std::vector<Running> windows_;
};

}  // namespace postern::relay
