#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "relay/delivery/notices.hpp"

namespace postern::relay {

/// How soon an account's next notification may go: 60 at once, then one a second (GCRA). None is
/// lost by it, they only come later. Pure: time comes in. Not thread-safe.
class NoticeRate {
  public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr int at_once = 60;
    static constexpr std::chrono::seconds each{1};
    /// None is kept back for longer: it must be tried for days yet before it is given up.
    static constexpr std::chrono::hours longest{6};
    /// Beyond so many accounts that have had some just now, the others share one rate.
    static constexpr std::size_t most_accounts = 10'000;

    /// Counts one more of the account's; how long it has to wait. 0: none.
    [[nodiscard]] std::chrono::nanoseconds next(const std::string& account, Time now);

  private:
    std::unordered_map<std::string, Time> full_at_;  ///< When all of it is there again.
};

/// Where notifications are written, for attempts and operators alike. Thread-safe.
class NoticeDesk {
  public:
    struct Ports {
        std::function<std::string()> make_ref;  ///< Thread-safe.
        /// Whether the account's mail from that sender may have notifications: nobody is told of
        /// mail that was not his. May block. Null: it may.
        std::function<bool(const std::string& account, const proto::Address& sender)> may_tell;
    };
    explicit NoticeDesk(Ports ports) : ports_(std::move(ports)) {}

    /// One queue entry that carries all notices, unsigned; later than now where its account has had
    /// many. None: nobody may be told, or there is nothing to tell. Blocks where `may_tell` does.
    [[nodiscard]] std::optional<NewEntry> write(const config::Config& config,
                                                const NoticeSource& source,
                                                const std::vector<Notice>& notices);

  private:
    Ports ports_;
    std::mutex mutex_;
    NoticeRate rate_;
};

}  // namespace postern::relay
