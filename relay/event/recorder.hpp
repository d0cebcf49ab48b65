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
#include <thread>
#include <vector>

#include "relay/event/event.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/line_writer.hpp"
#include "relay/event/stream.hpp"

namespace postern::relay::event {

/// Makes lines of events on a thread of its own, once each, for the journal and for the log.
/// Bounded: what comes while the queue is full is dropped and counted.
class Recorder final : public Keeper {
  public:
    struct Settings {
        std::size_t max_events = 32'768;
        std::size_t max_octets = 64U << 20U;  ///< Of foreign text in queued events, about.
    };
    /// `log` may be null and outlives the recorder; without `journal` nothing is kept.
    Recorder(std::optional<Journal> journal, LineWriter* log, Settings settings);
    Recorder(std::optional<Journal> journal, LineWriter* log)
        : Recorder(std::move(journal), log, Settings{}) {}
    ~Recorder() override;
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    void keep(std::unique_ptr<Event> e) noexcept override;

    /// Waits until everything kept before is in the journal's file, at most `patience`. False: it
    /// took longer.
    bool flush(std::chrono::milliseconds patience = std::chrono::seconds(2)) noexcept;
    /// Writes what is queued and ends the thread. Idempotent.
    void stop() noexcept;
    void set_retention(std::chrono::seconds retention) noexcept;
    /// Free space of the disk that the journal leaves alone: events are dropped and counted then.
    void set_keep_free(std::uint64_t octets) noexcept;
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);
    }

  private:
    void run() noexcept;
    void write(std::vector<std::unique_ptr<Event>>& batch) noexcept;

    Settings settings_;
    std::optional<Journal> journal_;
    LineWriter* log_;
    std::atomic<std::uint64_t> dropped_{0};
    std::atomic<std::int64_t> retention_s_{-1};
    static constexpr std::uint64_t no_change = ~std::uint64_t{0};
    std::atomic<std::uint64_t> keep_free_{no_change};
    std::mutex mutex_;
    std::condition_variable wake_, written_;
    std::vector<std::unique_ptr<Event>> queue_;
    std::size_t octets_ = 0;
    std::uint64_t kept_ = 0, done_ = 0;
    bool stopping_ = false, hurry_ = false, waiting_ = false;
    std::chrono::system_clock::time_point expired_at_;
    std::string lines_;
    std::thread thread_;
};

}  // namespace postern::relay::event
