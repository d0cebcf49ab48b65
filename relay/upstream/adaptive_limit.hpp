#pragma once

#include <algorithm>
#include <chrono>

namespace postern::relay {

using SteadyTime = std::chrono::steady_clock::time_point;

/// How many connections an upstream bears now: from 1 to what is configured. Pure: time comes in as
/// an argument. Not thread-safe (Path locks it).
///
/// Asked for less (421, 4.7.x) it halves, at most once a second, for the replies of one moment say
/// one thing. As many good messages as it has connections make it one larger, once a while has
/// passed.
class AdaptiveLimit {
  public:
    explicit AdaptiveLimit(int most) : most_(std::max(most, 1)), limit_(most_) {}

    /// While so many connections existed.
    void asked_for_less(SteadyTime now, int connections);
    /// A message was taken. True: it is larger than before.
    [[nodiscard]] bool went_well(SteadyTime now);
    [[nodiscard]] int now() const noexcept { return limit_; }

  private:
    static constexpr std::chrono::seconds between_cuts{1};
    static constexpr std::chrono::seconds before_growth{2};

    int most_;
    int limit_;
    int good_ = 0;  ///< Messages taken since it changed.
    SteadyTime cut_;
    bool cut_before_ = false;
};

}  // namespace postern::relay
