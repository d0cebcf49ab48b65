#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "relay/upstream/send_rate.hpp"

namespace postern::relay {

/// Whose turn it is where a path's rate lets fewer messages pass than there are: who was refused
/// has one of the next kept for him, in the order of refusals, so that nobody who sends without
/// end takes them all. One at a time for each customer (an account without one is one of its own).
/// Pure. Not thread-safe (PathMemory locks it).
class RateTurns {
  public:
    /// How many messages are kept for those who were refused before `who` was.
    [[nodiscard]] std::size_t before(std::string_view who, SteadyTime now);
    /// `who` has to wait: one is kept until `until`.
    void refused(std::string_view who, SteadyTime now, SteadyTime until);
    void served(std::string_view who);

  private:
    /// Beyond so many nothing is kept for newcomers: bounds memory, and the look through them.
    static constexpr std::size_t most = 256;
    struct Kept {
        std::string who;
        SteadyTime until;
    };
    void expire(SteadyTime now);
    std::vector<Kept> kept_;  ///< In their order.
};

}  // namespace postern::relay
