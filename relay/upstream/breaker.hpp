#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::relay {

using SteadyTime = std::chrono::steady_clock::time_point;

/// The circuit breaker of one path. Pure: time comes in as an argument. Not thread-safe (Path locks
/// it).
///
///   closed --5 failures in a row, or 10 of the last 20, or trip()--> open
///   open --good probe--> half_open: 1 connection, doubled each second
///   half_open --failure--> open (probe delay goes on doubling)
///   half_open --as many connections allowed as configured--> closed
///
/// An open breaker is probed after 5 s, doubling to 60 s; the probe is synthetic, never a waiting
/// client's mail.
class Breaker {
  public:
    enum class State : std::uint8_t { closed, open, half_open };

    void success(SteadyTime now);
    /// A failure that counts. True: the breaker has just opened.
    [[nodiscard]] bool failure(SteadyTime now, std::string_view error);
    /// No answer to the final dot of message `ref`: counts once three different messages had one.
    [[nodiscard]] bool dot_timeout(SteadyTime now, std::string_view ref);
    /// Opens at once (a refused login, a quota). True: it was not open before.
    [[nodiscard]] bool trip(SteadyTime now, std::string_view error);
    /// The word of a probe. True: the state has changed.
    [[nodiscard]] bool probed(SteadyTime now, bool good, std::string_view error);

    /// Connections that may exist now, of `concurrency` configured. Closes a half-open breaker
    /// whose ramp is through.
    [[nodiscard]] int allowed(SteadyTime now, int concurrency);
    [[nodiscard]] bool probe_due(SteadyTime now) const noexcept {
        return state_ == State::open && now >= probe_at_;
    }
    [[nodiscard]] State state() const noexcept { return state_; }
    [[nodiscard]] SteadyTime probe_at() const noexcept { return probe_at_; }
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

    static constexpr std::chrono::seconds first_probe{5};
    static constexpr std::chrono::seconds last_probe{60};
    static constexpr int in_a_row = 5;
    static constexpr int window = 20;
    static constexpr int messages_without_answer = 3;

  private:
    void open(SteadyTime now, std::string_view error);

    State state_ = State::closed;
    std::uint32_t history_ = 0;  ///< The last `window` outcomes, 1 a failure.
    int seen_ = 0;
    int row_ = 0;
    std::chrono::seconds probe_delay_ = first_probe;
    SteadyTime probe_at_;
    SteadyTime ramp_start_;
    std::string error_;
    std::vector<std::string> unanswered_;
};

[[nodiscard]] std::string_view name(Breaker::State state) noexcept;

}  // namespace postern::relay
