#pragma once

#include "relay/spool/recovery.hpp"

namespace postern::relay::spool {

/// Applies one segment after the other to the ledger, as recovery finds them.
class Replay {
  public:
    Replay(FileSystem& fs, const Layout& layout, Ledger& ledger, const DamageReport& damaged)
        : fs_(fs), layout_(layout), ledger_(ledger), damaged_(damaged) {}

    /// A segment that is followed by another: all of it up to `limit` was answered.
    /// `next_sequence`: of the first frame after it, 0 where unknown.
    void sealed(Segment& segment, std::uint64_t first_sequence, std::uint64_t limit,
                std::uint64_t next_sequence);
    /// The newest: what its last group holds counts up to the first frame that is not whole.
    void newest(Segment& segment, std::uint64_t first_sequence, std::uint64_t limit);

    [[nodiscard]] std::uint64_t next_sequence() const noexcept { return expected_; }
    [[nodiscard]] bool anything_lost() const noexcept { return anything_lost_; }

  private:
    void answered_part(Segment& segment, std::uint64_t limit, std::uint64_t next_sequence);
    void last_group(Segment& segment, std::uint64_t from, std::uint64_t limit);
    void apply(Segment& segment, const ScannedFrame& frame);
    void apply_entry(Segment& segment, const ScannedFrame& frame, std::size_t n);
    void apply_state(Segment& segment, const ScannedRecord& record);
    void apply_end(Segment& segment, const ScannedRecord& record);
    void apply_frozen(Segment& segment, const ScannedRecord& record);
    void lost(Segment& segment, std::uint64_t from, std::uint64_t to);
    void lost_record(Segment& segment, const ScannedRecord& record, const std::string& id,
                     const std::string& why);

    FileSystem& fs_;
    const Layout& layout_;
    Ledger& ledger_;
    const DamageReport& damaged_;
    std::uint64_t expected_ = 0;
    bool anything_lost_ = false;
};

}  // namespace postern::relay::spool
