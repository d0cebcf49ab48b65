#include "relay/upstream/breaker.hpp"

#include <algorithm>
#include <bit>

namespace postern::relay {

void Breaker::success(SteadyTime /*now*/) {
    row_ = 0;
    history_ = (history_ << 1U) & ((1U << window) - 1U);
    seen_ = std::min(seen_ + 1, window);
    unanswered_.clear();
}

bool Breaker::failure(SteadyTime now, std::string_view error) {
    if (state_ == State::open) return false;
    ++row_;
    history_ = ((history_ << 1U) | 1U) & ((1U << window) - 1U);
    seen_ = std::min(seen_ + 1, window);
    const bool half = seen_ == window && std::popcount(history_) * 2 >= window;
    if (state_ == State::half_open || row_ >= in_a_row || half) {
        open(now, error);
        return true;
    }
    return false;
}

bool Breaker::dot_timeout(SteadyTime now, std::string_view ref) {
    if (state_ == State::open || std::ranges::find(unanswered_, ref) != unanswered_.end())
        return false;
    unanswered_.emplace_back(ref);
    if (static_cast<int>(unanswered_.size()) < messages_without_answer) return false;
    unanswered_.clear();
    return failure(now, "no answer after the end of data");
}

bool Breaker::trip(SteadyTime now, std::string_view error) {
    if (state_ == State::open) return false;
    open(now, error);
    return true;
}

bool Breaker::probed(SteadyTime now, bool good, std::string_view error) {
    if (state_ != State::open) return false;
    if (!good) {
        probe_delay_ = std::min(probe_delay_ * 2, last_probe);
        probe_at_ = now + probe_delay_;
        error_ = error;
        return false;
    }
    state_ = State::half_open;
    ramp_start_ = now;
    row_ = 0;
    history_ = 0;
    seen_ = 0;
    unanswered_.clear();
    return true;
}

int Breaker::allowed(SteadyTime now, int concurrency) {
    switch (state_) {
        case State::closed:
            return concurrency;
        case State::open:
            return 0;
        case State::half_open:
            break;
    }
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(now - ramp_start_).count();
    const int ramp = seconds >= 20
                         ? concurrency
                         : std::min(concurrency, 1 << std::max<int>(0, static_cast<int>(seconds)));
    if (ramp >= concurrency && seconds > 0) {
        state_ = State::closed;
        probe_delay_ = first_probe;
        error_.clear();
    }
    return ramp;
}

void Breaker::open(SteadyTime now, std::string_view error) {
    if (state_ == State::half_open) {
        probe_delay_ = std::min(probe_delay_ * 2, last_probe);
    } else {
        probe_delay_ = first_probe;
    }
    state_ = State::open;
    probe_at_ = now + probe_delay_;
    error_ = error;
    row_ = 0;
}

std::string_view name(Breaker::State state) noexcept {
    switch (state) {
        case Breaker::State::closed:
            return "closed";
        case Breaker::State::open:
            return "open";
        case Breaker::State::half_open:
            return "half_open";
    }
    return "?";
}

}  // namespace postern::relay
