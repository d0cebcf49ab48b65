#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <vector>

#include "relay/spool/bodies.hpp"
#include "relay/spool/compactor.hpp"
#include "relay/spool/operation.hpp"
#include "relay/spool/segment_log.hpp"
#include "relay/spool/shared.hpp"

namespace postern::relay::spool {

/// The one thread that writes segments. Everything that is queued when a sync returns goes into the
/// next group: one write, one sync, then all callbacks. Between groups, and when nothing is queued,
/// it does housekeeping in small steps.
class Writer {
  public:
    /// Opens a segment to write to if the disk lets it; else the spool is not writable for now.
    Writer(Shared& shared, SegmentLog::Settings settings, LogEnd end);
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer() { stop(); }

    /// Takes an operation. Refuses it (its callback runs here) after stop(), and, if it adds mail,
    /// when too many wait.
    void enqueue(Operation operation);
    /// Something may be due earlier than before: tells the observer, from the writer's thread.
    void due_changed();
    /// Finishes what is queued, syncs, ends the thread.
    void stop();

  private:
    using Clock = std::chrono::steady_clock;
    struct Group {
        std::vector<std::unique_ptr<Operation>> operations;
        std::vector<std::unique_ptr<Prepared>> prepared;  ///< One each.
        std::vector<std::unique_ptr<Prepared>> moved;     ///< By compaction; they come first.
        std::uint64_t octets = 0;
    };

    void loop();
    /// Waits for something to do; false: there is nothing.
    [[nodiscard]] bool woken_within(Clock::duration time);
    void forward(Operation operation);
    void commit_group();
    [[nodiscard]] Group gather();
    [[nodiscard]] bool enough_space(const Operation& operation) const;
    /// Leaves out of the group what there is no room for; it may be empty then.
    void fit(Group& group);
    [[nodiscard]] std::optional<Failure> make_room(const Group& group);
    void refuse_adds(Group& group, const Failure& failure);
    void drop_moved(Group& group);
    [[nodiscard]] std::optional<Failure> write(Group& group);
    void apply_all(const Group& group, std::uint64_t offset);
    void answer_all(Group& group, boost::system::result<void> result);
    void answer(Operation& operation, boost::system::result<void> result);

    [[nodiscard]] bool open_segment();
    void tell_failed(const Failure& failure);
    void tell_recovered();
    void show_state();
    [[nodiscard]] boost::system::error_code why_not() const;
    void probe();
    void watch();
    void look_at_space();
    void want_spare();
    [[nodiscard]] bool housekeeping();

    /// How often the writer looks at deadlines of others, and when it tries a failed disk again.
    static constexpr auto watch_every = std::chrono::seconds(1);
    static constexpr auto try_again_after = std::chrono::milliseconds(500);

    Shared& shared_;
    SegmentLog log_;
    Compactor compactor_;

    std::mutex mutex_;  ///< Of the six that follow.
    std::condition_variable wake_;
    std::deque<std::unique_ptr<Operation>> queue_;
    std::size_t adding_ = 0;  ///< Batches that add mail, taken and not answered.
    bool due_changed_ = false;
    bool refusing_ = false;
    bool stopping_ = false;

    // The writer's thread alone:
    std::deque<std::unique_ptr<Operation>> backlog_;
    std::optional<Failure> no_segment_;  ///< Why there is none.
    std::optional<Failure> no_room_;     ///< Why nothing but outcomes is taken.
    bool told_ = false;                  ///< Of a failure, and of no recovery yet.
    bool space_low_ = false;             ///< Likewise, of free space below the reserve.
    Clock::time_point next_try_{};       ///< While there is no segment or no room.
    Clock::time_point next_watch_{};
    Clock::time_point space_seen_{};
    Clock::time_point next_spare_{};
    unsigned groups_since_compaction_ = 0;
    std::atomic<bool> making_spare_{false};

    std::optional<Bodies> bodies_;
    std::thread thread_;
};

}  // namespace postern::relay::spool
