#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "relay/spool/record.hpp"
#include "relay/spool/shared.hpp"

namespace postern::relay::spool {

/// Where an entry's records are, and what the ledger knows of it: taken under the lock, read
/// without it. The segments stay readable, though compaction may remove them meanwhile.
struct Located {
    SegmentPtr segment;
    SegmentPtr state_segment;  ///< Null: no state record.
    IndexEntry entry;
    EntryState shown = EntryState::ready;
    std::string account;
    std::string customer;
    std::string upstream;
    std::vector<std::uint32_t> settled;
};
/// Under the lock.
[[nodiscard]] Located locate(const Ledger& ledger, Handle h);

struct Details {
    EntryRecord record;
    std::optional<StateRecord> state;
};
/// Error: damaged, or what the disk says.
[[nodiscard]] boost::system::result<Details> read_details(const Located& located);

/// A record with its check, which is right. Error: damaged, or what the disk says.
[[nodiscard]] boost::system::result<std::string> read_record(const Segment& segment, Place place);

/// For a list. Without details: as much as the ledger knows.
[[nodiscard]] EntryInfo info_of(const Located& located, const Details* details);

/// The body's octets, whose check is right. Error: damaged, or what the disk says.
[[nodiscard]] boost::system::result<std::shared_ptr<const std::string>> read_body(
    FileSystem& fs, const Layout& layout, const Located& located, const BodyPlace& body);

}  // namespace postern::relay::spool
