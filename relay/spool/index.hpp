#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "relay/spool/record.hpp"

namespace postern::relay::spool {

using Handle = std::uint32_t;
constexpr Handle no_handle = UINT32_MAX;

/// An entry's id, in place: a million of them are no million allocations.
class Id {
  public:
    Id() = default;
    explicit Id(std::string_view text) noexcept;
    [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

  private:
    std::array<char, max_id> text_{};
    std::uint8_t size_ = 0;
};

/// Where a record is, its check included.
struct Place {
    std::uint32_t segment = 0;  ///< 0: none.
    std::uint32_t offset = 0;
    std::uint32_t length = 0;
    bool operator==(const Place&) const = default;
};

/// Where an entry is for the scheduler.
enum class Slot : std::uint8_t { none, waiting, due, active };

/// What is kept in memory of an entry: 128 octets. The rest is read from disk on demand.
struct IndexEntry {
    Id id;
    Place record;              ///< An inline body is right behind it.
    Place state;               ///< The last state record, if there is one.
    std::int64_t created = 0;  ///< As on disk.
    std::int64_t next = 0;     ///< Next attempt, as on disk.
    std::uint64_t bytes = 0;
    std::uint64_t settled = 0;  ///< Bits of the first 64 recipients.
    std::uint32_t account = 0;  ///< Interned, as the two below.
    std::uint32_t customer = 0;
    std::uint32_t upstream = 0;
    std::uint32_t recipients = 0;
    std::uint32_t attempts = 0;
    std::uint32_t heap_at = 0;
    Handle due_before = no_handle;
    Handle due_after = no_handle;
    EntryState base = EntryState::ready;  ///< Its state, less activity, holding and freezing:
                                          ///< never active, held or frozen.
    Slot slot = Slot::none;
    BodyPlace::Kind body = BodyPlace::Kind::in_segment;
    bool used = false;
    bool dsn = false;
    bool ending = false;    ///< Being dropped: nobody takes it.
    bool held = false;      ///< By an operator.
    bool rerouted = false;  ///< To `upstream`, by an operator.
};
static_assert(sizeof(IndexEntry) <= 136);

/// Numbers for names that come again and again. They are never forgotten: there are as many as
/// accounts, customers, upstreams, and reasons of operators. 0 is the empty name.
class Names {
  public:
    Names();
    [[nodiscard]] std::uint32_t intern(std::string_view text);
    [[nodiscard]] std::optional<std::uint32_t> find(std::string_view text) const;
    [[nodiscard]] const std::string& text(std::uint32_t number) const { return texts_[number]; }

  private:
    std::deque<std::string> texts_;
    std::unordered_map<std::string_view, std::uint32_t> numbers_;
};

/// All entries, by handle and by id. No lock of its own.
class Index {
  public:
    Index();
    Index(const Index&) = delete;
    Index& operator=(const Index&) = delete;

    [[nodiscard]] Handle find(std::string_view id) const;
    /// A new one, of which only the id is set. The id must be new.
    Handle add(std::string_view id);
    void erase(Handle h);

    [[nodiscard]] IndexEntry& operator[](Handle h) { return entries_[h]; }
    [[nodiscard]] const IndexEntry& operator[](Handle h) const { return entries_[h]; }
    /// Handles are below it; those that are not `used` are no entries.
    [[nodiscard]] Handle bound() const noexcept { return static_cast<Handle>(entries_.size()); }
    [[nodiscard]] std::size_t size() const noexcept { return by_id_.size(); }

    void settle(Handle h, std::uint32_t recipient);
    [[nodiscard]] bool settled(Handle h, std::uint32_t recipient) const;
    [[nodiscard]] std::vector<std::uint32_t> settled_list(Handle h) const;
    void forget_settled(Handle h);

    /// Why it is held; empty where it is not.
    [[nodiscard]] const std::string& reason(Handle h) const;
    void set_reason(Handle h, std::string_view reason);

    Names names;

  private:
    struct Hash {
        using is_transparent = void;
        const std::deque<IndexEntry>* entries;
        std::size_t operator()(Handle h) const noexcept;
        std::size_t operator()(std::string_view id) const noexcept;
    };
    struct Equal {
        using is_transparent = void;
        const std::deque<IndexEntry>* entries;
        bool operator()(Handle a, Handle b) const noexcept { return a == b; }
        bool operator()(std::string_view a, Handle b) const noexcept;
        bool operator()(Handle a, std::string_view b) const noexcept;
    };

    std::deque<IndexEntry> entries_;
    std::vector<Handle> free_;
    boost::unordered_flat_set<Handle, Hash, Equal> by_id_;
    boost::unordered_flat_map<Handle, std::vector<bool>>
        many_settled_;                                          ///< Recipients from the 64th on.
    boost::unordered_flat_map<Handle, std::uint32_t> reasons_;  ///< Of what is held; interned.
};

}  // namespace postern::relay::spool
