#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "policy/limit_store.hpp"

namespace postern::policy::guard {

// The figures of the login guard. One value each is right: none is a setting.

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

inline constexpr minutes half_life{10};            ///< Of every failure's weight.
inline constexpr double weight_new_account = 2.0;  ///< A source's first failure on an account.
inline constexpr double weight_new_secret = 1.0;   ///< One more secret for the same account.
inline constexpr double delay_from =
    3.0;  ///< Weight at which a failing answer waits 1 s; doubled for each more.
inline constexpr double account_delay_from =
    10.0;  ///< The same for an account under attack, from sources it never used.
inline constexpr double refuse_from = 20.0;  ///< Weight at which a source is refused at connect.
inline constexpr double most_weight = 60.0;
inline constexpr seconds longest_delay{20};
inline constexpr minutes refused_for{10};   ///< At least, once refuse_from is reached.
inline constexpr seconds connect_delay{5};  ///< Before the 421 of a refused connection.
inline constexpr minutes scram_repeat{
    10};  ///< Failures that show no secret count once in that time.
inline constexpr std::chrono::hours secret_repeat{
    24};  ///< The same wrong secret counts once in that time.
inline constexpr std::size_t most_remembered = 32;
inline constexpr std::size_t most_waiting =
    4;  ///< AUTHs of one penalised source that wait their turn; beyond: busy.
inline constexpr milliseconds longest_poll{500};
inline constexpr int failures_of_connection = 3;
/// Failing answers to one source: 15 at once, then one in 1.334 s, which is never more than 60 in
/// any minute.
inline constexpr milliseconds answer_interval{1'334};
inline constexpr milliseconds answer_burst = 15 * answer_interval;

inline constexpr SteadyTime never = SteadyTime::min();

/// A weight that halves every half_life.
struct Score {
    double value = 0;
    SteadyTime at{};

    [[nodiscard]] double now(SteadyTime t) const {
        if (value <= 0) return 0;
        const std::chrono::duration<double> passed = std::max(t - at, SteadyTime::duration{0});
        return value * std::exp2(-passed / std::chrono::duration<double>(half_life));
    }
    void add(double weight, SteadyTime t) {
        value = std::min(most_weight, now(t) + weight);
        at = t;
    }
};

/// How long a failing answer waits at this weight.
[[nodiscard]] inline milliseconds delay_of(double weight, double from) {
    if (weight < from) return milliseconds{0};
    const auto doubled = std::chrono::duration<double>(std::exp2(std::min(weight - from, 10.0)));
    return std::min(std::chrono::duration_cast<milliseconds>(doubled), milliseconds(longest_delay));
}

/// What failed lately in one place, to tell a mistake made again from a guess.
class Recent {
  public:
    /// Notes a failure and says what it weighs. `others_fail`: failures of other accounts at the
    /// source make a repeated SCRAM failure count.
    double note(std::uint64_t account, std::optional<std::uint64_t> secret, bool others_fail,
                SteadyTime now) {
        bool known_account = false;
        for (auto& seen : seen_) {
            if (seen.account != account) {
                others_fail = others_fail || now - seen.at < scram_repeat;
                continue;
            }
            known_account = true;
        }
        for (auto& seen : seen_) {
            if (seen.account != account || seen.secret != secret) continue;
            const bool repeated = secret ? now - seen.at < secret_repeat
                                         : now - seen.counted < scram_repeat && !others_fail;
            seen.at = now;
            if (repeated) return 0;
            seen.counted = now;
            return weight_new_secret;
        }
        if (seen_.size() >= most_remembered)
            seen_.erase(std::ranges::min_element(seen_, {}, &Seen::at));
        seen_.push_back({account, secret, now, now});
        return known_account ? weight_new_secret : weight_new_account;
    }
    [[nodiscard]] bool any_within(SteadyTime::duration span, SteadyTime now) const {
        return std::ranges::any_of(seen_, [&](const Seen& s) { return now - s.at < span; });
    }
    [[nodiscard]] std::uint32_t accounts() const {
        std::uint32_t n = 0;
        for (std::size_t i = 0; i < seen_.size(); ++i) {
            bool first = true;
            for (std::size_t j = 0; j < i && first; ++j)
                first = seen_[j].account != seen_[i].account;
            if (first) ++n;
        }
        return n;
    }
    void clear() { seen_.clear(); }

  private:
    struct Seen {
        std::uint64_t account;
        std::optional<std::uint64_t> secret;
        SteadyTime at, counted;
    };
    std::vector<Seen> seen_;
};

/// Spaces failing answers so that no minute sees more than 60 (GCRA).
struct AnswerRate {
    SteadyTime tat = never;

    /// How much later than `due` an answer may go at the earliest; taken only by take().
    [[nodiscard]] milliseconds wait(SteadyTime due) const {
        if (tat == never || tat - answer_burst <= due) return milliseconds{0};
        return std::chrono::ceil<milliseconds>(tat - answer_burst - due);
    }
    void take(SteadyTime due) { tat = (tat == never ? due : std::max(tat, due)) + answer_interval; }
};

}  // namespace postern::policy::guard
