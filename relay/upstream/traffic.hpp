#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace postern::relay {

using WallTime = std::chrono::system_clock::time_point;

/// The mails that upstreams took today, for the whole process and by upstream. A day is one of UTC.
/// Thread-safe; locks are short. Kept over reloads, not over restarts.
class Traffic {
  public:
    /// `began`: when the process started to count.
    explicit Traffic(WallTime began);

    void count(std::string_view upstream, WallTime now);

    struct Today {
        std::uint64_t mail = 0;         ///< Of all upstreams.
        std::uint64_t by_upstream = 0;  ///< Of the one that is asked for.
        std::uint64_t yesterday = 0;    ///< Of all upstreams; 0: not known.
        double elapsed = 0;             ///< Share of the day that is over, 0 to 1.
        double usual = 0;  ///< Share of yesterday's mail that had come by this time; 0: not known.
        double began = 0;  ///< Share of it that was over when counting began.
        std::chrono::sys_days day;
        /// Of the one that is asked for, 0 to 1.
        [[nodiscard]] double share() const {
            return mail == 0 ? 0 : static_cast<double>(by_upstream) / static_cast<double>(mail);
        }
    };
    [[nodiscard]] Today today(std::string_view upstream, WallTime now);

    /// A day that is over.
    struct Ended {
        std::uint64_t mail = 0;
        double began = 0;
        std::map<std::string, std::uint64_t, std::less<>> by_upstream;
    };
    /// The last day that ended, once.
    [[nodiscard]] std::optional<Ended> ended(WallTime now);

  private:
    using Days = std::chrono::sys_days;
    using Hours = std::array<std::uint64_t, 24>;
    [[nodiscard]] double usual(WallTime now) const;
    void turn(WallTime now);

    std::mutex mutex_;
    Days day_;
    Ended counted_;  ///< Today, so far.
    Hours hours_{};  ///< Today's mail by the hour.
    Hours yesterdays_hours_{};
    std::uint64_t yesterday_ = 0;
    std::optional<Ended> over_;
};

}  // namespace postern::relay
