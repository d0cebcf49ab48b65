#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>

#include "relay/spool/frame.hpp"
#include "relay/spool/index.hpp"
#include "relay/spool/schedule.hpp"

namespace postern::relay::spool {

/// One file of the log. What is not const is under the ledger's lock.
struct Segment {
    const std::uint32_t number;
    const std::string path;
    const std::uint64_t mark;
    const std::unique_ptr<File> file;  ///< Written by the writer's thread alone.

    std::uint64_t size = 0;  ///< Octets that count: the end of its last durable frame.
    std::uint64_t live = 0;  ///< Octets of records that are still needed.
    /// How many end records it holds, by the segment of the entry that ended: as long as that one
    /// exists, the end record is needed, or the entry would rise again.
    std::map<std::uint32_t, std::uint32_t> ends;
    std::uint32_t seals = 0;  ///< The segment before, until that one is trimmed to what counts.
    /// Holds damage, or entries that have moved on: compacted before all others, and none of those
    /// goes before it.
    bool urgent = false;
};

/// Where a scanned record lies.
[[nodiscard]] inline Place place_of(const Segment& segment, const ScannedRecord& record) {
    return {segment.number, static_cast<std::uint32_t>(record.offset), record.length};
}
using SegmentPtr = std::shared_ptr<Segment>;

/// What the spool holds in memory: entries, their places, their order, and what each segment is
/// still needed for. No lock of its own.
class Ledger {
  public:
    Ledger() = default;

    Index index;
    Schedule schedule{index};
    std::map<std::uint32_t, SegmentPtr> segments;

    /// A new entry; its id is not there yet. It is not scheduled.
    Handle add(const NewEntry& entry, const BodyPlace& body, Place at);
    /// The entry's record (and inline body) are there now.
    void move(Handle h, Place at, BodyPlace::Kind body);
    /// The entry's state record is there now.
    void move_state(Handle h, Place at);
    /// The entry's state is what this record says. It is not scheduled anew.
    void set_state(Handle h, const StateRecord& record, Place at);
    /// Forgets the entry.
    void erase(Handle h);
    /// There is an end record in `segment` of an entry that was in `origin`.
    void note_end(std::uint32_t segment, std::uint32_t origin);
    /// A segment's file is gone for good.
    void forget_segment(std::uint32_t number);

    /// Schedules an entry that is not active by its state: due, waiting for its time, or neither.
    void arrange(Handle h);
    void set_frozen(std::string_view account, bool frozen);
    /// These accounts and no others, without scheduling anything anew.
    void restore_frozen(const std::vector<std::string>& accounts);
    [[nodiscard]] bool frozen(const IndexEntry& e) const { return frozen_.contains(e.account); }
    [[nodiscard]] std::vector<std::string> frozen_accounts() const;  ///< Sorted.
    /// The state as the world sees it: of what is frozen and held besides, that it is frozen.
    [[nodiscard]] EntryState shown(const IndexEntry& e) const;

  private:
    void count(Place at, std::uint64_t octets, int sign);
    [[nodiscard]] static std::uint64_t record_octets(const IndexEntry& e);

    std::unordered_set<std::uint32_t> frozen_;  ///< Accounts, interned.
};

}  // namespace postern::relay::spool
