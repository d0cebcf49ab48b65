#include "relay/upstream/rate_turns.hpp"

#include <algorithm>

namespace postern::relay {

void RateTurns::expire(SteadyTime now) {
    std::erase_if(kept_, [&](const Kept& one) { return one.until <= now; });
}

std::size_t RateTurns::before(std::string_view who, SteadyTime now) {
    expire(now);
    const auto at = std::ranges::find(kept_, who, &Kept::who);
    return static_cast<std::size_t>(at - kept_.begin());
}

void RateTurns::refused(std::string_view who, SteadyTime now, SteadyTime until) {
    expire(now);
    const auto at = std::ranges::find(kept_, who, &Kept::who);
    if (at != kept_.end()) {
        at->until = std::max(at->until, until);
    } else if (kept_.size() < most) {
        kept_.push_back({.who = std::string(who), .until = until});
    }
}

void RateTurns::served(std::string_view who) {
    const auto at = std::ranges::find(kept_, who, &Kept::who);
    if (at != kept_.end()) kept_.erase(at);
}

}  // namespace postern::relay
