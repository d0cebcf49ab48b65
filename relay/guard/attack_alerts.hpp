#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "policy/login_guard.hpp"
#include "relay/event/event.hpp"

namespace postern::relay {

/// Alerts of attacks on logins: `account_attacked` and `source_spraying`. Coalescing is the
/// stream's (AlertBook). Thread-safe; `events` outlives this.
class AttackAlerts {
  public:
    explicit AttackAlerts(event::Stream& events, std::size_t most_followed = 10'000)
        : events_(events), most_followed_(most_followed) {}

    /// A login failed, and this is what the guard knows of it. Never blocks for long.
    void saw(const policy::LoginGuard::Counts& counts);
    /// Resolves those that are over. Now and then.
    void sweep(const policy::LoginGuard& guard, std::chrono::steady_clock::time_point now);

  private:
    struct Attack {
        std::uint64_t failures = 0;  ///< Since it was noticed, and what was counted then.
        std::uint32_t others = 0;    ///< Sources of an account's, accounts of a source's.
        double raised_at = 0;        ///< Weight.
    };
    using Key = std::pair<std::string, std::string>;  ///< kind, subject

    void note(const char* kind, const std::string& subject, double weight, std::uint32_t others);
    static event::AlertRaised alert(const Key& key, const Attack& attack);

    event::Stream& events_;
    std::size_t most_followed_;
    std::mutex mutex_;
    std::map<Key, Attack> attacks_;
};

}  // namespace postern::relay
