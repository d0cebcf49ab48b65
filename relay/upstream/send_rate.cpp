#include "relay/upstream/send_rate.hpp"

#include <algorithm>

namespace postern::relay {

using std::chrono::nanoseconds;

nanoseconds SendRate::Running::each() const {
    return std::max(window.refill_time(1), nanoseconds(1));
}

nanoseconds SendRate::Running::spent(SteadyTime now) const {
    return full_at > now ? nanoseconds(full_at - now) : nanoseconds(0);
}

void SendRate::set(const std::vector<policy::Window>& windows) {
    std::vector<Running> next;
    for (const policy::Window& window : windows) {
        const auto before = std::ranges::find(windows_, window, &Running::window);
        next.push_back(before == windows_.end() ? Running{.window = window, .full_at = {}}
                                                : *before);
    }
    windows_ = std::move(next);
}

bool SendRate::take(SteadyTime now) {
    if (wait(now) > nanoseconds(0)) return false;
    for (Running& one : windows_) one.full_at = now + one.spent(now) + one.each();
    return true;
}

nanoseconds SendRate::wait(SteadyTime now, std::size_t messages) const {
    nanoseconds longest{0};
    for (const Running& one : windows_) {
        const nanoseconds period(one.window.period);
        const auto ever = std::max<std::int64_t>(1, period / one.each());
        const auto wanted = std::min(static_cast<std::int64_t>(messages), ever);
        longest = std::max(longest, one.spent(now) + wanted * one.each() - period);
    }
    return longest;
}

std::size_t SendRate::room(SteadyTime now, std::size_t most) const {
    for (const Running& one : windows_) {
        const nanoseconds left = nanoseconds(one.window.period) - one.spent(now);
        const auto fits = std::max<std::int64_t>(0, left / one.each());
        most = std::min(most, static_cast<std::size_t>(fits));
    }
    return most;
}

}  // namespace postern::relay
