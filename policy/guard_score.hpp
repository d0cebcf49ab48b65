#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

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
inline constexpr std::size_t most_waiting =
    4;  ///< AUTHs of one penalised source that wait their turn; beyond: busy.
inline constexpr milliseconds longest_poll{500};
inline constexpr int failures_of_connection = 3;

// A network is in penalty where this many of its 256 places failed and their weight is above the
// bar: one bad neighbour, or eight, are no network that attacks.
inline constexpr std::uint32_t network_places = 16;
inline constexpr double network_from = 40.0;
inline constexpr double network_most_weight = 2'000.0;
inline constexpr double refuse_from_in_network = 4.0;  ///< As refuse_from, in such a network.
/// Logins from such a network's strangers that are checked: 256 at once, then two a second.
inline constexpr milliseconds network_check_interval{500};
inline constexpr int network_check_burst = 256;

/// Strangers hear at most this many failing answers about one account in any `account_window`, once
/// more than one of them fails on it.
inline constexpr std::size_t account_answers = 3;
inline constexpr seconds account_window{60};
/// A source in penalty that takes its turn at such an account keeps others off it for so long.
inline constexpr seconds account_probe{2};

// When an alert is raised.
inline constexpr double attacked_from = 6.0;      ///< Weight on one account.
inline constexpr double spraying_from = 6.0;      ///< Weight of one source...
inline constexpr std::uint32_t sprayed_from = 4;  ///< ... and the accounts that it tried.
inline constexpr double attack_over = 3.0;        ///< Below that weight it is over.

/// Sixteenths of a second of the steady clock; 0: never. Reaches over eight years.
using Tick = std::uint32_t;
using TickSpan = std::chrono::duration<std::int64_t, std::ratio<1, 16>>;

[[nodiscard]] inline Tick tick_of(SteadyTime t) {
    const auto count = std::chrono::floor<TickSpan>(t.time_since_epoch()).count();
    return static_cast<Tick>(std::clamp<std::int64_t>(count, 1, UINT32_MAX));
}
/// Never earlier than `t`.
[[nodiscard]] inline Tick tick_after(SteadyTime t) {
    const auto count = std::chrono::ceil<TickSpan>(t.time_since_epoch()).count();
    return static_cast<Tick>(std::clamp<std::int64_t>(count, 1, UINT32_MAX));
}
[[nodiscard]] inline SteadyTime time_of(Tick tick) {
    return SteadyTime(std::chrono::duration_cast<SteadyTime::duration>(TickSpan(tick)));
}
template <typename Rep, typename Period>
[[nodiscard]] constexpr Tick ticks(std::chrono::duration<Rep, Period> span) {
    return static_cast<Tick>(std::chrono::ceil<TickSpan>(span).count());
}
/// From `then` to `now`; 0 where that lies ahead.
[[nodiscard]] constexpr Tick since(Tick then, Tick now) {
    return now > then ? now - then : 0;
}

/// A weight that halves every half_life.
struct Score {
    float value = 0;
    Tick at = 0;

    [[nodiscard]] double now(Tick t) const {
        if (value <= 0) return 0;
        return value *
               std::exp2(-static_cast<float>(since(at, t)) / static_cast<float>(ticks(half_life)));
    }
    void add(double weight, Tick t, double most = most_weight) {
        value = static_cast<float>(std::min(most, now(t) + weight));
        at = t;
    }
    /// When it will have fallen to `bar`, which it is above.
    [[nodiscard]] SteadyTime until(double bar, Tick t) const {
        const double half_lives = std::log2(std::max(now(t) / bar, 1.0));
        return time_of(t) + std::chrono::duration_cast<SteadyTime::duration>(
                                std::chrono::duration<double>(half_life) * half_lives);
    }
};

/// How long a failing answer waits at this weight.
[[nodiscard]] inline milliseconds delay_of(double weight, double from) {
    if (weight < from) return milliseconds{0};
    const auto doubled = std::chrono::duration<double>(std::exp2(std::min(weight - from, 10.0)));
    return std::min(std::chrono::duration_cast<milliseconds>(doubled), milliseconds(longest_delay));
}

/// About how many different things were seen, by the bits that they set.
template <std::size_t Words>
struct Sketch {
    std::array<std::uint64_t, Words> bits{};

    void add(std::uint64_t hash) {
        const std::size_t bit = hash % (Words * 64);
        bits[bit / 64] |= 1ULL << bit % 64;
    }
    [[nodiscard]] std::uint32_t set() const {
        int n = 0;
        for (const std::uint64_t word : bits) n += std::popcount(word);
        return static_cast<std::uint32_t>(n);
    }
    /// Exact while it is small; the bits that two share are reckoned in.
    [[nodiscard]] std::uint32_t count() const {
        constexpr double size = Words * 64;
        const double free = std::max(size - set(), 1.0);
        return static_cast<std::uint32_t>(std::lround(size * std::log(size / free)));
    }
};

/// Spaces what is handed out: `burst` at once, then one in `interval` (GCRA).
struct Rate {
    Tick tat = 0;

    /// The earliest at or after `due`; taken only by take().
    [[nodiscard]] Tick earliest(Tick due, Tick interval, Tick burst) const {
        const Tick credit = interval * burst;
        return tat <= credit ? due : std::max(due, tat - credit);
    }
    void take(Tick due, Tick interval) { tat = std::max(tat, due) + interval; }
    /// What was taken was not used.
    void give_back(Tick interval) { tat = tat > interval ? tat - interval : 0; }
};

/// Failing answers to one source: 15 at once, then one in 1.375 s, which is never more than 60 in
/// any minute.
inline constexpr Tick answer_interval = 22;
inline constexpr Tick answer_burst = 15;

/// The latest failing answers about one account: no window sees more than account_answers.
struct AnswerWindow {
    std::array<Tick, account_answers> at{};  ///< The latest ones, in no order; 0: none.

    [[nodiscard]] Tick earliest(Tick due) const {
        const Tick oldest = *std::ranges::min_element(at);
        return oldest == 0 ? due : std::max(due, oldest + ticks(account_window));
    }
    void take(Tick when) {
        Tick& oldest = *std::ranges::min_element(at);
        oldest = std::max(oldest, when);
    }
};

}  // namespace postern::policy::guard
