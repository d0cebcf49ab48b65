#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "relay/spool/ledger.hpp"

namespace postern::relay::spool {

/// What went wrong with the disk, and where.
struct Failure {
    SpoolError kind = SpoolError::write;  ///< full, write or sync
    std::string path;
    boost::system::error_code cause;
};
[[nodiscard]] Failure write_failure(std::string path, boost::system::error_code cause);
[[nodiscard]] Failure sync_failure(std::string path, boost::system::error_code cause);

[[nodiscard]] std::string segment_path(const std::string& directory, std::uint32_t number);
[[nodiscard]] std::optional<std::uint32_t> segment_number(std::string_view name);

/// Where a log goes on: what recovery found.
struct LogEnd {
    std::uint32_t last_number = 0;  ///< The highest number that any file has.
    SegmentPtr previous;            ///< The newest segment that counts; null: none.
    std::uint64_t next_sequence = 1;
    std::uint64_t spare = 0;  ///< Octets of the spare file that is there; 0: none.
};

/// The writing end of the log. All but make_spare() is for the writer's thread.
///
/// Groups of frames go to the current segment, each into blocks of its own, each synced before the
/// next. After any failed write or sync of frames the segment is sealed at the last group that was
/// answered and never written again; the header of the next one says so, durably, before anything
/// else is answered.
class SegmentLog {
  public:
    struct Settings {
        std::string path;
        std::uint64_t segment_size = 0;
        std::uint64_t chunk = 0;  ///< By how much a segment is allocated and zeroed ahead.
        std::function<std::uint64_t()> random;
    };
    SegmentLog(FileSystem& fs, Settings settings, LogEnd end);

    /// Opens the next segment and seals the one before it. On success current() is new, and in no
    /// ledger yet.
    [[nodiscard]] std::optional<Failure> open_next(const std::vector<std::string>& frozen);
    /// Null while there is none that may be written.
    [[nodiscard]] const SegmentPtr& current() const noexcept { return current_; }

    /// Whether a group of this size belongs into the next segment.
    [[nodiscard]] bool wants_next(std::uint64_t octets) const noexcept;
    /// Makes sure that a group of this size has allocated blocks to go to.
    [[nodiscard]] std::optional<Failure> make_room(std::uint64_t octets);
    /// Octets that are kept free for outcomes, should the disk be full; the spare segment is for
    /// them, too.
    [[nodiscard]] std::uint64_t ballast() const noexcept {
        return has_spare() ? settings_.chunk / 8 : settings_.chunk / 2;
    }
    /// Octets that a group may have without more allocation.
    [[nodiscard]] std::uint64_t room() const noexcept;
    /// Allocates ahead where little is left; false: nothing was to be done.
    bool extend_ahead();

    /// Where the next group begins.
    [[nodiscard]] std::uint64_t group_offset() const noexcept;
    /// Writes the frames as one group and syncs.
    [[nodiscard]] std::optional<Failure> append(std::span<FrameBuilder* const> frames);
    /// Writes, without a sync, the proof that the last group was answered: the next group's first,
    /// empty frame.
    void mark_answered();
    /// Whether that is still to be done.
    [[nodiscard]] bool wants_mark() const noexcept { return current_ && !mark_at_; }
    /// Makes that proof durable; for the end.
    void sync_mark();

    /// Allocates the file that the next segment will be. Blocks long: for another thread, one call
    /// at a time.
    void make_spare();
    [[nodiscard]] bool has_spare() const noexcept { return spare_.load(); }

  private:
    /// An empty file.
    [[nodiscard]] boost::system::result<std::unique_ptr<File>> make(const std::string& path) const;
    [[nodiscard]] boost::system::error_code allocate(File& file, std::uint64_t from,
                                                     std::uint64_t octets) const;
    [[nodiscard]] std::optional<Failure> open_as(const std::string& from, const std::string& to,
                                                 const SegmentHeader& header,
                                                 const std::vector<std::string>& frozen);
    void seal();
    void trim_previous();

    FileSystem& fs_;
    Settings settings_;
    SegmentPtr current_;
    SegmentPtr previous_;
    std::uint32_t last_number_;
    std::uint64_t sequence_;  ///< Of the next frame.
    std::uint64_t at_ = 0;    ///< End of what is written.
    std::uint64_t allocated_ = 0;
    std::optional<std::uint64_t> mark_at_;
    std::string mark_;              ///< The frame there.
    bool cannot_extend_ = false;    ///< Until the next try that a group forces.
    bool previous_failed_ = false;  ///< A write or sync of it: not to be trusted, not even trimmed.
    std::atomic<bool> spare_{false};
};

}  // namespace postern::relay::spool
