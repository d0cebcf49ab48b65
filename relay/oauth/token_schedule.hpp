#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace postern::relay::oauth {

/// When an access token for an upstream is fetched, and how long it holds. Pure: time is an
/// argument, the steady clock.
///
///     got:     again once four fifths of its life are over
///     failed:  again after `retry`, doubling to `at_most`; where the server said no, after
///              `refused_retry`, doubling to `refused_at_most`; what is at hand holds on to its end
///     the upstream refuses it: again at once, where it had worked before or is older than `young`;
///              else it is not the token that is wrong
class TokenSchedule {
  public:
    using time = std::chrono::steady_clock::time_point;
    using seconds = std::chrono::seconds;
    static constexpr seconds retry{5};
    static constexpr seconds at_most{60};
    static constexpr std::chrono::minutes refused_retry{5};
    static constexpr std::chrono::minutes refused_at_most{60};
    static constexpr std::chrono::minutes young{5};
    /// A login takes its time: a token is not used in the last of its life.
    static constexpr seconds margin{30};
    /// However short a life the server names.
    static constexpr seconds at_least{5};

    enum class Failure : std::uint8_t {
        passing,  ///< No answer, or one that says to come again.
        refused,  ///< The server said no.
    };

    void began() noexcept { running_ = true; }
    /// `life`: of the token, from now on.
    void got(time now, seconds life) noexcept {
        running_ = false;
        failures_ = 0;
        worked_ = false;
        got_at_ = now;
        ends_ = now + life - std::min(margin, life / 10);
        next_ = now + std::max(at_least, life / 5 * 4);
    }
    void failed(time now, Failure failure) noexcept {
        running_ = false;
        const bool no = failure == Failure::refused;
        const seconds first = no ? seconds(refused_retry) : retry;
        const seconds last = no ? seconds(refused_at_most) : at_most;
        next_ = now + std::min(first * (1U << std::min(failures_, 8U)), last);
        ++failures_;
    }
    /// A login by the token at hand was good.
    void worked() noexcept { worked_ = true; }
    /// The upstream refused it. True: a new one is due at once, and this one holds no more.
    [[nodiscard]] bool rejected(time now) noexcept {
        if (!holds(now) || (!worked_ && now - *got_at_ < young)) return false;
        got_at_.reset();
        next_ = now;
        return true;
    }

    [[nodiscard]] bool holds(time now) const noexcept { return got_at_ && now < ends_; }
    enum class Wanted : std::uint8_t {
        holds,  ///< There is one.
        fetch,  ///< A fetch is under way, or due: its end will tell.
        later,  ///< It failed a moment ago.
    };
    [[nodiscard]] Wanted want(time now) const noexcept {
        if (holds(now)) return Wanted::holds;
        return running_ || next_ <= now ? Wanted::fetch : Wanted::later;
    }
    /// When the next fetch is to begin, while none is under way.
    [[nodiscard]] time next() const noexcept { return next_; }
    [[nodiscard]] unsigned failures() const noexcept { return failures_; }

  private:
    time next_ = time::min();  ///< The first one is due at once.
    time ends_{};
    std::optional<time> got_at_;  ///< Unset: there is none, or it was refused.
    unsigned failures_ = 0;       ///< In a row.
    bool worked_ = false;
    bool running_ = false;
};

}  // namespace postern::relay::oauth
