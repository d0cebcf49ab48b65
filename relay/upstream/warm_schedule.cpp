#include "relay/upstream/warm_schedule.hpp"

#include <algorithm>
#include <cmath>

namespace postern::relay {

namespace {

/// How far behind the schedule a standby may be for the sake of other customers, as a share of what
/// it gets in the day.
constexpr double room_for_others = 0.05;
/// What may be missing at the end of a day.
constexpr double may_be_missing = 0.10;

double as_double(std::uint64_t n) {
    return static_cast<double>(n);
}

/// How much of the day's mail has been: by the clock, or by what came yesterday.
double progress(const WarmSchedule::Day& day) {
    return std::clamp(std::max(day.elapsed, day.usual), 0.0, 1.0);
}

}  // namespace

std::uint64_t& WarmSchedule::of(std::string_view customer) {
    const auto at = customers_.find(customer);
    if (at != customers_.end()) return at->second;
    if (customers_.size() >= most_customers) return customers_[std::string()];
    return customers_[std::string(customer)];
}

bool WarmSchedule::due(const WarmShare& share, const Day& day, std::string_view customer) {
    const std::uint64_t own = of(customer);  // Whoever sends today has a part.
    if (share.off()) return false;
    const double had = as_double(day.by_standby + under_way_);
    const double mail = as_double(day.mail + under_way_ + 1);
    if (had + 1 > share.cap * mail) return false;
    const double per_day = share.per_day * std::max(0.0, progress(day) - day.began);
    const double behind = std::max(share.share * mail, per_day) - had;
    if (behind < 1) return false;
    const double average = as_double(dealt_) / as_double(customers_.size());
    const double ahead = std::max(0.0, as_double(own) - average);
    const double whole_day =
        std::max(share.share * as_double(day.yesterday), static_cast<double>(share.per_day));
    return behind >= 1 + std::min(ahead, whole_day * room_for_others * (1 - progress(day)));
}

void WarmSchedule::sending(std::string_view customer) {
    ++under_way_;
    ++dealt_;
    ++of(customer);
}

void WarmSchedule::sent(std::string_view customer, bool delivered) {
    if (under_way_ > 0) --under_way_;
    if (delivered) return;
    const auto at = customers_.find(customer);
    const auto own = at != customers_.end() ? at : customers_.find(std::string_view());
    // None: it began on another day.
    if (own == customers_.end() || own->second == 0) return;
    --own->second;
    --dealt_;
}

void WarmSchedule::new_day() {
    // What is under way is counted on the day on which it comes there.
    customers_.clear();
    dealt_ = 0;
}

double WarmSchedule::owed(const WarmShare& share, std::uint64_t mail, double began) {
    if (share.off()) return 0;
    const double wanted = std::max(share.share * as_double(mail), share.per_day * (1 - began));
    return std::min(wanted, share.cap * as_double(mail));
}

bool WarmSchedule::met(const WarmShare& share, std::uint64_t mail, double began,
                       std::uint64_t by_standby) {
    return as_double(by_standby) >= std::floor(owed(share, mail, began) * (1 - may_be_missing));
}

}  // namespace postern::relay
