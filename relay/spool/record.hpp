#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/spool/spool.hpp"

namespace postern::relay::spool {

/// What a record of a frame is. The numbers are on disk.
enum class RecordType : std::uint32_t {
    opening = 1,  ///< First of each segment.
    entry = 2,    ///< A new entry's envelope; its inline body is the next record.
    body = 3,     ///< Octets of a message.
    moved = 4,    ///< An entry copied by compaction; its body and state follow.
    state = 5,    ///< All that changed of an entry since it was made: the last one counts.
    end = 6,      ///< The entry is gone.
    frozen = 7,   ///< All accounts that are frozen: the last one counts.
};

/// Every record begins with the CRC-32C of the rest of it.
constexpr std::size_t record_check_size = 4;

/// Where an entry's body is.
struct BodyPlace {
    enum class Kind : std::uint8_t { in_segment = 0, file = 1, lost = 2 };
    Kind kind = Kind::in_segment;
    std::uint64_t size = 0;   ///< Octets of the message.
    std::uint32_t check = 0;  ///< CRC-32C of a file.
};

struct EntryRecord {
    NewEntry entry;  ///< Without pieces.
    BodyPlace body;
};

struct StateRecord {
    std::string id;
    std::vector<std::uint32_t> settled;       ///< Indices of recipients, rising.
    EntryState state = EntryState::deferred;  ///< Beneath a hold, if there is one.
    WallTime next_attempt;
    std::uint32_t attempts = 0;
    std::string upstream;
    std::string last_reply;
    std::string reason;  ///< Of a hold or of damage.
    bool delay_notified = false;
    bool held = false;
    bool rerouted = false;
};

struct EndRecord {
    std::string id;
    std::uint32_t segment = 0;  ///< Where the entry that ends was.
    std::string reason;
};

struct OpeningRecord {
    std::uint32_t segment = 0;      ///< Its own number.
    std::uint32_t seals = 0;        ///< The segment written before; 0: none.
    std::uint64_t sealed_size = 0;  ///< Nothing in it counts from there on.
    std::vector<std::string> frozen;
};

/// Whether an id may be used: it becomes a file's name.
[[nodiscard]] bool valid_id(std::string_view id) noexcept;
constexpr std::size_t max_id = 31;

// Each appends one record, its check included.
void encode_entry(const NewEntry& entry, const BodyPlace& body, std::string& out);
void encode_state(const StateRecord& state, std::string& out);
void encode_end(const EndRecord& end, std::string& out);
void encode_opening(const OpeningRecord& opening, std::string& out);
void encode_frozen(const std::vector<std::string>& accounts, std::string& out);

/// The record without its check; unset where that does not match.
[[nodiscard]] std::optional<std::string_view> checked(std::string_view record) noexcept;

// Each takes a record with its check; unset: damaged.
[[nodiscard]] std::optional<EntryRecord> decode_entry(std::string_view record);
[[nodiscard]] std::optional<StateRecord> decode_state(std::string_view record);
[[nodiscard]] std::optional<EndRecord> decode_end(std::string_view record);
[[nodiscard]] std::optional<OpeningRecord> decode_opening(std::string_view record);
[[nodiscard]] std::optional<std::vector<std::string>> decode_frozen(std::string_view record);

/// The id in a damaged entry, state or end record, where it can still be read; else empty.
[[nodiscard]] std::string id_of_damaged(std::string_view record);

[[nodiscard]] std::int64_t to_disk(WallTime t) noexcept;  ///< Microseconds since the epoch.
[[nodiscard]] WallTime from_disk(std::int64_t us) noexcept;

}  // namespace postern::relay::spool
