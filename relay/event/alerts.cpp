#include "relay/event/alerts.hpp"

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

namespace postern::relay::event {

namespace {

constexpr std::array<std::string_view, 5> critical_kinds{"spool_failed", "store_failed", "disk_low",
                                                         "queue_stuck", "all_upstreams_down"};
constexpr std::chrono::hours coalesced_for{1};

}  // namespace

std::string_view severity_of(std::string_view kind) noexcept {
    return std::ranges::find(critical_kinds, kind) == critical_kinds.end() ? "warning" : "critical";
}

bool AlertBook::admit(AlertRaised& alert, std::chrono::system_clock::time_point now) {
    const std::scoped_lock lock(mutex_);
    if (alert.severity.empty()) alert.severity = severity_of(alert.kind);
    const auto key = std::pair(alert.kind, alert.subject);
    const auto found = open_.find(key);
    if (alert.resolved) {
        if (found == open_.end()) return false;
        alert.id = found->second.alert.id;
        alert.severity = found->second.alert.severity;
        alert.since = found->second.alert.since;
        alert.count = found->second.alert.count;
        alert.state = "resolved";
        open_.erase(found);
        return true;
    }
    alert.state = "firing";
    if (found == open_.end()) {
        if (open_.size() >= max_alerts_) {
            open_.erase(std::ranges::min_element(
                open_, {}, [](const auto& entry) { return entry.second.heard; }));
        }
        const auto ms =
            std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
        alert.id = fmt::format("a{:x}-{:x}", ms, ++made_);
        alert.since = now;
        alert.count = 1;
        open_.emplace(key, Open{alert, now, now});
        return true;
    }
    auto& open = found->second;
    alert.id = open.alert.id;
    alert.since = open.alert.since;
    alert.count = open.alert.count + 1;
    open.alert = alert;
    open.heard = now;
    // A wall clock that was set back counts as an hour gone: telling twice is better than silence.
    const bool tell = now - open.told >= coalesced_for || now < open.told;
    if (tell) open.told = now;
    return tell;
}

std::vector<AlertRaised> AlertBook::firing() const {
    const std::scoped_lock lock(mutex_);
    std::vector<AlertRaised> out;
    out.reserve(open_.size());
    for (const auto& [key, open] : open_) out.push_back(open.alert);
    std::ranges::sort(out, {}, [](const AlertRaised& a) { return std::tie(a.since, a.id); });
    return out;
}

}  // namespace postern::relay::event
