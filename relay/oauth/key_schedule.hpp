#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace postern::relay::oauth {

/// When a key set is fetched, and how long the last good one holds. Pure: time is an argument, the
/// steady clock.
///
///     good:   again after `every`; at once, but once in `at_most`, when a token names a key that
///             is not there
///     failed: again after `retry`, doubling to `at_most`; what was there before goes on for `keep`
///             after it was last confirmed
class KeySchedule {
  public:
    using time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::minutes every{15};
    static constexpr std::chrono::seconds at_most{60};
    static constexpr std::chrono::seconds retry{5};
    static constexpr std::chrono::hours keep{24};
    /// So many failures in a row are worth an alert.
    static constexpr unsigned alarming = 3;

    void began(time now) noexcept {
        began_ = now;
        wanted_ = false;
        running_ = true;
    }
    void succeeded(time now) noexcept {
        running_ = false;
        good_at_ = now;
        failures_ = 0;
        next_ = now + every;
    }
    void failed(time now) noexcept {
        running_ = false;
        const auto doubled = retry * (1U << std::min(failures_, 8U));
        ++failures_;
        next_ = now + std::min<std::chrono::seconds>(doubled, at_most);
    }

    enum class Wanted : unsigned char {
        fetch,    ///< One is under way, or due at once: its end will tell.
        settled,  ///< What is there is fresh: a key that it does not hold is none.
        later,    ///< It failed a moment ago: nobody can tell.
    };
    /// A token names a key that is not there.
    [[nodiscard]] Wanted want(time now) noexcept {
        if (running_ || wanted_) return Wanted::fetch;
        const bool failing = failures_ > 0;
        if (failing && now < next_) return Wanted::later;
        // A key is published before it signs: one that a fresh set does not have is no key.
        if (!failing && good_at_ && now - *began_ < at_most) return Wanted::settled;
        wanted_ = true;
        return Wanted::fetch;
    }
    /// When the next fetch is to begin, while none is under way.
    [[nodiscard]] time next(time now) const noexcept { return wanted_ ? now : next_; }
    /// The last good set has not been confirmed for so long that it holds no more.
    [[nodiscard]] bool stale(time now) const noexcept {
        return good_at_ && now - *good_at_ >= keep;
    }
    [[nodiscard]] unsigned failures() const noexcept { return failures_; }

  private:
    time next_ = time::min();  ///< The first one is due at once.
    std::optional<time> began_;
    std::optional<time> good_at_;
    unsigned failures_ = 0;  ///< In a row.
    bool wanted_ = false;
    bool running_ = false;
};

}  // namespace postern::relay::oauth
