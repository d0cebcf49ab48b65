#include "relay/upstream/traffic.hpp"

#include <utility>

namespace postern::relay {

namespace {

using std::chrono::days;
using std::chrono::floor;

double share_of_day(WallTime now) {
    const std::chrono::duration<double> since = now - floor<days>(now);
    return since / std::chrono::duration<double>(days(1));
}

std::size_t hour_of_day(WallTime now) {
    const auto hour = std::chrono::duration_cast<std::chrono::hours>(now - floor<days>(now));
    return static_cast<std::size_t>(hour.count());
}

}  // namespace

Traffic::Traffic(WallTime began) : day_(floor<days>(began)) {
    counted_.began = share_of_day(began);
}

void Traffic::turn(WallTime now) {
    const Days today = floor<days>(now);
    if (today == day_) return;
    // A clock that jumped over whole days leaves nothing to compare with.
    const bool next = today == day_ + days(1);
    yesterday_ = next && counted_.began == 0 ? counted_.mail : 0;
    yesterdays_hours_ = std::exchange(hours_, {});
    if (next) over_ = std::move(counted_);
    counted_ = {};
    if (!next) counted_.began = share_of_day(now);
    day_ = today;
}

double Traffic::usual(WallTime now) const {
    if (yesterday_ == 0) return 0;
    const std::size_t hour = hour_of_day(now);
    const double into_hour = share_of_day(now) * 24 - static_cast<double>(hour);
    double come = static_cast<double>(yesterdays_hours_[hour]) * into_hour;
    for (std::size_t i = 0; i < hour; ++i) come += static_cast<double>(yesterdays_hours_[i]);
    return come / static_cast<double>(yesterday_);
}

void Traffic::count(std::string_view upstream, WallTime now) {
    const std::lock_guard lock(mutex_);
    turn(now);
    ++counted_.mail;
    ++hours_[hour_of_day(now)];
    const auto at = counted_.by_upstream.find(upstream);
    if (at != counted_.by_upstream.end()) {
        ++at->second;
    } else {
        counted_.by_upstream.emplace(upstream, 1);
    }
}

Traffic::Today Traffic::today(std::string_view upstream, WallTime now) {
    const std::lock_guard lock(mutex_);
    turn(now);
    const auto at = counted_.by_upstream.find(upstream);
    return {.mail = counted_.mail,
            .by_upstream = at == counted_.by_upstream.end() ? 0 : at->second,
            .yesterday = yesterday_,
            .elapsed = share_of_day(now),
            .usual = usual(now),
            .began = counted_.began,
            .day = day_};
}

std::optional<Traffic::Ended> Traffic::ended(WallTime now) {
    const std::lock_guard lock(mutex_);
    turn(now);
    return std::exchange(over_, std::nullopt);
}

}  // namespace postern::relay
