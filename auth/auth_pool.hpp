#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace postern::auth {

/// Threads for what blocks or computes in this room. Three queues, each bounded: those who are
/// known to have logged in from their source go first and cannot be crowded out by strangers, and
/// these not by suspects, whose source failed lately. Every eighth turn is the next queue's, so
/// that none starves. One thread more serves the known alone, before the others in the system's
/// eyes: a crowd of strangers leaves them a whole core if they need it. Thread-safe.
class AuthPool {
  public:
    enum class Priority : std::uint8_t { known, stranger, suspect };
    struct Settings {
        unsigned threads = 0;            ///< For all of them. 0: one a core.
        bool one_for_the_known = false;  ///< And so that the others go behind what else runs.
        std::size_t queue = 1024;  ///< Of each priority: what a flood of logins may make wait.
        /// For jobs that may never end: while every thread has been at one for longer, no other is
        /// taken.
        std::optional<std::chrono::steady_clock::duration> stuck_after;
        std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
    };
    struct Job {
        std::move_only_function<void()> run;  ///< Must not throw.
        std::move_only_function<void()>
            expired;  ///< Instead of `run`, once the deadline passed before its turn, or at stop().
        std::chrono::steady_clock::time_point deadline =
            std::chrono::steady_clock::time_point::max();
        Priority priority = Priority::stranger;
    };

    AuthPool();
    explicit AuthPool(Settings settings);
    /// As stop(); but of jobs that stop() has given up the threads are left behind.
    ~AuthPool();
    AuthPool(const AuthPool&) = delete;
    AuthPool& operator=(const AuthPool&) = delete;

    /// False: its queue is full, all threads are stuck or the pool is stopped (454 4.7.0); neither
    /// function will be called.
    [[nodiscard]] bool submit(Job job);
    /// Jobs that wait.
    [[nodiscard]] std::size_t queued() const;
    /// Calls `expired` of the waiting jobs, lets running ones end and joins. Again: nothing.
    void stop();
    /// The same, but waits no longer than so. False: a job still runs, and nothing that it uses may
    /// be destroyed.
    [[nodiscard]] bool stop_within(std::chrono::steady_clock::duration patience);

  private:
    class Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace postern::auth
