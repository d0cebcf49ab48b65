#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "relay/asio.hpp"
#include "relay/delivery/delivery.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay {

/// Takes due entries from the spool and deals them to the threads in turn, as many at a time as the
/// paths that take mail have connections. Lives on one thread.
class QueueRunner {
  public:
    /// Runs `run_entry(id)` on one thread; the runner is told of its end by done().
    using Lane = std::function<void(std::string id)>;

    struct Pace {
        /// However long nothing is due: a clock that was set, or an entry's age, is noticed by
        /// then.
        std::chrono::milliseconds longest_sleep = std::chrono::seconds(30);
        /// While no path takes mail, how often entries are looked at that a delay notice or the end
        /// of patience may be owed for.
        std::chrono::milliseconds aging_interval = std::chrono::minutes(10);
    };
    QueueRunner(asio::io_context& context, Spool& spool, Delivery& delivery,
                std::function<PathSetPtr()> paths, std::vector<Lane> lanes, Pace pace);

    /// Until stop().
    [[nodiscard]] awaitable<void> run();
    void stop();
    /// Something became due, or a path takes mail again. Any thread.
    void wake();
    /// One entry handed to a lane has ended. Any thread.
    void done() noexcept;

  private:
    /// What the paths that take mail can take now.
    struct Room {
        bool open = false;         ///< Some path takes mail.
        std::size_t messages = 0;  ///< By their connections and rates.
        /// When a rate will let the next one pass; unset: no path waits for that.
        std::optional<std::chrono::milliseconds> rate_wait;
    };
    [[nodiscard]] Room room(SteadyTime now) const;
    /// Mail is due and paths are at their rates: from waiting clients they take none meanwhile.
    void keep_rates(SteadyTime now) const;
    /// Looks at a few entries' age; true: there are more.
    [[nodiscard]] awaitable<bool> age_some();

    asio::io_context& context_;
    Spool& spool_;
    Delivery& delivery_;
    std::function<PathSetPtr()> paths_;
    std::vector<Lane> lanes_;
    asio::steady_timer timer_;
    std::size_t next_lane_ = 0;
    std::atomic<std::size_t> running_{0};
    std::atomic<bool> woken_{false};
    const Pace pace_;
    SteadyTime aged_ = std::chrono::steady_clock::now();
    std::string aging_after_;  ///< Where the round goes on; empty: none is under way.
    bool stopping_ = false;
};

}  // namespace postern::relay
