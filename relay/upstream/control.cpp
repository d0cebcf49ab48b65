#include "relay/upstream/control.hpp"

#include <algorithm>

namespace postern::relay {

bool PathControl::undo(Held& set, SteadyTime now) {
    const bool held = holds(set, now);
    set.reset();
    return held;
}

PathControl::Until PathControl::ends(SteadyTime now) const noexcept {
    Until first;
    for (const Held* one : {&pause_, &promotion_}) {
        if (!holds(*one, now) || !(*one)->until) continue;
        first = first ? std::min(*first, *(*one)->until) : *(*one)->until;
    }
    return first;
}

PathControl::Ended PathControl::expire(SteadyTime now) {
    Ended ended{.pause = pause_ && !holds(pause_, now),
                .promotion = promotion_ && !holds(promotion_, now)};
    if (ended.pause) pause_.reset();
    if (ended.promotion) promotion_.reset();
    return ended;
}

}  // namespace postern::relay
