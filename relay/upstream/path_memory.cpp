#include "relay/upstream/path_memory.hpp"

#include <algorithm>

namespace postern::relay {

void PathMemory::pause(PathControl::Until until) {
    const std::lock_guard lock(mutex_);
    control_.pause(until);
}

void PathMemory::promote(PathControl::Until until) {
    const std::lock_guard lock(mutex_);
    control_.promote(until);
}

bool PathMemory::resume(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    return control_.resume(now);
}

bool PathMemory::demote(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    return control_.demote(now);
}

PathControl PathMemory::control() const {
    const std::lock_guard lock(mutex_);
    return control_;
}

bool PathMemory::paused(SteadyTime now) const {
    const std::lock_guard lock(mutex_);
    return control_.paused(now);
}

bool PathMemory::promoted(SteadyTime now) const {
    const std::lock_guard lock(mutex_);
    return control_.promoted(now);
}

PathControl::Ended PathMemory::expire(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    return control_.expire(now);
}

void PathMemory::set_rate(const std::vector<policy::Window>& windows) {
    const std::lock_guard lock(mutex_);
    rate_.set(windows);
}

std::chrono::nanoseconds PathMemory::turn_locked(SteadyTime now, std::string_view who) {
    return rate_.wait(now, rate_turns_.before(who, now) + 1);
}

bool PathMemory::take(SteadyTime now, std::string_view who) {
    const std::lock_guard lock(mutex_);
    if (turn_locked(now, who) > std::chrono::nanoseconds(0)) return false;
    rate_turns_.served(who);
    return rate_.take(now);
}

std::chrono::nanoseconds PathMemory::rate_turn(SteadyTime now, std::string_view who) {
    const std::lock_guard lock(mutex_);
    const auto wait = turn_locked(now, who);
    if (wait > std::chrono::nanoseconds(0)) rate_turns_.refused(who, now, now + wait + kept_for);
    return wait;
}

void PathMemory::queue_waits(SteadyTime until) {
    const std::lock_guard lock(mutex_);
    queue_waits_until_ = std::max(queue_waits_until_, until);
}

bool PathMemory::client_may_pass(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    return now >= queue_waits_until_ && turn_locked(now, {}) == std::chrono::nanoseconds(0);
}

std::chrono::nanoseconds PathMemory::rate_wait(SteadyTime now) const {
    const std::lock_guard lock(mutex_);
    return rate_.wait(now);
}

std::size_t PathMemory::rate_room(SteadyTime now, std::size_t most) const {
    const std::lock_guard lock(mutex_);
    return rate_.room(now, most);
}

void PathMemory::took(double seconds) {
    constexpr double newest = 0.1;
    const std::lock_guard lock(mutex_);
    latency_ = latency_ ? *latency_ + newest * (seconds - *latency_) : seconds;
}

std::optional<double> PathMemory::latency() const {
    const std::lock_guard lock(mutex_);
    return latency_;
}

}  // namespace postern::relay
