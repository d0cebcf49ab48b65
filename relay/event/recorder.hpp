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

/// Makes lines of events on a thread of its own, once each, for the journal and for the log, and
/// those of the token map. Bounded: what comes while the queue is full is dropped and counted.
class Recorder final : public Keeper {
  public:
    struct Settings {
        std::size_t max_events = 32'768;
        std::size_t max_octets = 64U << 20U;  ///< Of foreign text in queued events, about.
    };
    /// `log` may be null and outlives the recorder; without `journal` nothing is kept, without
    /// `tokens` (the files of the token map) no token leads anywhere.
    Recorder(std::optional<Journal> journal, LineWriter* log, Settings settings,
             std::optional<Journal> tokens = std::nullopt);
    Recorder(std::optional<Journal> journal, LineWriter* log)
        : Recorder(std::move(journal), log, Settings{}) {}
    ~Recorder() override;
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    void keep(std::unique_ptr<Event> e) noexcept override;

    /// Waits until everything kept before is in the files of journal and token map, at most
    /// `patience`. False: it took longer.
    bool flush(std::chrono::milliseconds patience = std::chrono::seconds(2)) noexcept;
    /// Writes what is queued and ends the thread. Idempotent.
    void stop() noexcept;
    void set_retention(std::chrono::seconds retention) noexcept;
    void set_token_retention(std::chrono::seconds retention) noexcept;
    /// Free space of the disk that the journal leaves alone: events are dropped and counted then.
    void set_keep_free(std::uint64_t octets) noexcept;
    /// Likewise the token map.
    void set_tokens_keep_free(std::uint64_t octets) noexcept;
    [[nodiscard]] std::uint64_t dropped() const noexcept {
        return dropped_.load(std::memory_order_relaxed);
    }
    /// Lines of the token map that could not be written.
    [[nodiscard]] std::uint64_t tokens_dropped() const noexcept {
        return tokens_dropped_.load(std::memory_order_relaxed);
    }

  private:
    /// What other threads want of a journal: done before its next batch.
    struct Orders {
        static constexpr std::uint64_t no_change = ~std::uint64_t{0};
        std::atomic<std::int64_t> retention_s{-1};
        std::atomic<std::uint64_t> keep_free{no_change};
        void carry_out(Journal& journal) noexcept;
    };

    void run() noexcept;
    void write(std::vector<std::unique_ptr<Event>>& batch) noexcept;
    void write_tokens(const std::vector<std::unique_ptr<Event>>& batch);

    Settings settings_;
    std::optional<Journal> journal_, tokens_;
    LineWriter* log_;
    std::atomic<std::uint64_t> dropped_{0}, tokens_dropped_{0};
    Orders journal_orders_, token_orders_;
    std::mutex mutex_;
    std::condition_variable wake_, written_;
    std::vector<std::unique_ptr<Event>> queue_;
    std::size_t octets_ = 0;
    std::uint64_t kept_ = 0, done_ = 0;
    bool stopping_ = false, hurry_ = false, waiting_ = false;
    std::chrono::system_clock::time_point expired_at_;
    std::string lines_, token_lines_;
    std::thread thread_;
};

}  // namespace postern::relay::event
