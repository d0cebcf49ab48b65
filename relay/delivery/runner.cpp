#include "relay/delivery/runner.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

/// However long nothing is due: a clock that was set, or an entry's age, is noticed by then.
constexpr std::chrono::seconds longest_sleep{30};
/// While no path takes mail, how often entries are looked at that a delay notice or the end of
/// patience may be owed for.
constexpr std::chrono::minutes aging_interval{10};

}  // namespace

QueueRunner::QueueRunner(asio::io_context& context, Spool& spool, Delivery& delivery,
                         std::function<PathSetPtr()> paths, std::vector<Lane> lanes)
    : context_(context),
      spool_(spool),
      delivery_(delivery),
      paths_(std::move(paths)),
      lanes_(std::move(lanes)),
      timer_(context) {}

std::size_t QueueRunner::room(SteadyTime now) const {
    std::size_t connections = 0;
    for (const PathPtr& path : paths_()->paths) {
        if (!path->open_breaker(now)) connections += path->settings().upstream.concurrency;
    }
    const std::size_t busy = running_.load();
    return connections > busy ? connections - busy : 0;
}

awaitable<void> QueueRunner::run() {
    while (!stopping_) {
        woken_.store(false);
        const std::size_t room_now = room(clock::now());
        std::vector<std::string> due;
        if (room_now > 0) due = spool_.take_due(std::chrono::system_clock::now(), room_now);
        for (std::string& id : due) {
            running_.fetch_add(1);
            lanes_[next_lane_++ % lanes_.size()](std::move(id));
        }
        if (!due.empty() && due.size() < room_now) continue;
        std::chrono::milliseconds sleep = longest_sleep;
        if (room_now > 0) {
            if (const auto next = spool_.next_due()) {
                const auto left = std::chrono::ceil<std::chrono::milliseconds>(
                    *next - std::chrono::system_clock::now());
                sleep = std::clamp(left, std::chrono::milliseconds(1),
                                   std::chrono::milliseconds(longest_sleep));
            }
        }
        if (room_now == 0 && clock::now() - aged_ >= aging_interval) {
            aged_ = clock::now();
            co_await delivery_.age_waiting();
        }
        timer_.expires_after(sleep);
        if (!woken_.load() && !stopping_) (void)co_await timer_.async_wait(as_value);
    }
}

void QueueRunner::stop() {
    stopping_ = true;
    timer_.cancel();
}

void QueueRunner::wake() {
    // One post for any number of calls before the runner looks again.
    if (woken_.exchange(true)) return;
    asio::post(context_, [this] { timer_.cancel(); });
}

void QueueRunner::done() noexcept {
    running_.fetch_sub(1);
    try {
        wake();
    } catch (const std::exception&) {  // no memory: it looks by itself before long
        woken_.store(false);
    }
}

}  // namespace postern::relay
