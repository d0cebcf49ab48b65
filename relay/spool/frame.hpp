#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/spool/file.hpp"
#include "relay/spool/record.hpp"

namespace postern::relay::spool {

// A segment is a header block and then frames. A frame is a batch: header, table of its records,
// records. The first eight octets of a frame are the segment's mark, a random number that nobody
// outside knows: no octets inside a message can be taken for a frame. README.md has the layout.

/// 2: an entry may name its source, a state how it is held and routed. 1 is read as it is.
constexpr std::uint32_t format_version = 2;
constexpr std::uint32_t oldest_version = 1;
[[nodiscard]] constexpr bool known_version(std::uint32_t version) noexcept {
    return version >= oldest_version && version <= format_version;
}
/// A group of frames never shares a block with an answered one.
constexpr std::uint64_t block = file_block;
constexpr std::uint64_t first_frame = block;
constexpr std::size_t frame_header_size = 40;
constexpr std::size_t table_entry_size = 8;
constexpr std::uint64_t max_frame = 1U << 30U;

[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t to) noexcept {
    return (n + to - 1) / to * to;
}

struct SegmentHeader {
    std::uint32_t version = format_version;
    std::uint32_t segment = 0;
    std::uint64_t mark = 0;
    std::uint64_t first_sequence = 0;
    std::uint32_t seals = 0;  ///< As in OpeningRecord; numbers between it and this one are void.
    std::uint64_t sealed_size = 0;
};

/// The header block, with the header in it twice.
[[nodiscard]] std::string encode_header(const SegmentHeader& header);
/// From a header block. Only `version` is set where it is not ours. Unset: damaged.
[[nodiscard]] std::optional<SegmentHeader> decode_header(std::string_view header_block);

/// One frame in the making. Bodies are referred to, not copied.
class FrameBuilder {
  public:
    void add(RecordType type, std::string record);
    /// A body; its octets must live until the frame is written.
    void add_body(std::span<const std::string_view> pieces);

    [[nodiscard]] std::size_t records() const noexcept { return records_.size(); }
    [[nodiscard]] std::uint64_t size() const noexcept;  ///< With header, table and padding.
    /// Where the n-th record begins, in octets from the frame's start.
    [[nodiscard]] std::uint64_t record_offset(std::size_t n) const noexcept;
    [[nodiscard]] std::uint32_t record_length(std::size_t n) const noexcept {
        return records_[n].length;
    }

    struct Position {
        std::uint64_t mark = 0;
        std::uint64_t sequence = 0;
        std::uint64_t offset = 0;
        std::uint64_t group_start = 0;
        std::uint32_t ordinal = 0;  ///< In its group.
    };
    /// Makes the header for this position and appends the frame's octets to `out`; they live in
    /// this object.
    void finish(const Position& at, std::vector<std::string_view>& out);

  private:
    struct Record {
        RecordType type;
        std::uint32_t length;
        std::string octets;
        std::span<const std::string_view> pieces;
    };
    std::vector<Record> records_;
    std::uint64_t payload_ = 0;
    std::string head_;
};

struct ScannedRecord {
    RecordType type = RecordType::entry;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    bool intact = false;
    std::string octets;  ///< With its check; of a body: empty.
};

struct ScannedFrame {
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
    std::uint64_t sequence = 0;
    std::uint64_t group_start = 0;
    std::uint64_t group_sequence = 0;  ///< Of the group's first frame.
    std::vector<ScannedRecord> records;

    [[nodiscard]] bool intact() const noexcept;
};

/// Walks a segment from frame to frame, over whatever is no frame. Memory: a window of 1 MiB, or
/// the longest record that is not a body. Unreadable blocks read as zero.
class Scanner {
  public:
    enum class Depth : std::uint8_t { headers, records };

    /// Looks at [from, limit) of `file`, which must outlive it.
    Scanner(const File& file, std::uint64_t mark, std::uint64_t from, std::uint64_t limit,
            Depth depth);
    /// The next frame whose header and table are whole; unset at the end.
    [[nodiscard]] std::optional<ScannedFrame> next();

  private:
    [[nodiscard]] std::optional<ScannedFrame> frame_at(std::uint64_t offset);
    [[nodiscard]] std::uint64_t next_mark(std::uint64_t from);
    void read_record(ScannedRecord& record);
    [[nodiscard]] std::string_view view(std::uint64_t offset, std::size_t n);

    const File& file_;
    std::uint64_t mark_;
    std::uint64_t at_;
    std::uint64_t limit_;
    Depth depth_;
    std::string window_;
    std::uint64_t window_at_ = 0;
};

/// Reads [offset, offset + n), less what lies behind the end; unreadable blocks as zero.
[[nodiscard]] std::string read_what_can_be(const File& file, std::uint64_t offset, std::size_t n);

/// The mark of a segment whose header block is lost, if its opening frame is whole; and that
/// frame's record.
struct Opening {
    std::uint64_t mark = 0;
    std::uint64_t sequence = 0;
    OpeningRecord record;
};
[[nodiscard]] std::optional<Opening> find_opening(const File& file, std::uint64_t size);

}  // namespace postern::relay::spool
