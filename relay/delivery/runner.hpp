#pragma once

#include <atomic>
#include <functional>
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

    QueueRunner(asio::io_context& context, Spool& spool, Delivery& delivery,
                std::function<PathSetPtr()> paths, std::vector<Lane> lanes);

    /// Until stop().
    [[nodiscard]] awaitable<void> run();
    void stop();
    /// Something became due, or a path takes mail again. Any thread.
    void wake();
    /// One entry handed to a lane has ended. Any thread.
    void done() noexcept;

  private:
    [[nodiscard]] std::size_t room(SteadyTime now) const;

    asio::io_context& context_;
    Spool& spool_;
    Delivery& delivery_;
    std::function<PathSetPtr()> paths_;
    std::vector<Lane> lanes_;
    asio::steady_timer timer_;
    std::size_t next_lane_ = 0;
    std::atomic<std::size_t> running_{0};
    std::atomic<bool> woken_{false};
    SteadyTime aged_ = std::chrono::steady_clock::now();
    bool stopping_ = false;
};

}  // namespace postern::relay
