#include "relay/delivery/runner.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

/// How much longer than until its next message a rate is kept for the queue: we look again by then.
constexpr std::chrono::milliseconds rate_kept{500};

}  // namespace

QueueRunner::QueueRunner(asio::io_context& context, Spool& spool, Delivery& delivery,
                         std::function<PathSetPtr()> paths, std::vector<Lane> lanes, Pace pace)
    : context_(context),
      spool_(spool),
      delivery_(delivery),
      paths_(std::move(paths)),
      lanes_(std::move(lanes)),
      timer_(context),
      pace_(pace) {}

QueueRunner::Room QueueRunner::room(SteadyTime now) const {
    Room out;
    for (const PathPtr& path : paths_()->paths) {
        if (!path->takes_mail(now)) continue;
        out.open = true;
        out.messages += path->room(now);
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(path->rate_wait(now));
        if (wait.count() > 0) out.rate_wait = std::min(wait, out.rate_wait.value_or(wait));
    }
    return out;
}

void QueueRunner::keep_rates(SteadyTime now) const {
    const auto next = spool_.next_due();
    if (!next || *next > std::chrono::system_clock::now()) return;
    for (const PathPtr& path : paths_()->paths) {
        const auto wait = path->rate_wait(now);
        if (wait > std::chrono::nanoseconds(0)) path->memory().queue_waits(now + wait + rate_kept);
    }
}

awaitable<void> QueueRunner::run() {
    while (!stopping_) {
        woken_.store(false);
        const Room now = room(clock::now());
        const std::size_t busy = running_.load();
        const std::size_t free = now.messages > busy ? now.messages - busy : 0;
        std::vector<std::string> due;
        if (free > 0) due = spool_.take_due(std::chrono::system_clock::now(), free);
        for (std::string& id : due) {
            running_.fetch_add(1);
            lanes_[next_lane_++ % lanes_.size()](std::move(id));
        }
        if (!due.empty() && due.size() < free) continue;
        if (now.rate_wait) keep_rates(clock::now());
        std::chrono::milliseconds sleep = pace_.longest_sleep;
        if (free > 0) {
            if (const auto next = spool_.next_due()) {
                // What is due already may have any time of the past: no difference is made of it.
                const auto wall = std::chrono::system_clock::now();
                const auto left = *next <= wall
                                      ? std::chrono::milliseconds(0)
                                      : std::chrono::ceil<std::chrono::milliseconds>(*next - wall);
                sleep = std::clamp(left, std::chrono::milliseconds(1), pace_.longest_sleep);
            }
        } else if (now.rate_wait) {
            sleep = std::clamp(*now.rate_wait, std::chrono::milliseconds(1), pace_.longest_sleep);
        }
        // Whatever takes mail looks at an entry's age itself, be it busy now.
        if (!now.open && co_await age_some()) continue;
        timer_.expires_after(sleep);
        if (!woken_.load() && !stopping_) (void)co_await timer_.async_wait(as_value);
    }
}

awaitable<bool> QueueRunner::age_some() {
    if (aging_after_.empty()) {
        if (clock::now() - aged_ < pace_.aging_interval) co_return false;
        aged_ = clock::now();
    }
    aging_after_ = co_await delivery_.age_waiting(aging_after_);
    co_return !aging_after_.empty();
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
