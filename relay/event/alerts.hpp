#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/event/event.hpp"

namespace postern::relay::event {

/// critical, warning or info by interfaces.md section 7; warning for a kind that is not in the
/// table.
[[nodiscard]] std::string_view severity_of(std::string_view kind) noexcept;

/// Which alerts fire, and which of them are worth an event: one `firing` event a (kind, subject)
/// and hour, later ones only raise its count; `resolved` once, and only of what fired. Thread-safe.
/// Bounded: the alert longest unheard of is forgotten first.
class AlertBook {
  public:
    explicit AlertBook(std::size_t max_alerts = 10'000) : max_alerts_(max_alerts) {}

    /// Fills id, severity, state, since and count. False: nothing to tell, only counted.
    [[nodiscard]] bool admit(AlertRaised& alert, std::chrono::system_clock::time_point now);
    /// Those that fire now, the oldest first.
    [[nodiscard]] std::vector<AlertRaised> firing() const;

  private:
    struct Open {
        AlertRaised alert;
        std::chrono::system_clock::time_point told, heard;
    };
    std::size_t max_alerts_;
    mutable std::mutex mutex_;
    std::map<std::pair<std::string, std::string>, Open> open_;
    std::uint64_t made_ = 0;
};

}  // namespace postern::relay::event
