#include "relay/upstream/warming.hpp"

#include <algorithm>
#include <utility>

namespace postern::relay {

std::optional<Warming::Claim> Warming::claim(const WarmShare& share, const Traffic::Today& today,
                                             std::string_view customer, SteadyTime now) {
    const std::lock_guard lock(mutex_);
    if (std::exchange(day_, today.day) != today.day) schedule_.new_day();
    if (paused_until_ && now < *paused_until_) return std::nullopt;
    const WarmSchedule::Day day{.elapsed = today.elapsed,
                                .usual = today.usual,
                                .began = today.began,
                                .mail = today.mail,
                                .yesterday = today.yesterday,
                                .by_standby = today.by_upstream};
    if (!schedule_.due(share, day, customer)) return std::nullopt;
    schedule_.sending(customer);
    return Claim(shared_from_this(), std::string(customer));
}

void Warming::ended(std::string_view customer, bool delivered) {
    const std::lock_guard lock(mutex_);
    schedule_.sent(customer, delivered);
    if (delivered) {
        pause_ = first_pause;
        paused_until_.reset();
    }
}

void Warming::pause(SteadyTime now) {
    const std::lock_guard lock(mutex_);
    // Those that were under way together fail together.
    if (paused_until_ && now < *paused_until_) return;
    paused_until_ = now + pause_;
    pause_ = std::min(pause_ * 2, last_pause);
}

void Warming::Claim::delivered() {
    if (const auto of = std::exchange(of_, nullptr)) of->ended(customer_, true);
}

void Warming::Claim::failed(SteadyTime now) {
    if (const auto of = std::exchange(of_, nullptr)) {
        of->ended(customer_, false);
        of->pause(now);
    }
}

}  // namespace postern::relay
