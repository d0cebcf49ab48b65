#include "relay/upstream/adaptive_limit.hpp"

namespace postern::relay {

void AdaptiveLimit::asked_for_less(SteadyTime now, int connections) {
    if (cut_before_ && now - cut_ < between_cuts) return;
    // What was allowed and not used says nothing about what is borne.
    limit_ = std::max(1, std::min(limit_, connections) / 2);
    cut_ = now;
    cut_before_ = true;
    good_ = 0;
}

bool AdaptiveLimit::went_well(SteadyTime now) {
    if (limit_ >= most_) return false;
    if (++good_ < limit_ || now - cut_ < before_growth) return false;
    ++limit_;
    good_ = 0;
    return true;
}

}  // namespace postern::relay
