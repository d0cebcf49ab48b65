#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/types.h>

#include <boost/system/result.hpp>

#include "relay/event/event.hpp"

namespace postern::relay::event {

/// Where the log goes: log.target.
struct LogTarget {
    enum class Kind : std::uint8_t { stdout_stream, journald, file } kind = Kind::stdout_stream;
    std::string
        path;  ///< Of file; of journald the socket, /run/systemd/journal/socket where empty.
};

/// Writes log lines on a thread of its own. A target that is stuck costs lines, which are counted,
/// and never anybody's time: submit() only appends to a bounded queue.
class LineWriter {
  public:
    /// Whom the process will become that opens the log.
    struct Owner {
        uid_t uid = 0;
        gid_t gid = 0;
    };
    struct Settings {
        LogTarget target;
        Level level = Level::info;           ///< Quieter lines are passed over by who submits.
        std::size_t max_queued = 4U << 20U;  ///< Octets.
        int stdout_fd = 1;
        /// With it a file of root's becomes the owner's. No symbolic link is followed then and no
        /// file of a second name is taken, for the owner may have put them there.
        std::optional<Owner> owner;
    };
    /// Opens the target. Error: of the system (file or socket).
    [[nodiscard]] static boost::system::result<std::unique_ptr<LineWriter>> open(Settings settings);
    ~LineWriter();
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;

    /// `lines`: whole lines with their '\n', `count` of them.
    void submit(Level level, std::string_view lines, std::size_t count) noexcept;
    [[nodiscard]] Level level() const noexcept { return level_.load(std::memory_order_relaxed); }
    void set_level(Level level) noexcept { level_.store(level, std::memory_order_relaxed); }
    /// Writes to another target from the next batch on, or, where the present one is stuck, at
    /// once: what it has not taken is lost, and counted. Error: it cannot be opened, and nothing
    /// changes. Thread-safe.
    [[nodiscard]] boost::system::result<void> retarget(LogTarget target);
    /// Opens a file target anew (it was rotated). Thread-safe.
    void reopen() noexcept;
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);
    }
    /// Writes what is queued, but waits at most `patience` for a stuck target; then ends the
    /// thread. Idempotent.
    void stop(std::chrono::milliseconds patience = std::chrono::seconds(1)) noexcept;

  private:
    struct Chunk {
        Level level;
        std::string lines;
        std::size_t count;
    };
    LineWriter(Settings settings, int fd);
    void run() noexcept;
    void take_orders() noexcept;
    void change_target() noexcept;
    [[nodiscard]] bool ordered() noexcept;  ///< take_orders() would change where lines go.
    void write(const Chunk& chunk) noexcept;
    [[nodiscard]] std::size_t write_bytes(std::string_view bytes) noexcept;  ///< How many went out.
    [[nodiscard]] bool
    wait_writable() noexcept;  ///< False: stuck and told to stop, or to go elsewhere.
    void send_line(Level level, std::string_view line) noexcept;

    struct Target {
        LogTarget target;
        int fd;
    };
    Settings settings_;
    int fd_;
    std::optional<Target> next_;  ///< Under the mutex: what to change to.
    std::atomic<Level> level_;
    std::atomic<std::uint64_t> dropped_{0};
    std::atomic<bool> reopen_{false};
    std::atomic<std::int64_t> give_up_at_{0};  // steady ns; 0: never
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<Chunk> queue_;
    std::size_t queued_ = 0;
    bool stopping_ = false;
    bool idle_ = false;
    bool socket_ = false;
    std::string datagram_;
    std::thread thread_;
};

}  // namespace postern::relay::event
