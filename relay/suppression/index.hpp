#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "policy/compact_table.hpp"
#include "relay/suppression/book.hpp"

namespace postern::relay::suppression {

/// The form in which recipients are compared and stored; empty where it is no mailbox with a
/// domain.
[[nodiscard]] std::string normalised_rcpt(std::string_view rcpt);
/// Whether a receiver that says so means that the recipient does not exist (RFC 3463 3.2, 3.3;
/// RFC 7505): 5.1.1, 5.1.2, 5.1.3, 5.1.6, 5.1.10, 5.2.1.
[[nodiscard]] bool is_hard_bounce(std::string_view enhanced) noexcept;

/// (owner, recipient) as 128 bits of a hash, and the owner alone: an owner is only ever swept out
/// by it.
struct Key {
    std::uint64_t place = 0;  ///< Never 0.
    std::uint64_t proof = 0;
    std::uint64_t owner = 0;
};
[[nodiscard]] std::uint64_t owner_key(const Owner& owner);
[[nodiscard]] Key key_of(const Owner& owner, std::string_view normalised);

/// Who is on which list, in memory: 40 octets an entry, in tables of at most twice what they hold.
/// Thread-safe: short locks, one of sixteen.
class Index {
  public:
    struct Bounds {
        std::size_t entries = 2'000'000;
        /// Of one owner, about: a list that grows without end pushes nobody out.
        std::size_t of_owner = 500'000;
    };
    enum class Put : std::uint8_t {
        added,
        renewed,  ///< It was there and holds for longer now.
        kept,     ///< It is there by hand, which bounces do not change.
        full,
    };

    /// `seed` keeps strangers from choosing recipients that meet.
    Index(Bounds bounds, std::uint64_t seed);

    /// Expired ones are not there. Times are whole seconds; `ref` is empty: the store has it.
    [[nodiscard]] std::optional<Suppressed> find(const Key& key, WallTime now) const;
    /// Puts `what` there. A bounce in place of another that holds still keeps the time since when,
    /// which is written into `what`.
    Put put(const Key& key, Suppressed& what, WallTime now);
    void erase(const Key& key);
    /// All of an owner.
    void erase_owner(std::uint64_t owner);
    /// Forgets what has expired in one of the sixteen parts; the next call goes on with the next.
    void sweep(WallTime now);

    [[nodiscard]] std::size_t size() const noexcept {
        return size_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::size_t octets() const;

  private:
    struct Slot {
        std::uint64_t key = 0;
        std::uint64_t proof = 0;
        std::uint64_t owner = 0;
        std::uint32_t since = 0;  ///< Seconds since 1970
        std::uint32_t until = 0;  ///< Likewise; 0: no end.
        std::uint8_t code = 0;    ///< Of the enhanced codes.
    };
    static constexpr std::size_t part_count = 16;
    struct Part {
        Part(std::size_t max, std::uint64_t seed) : table(max, seed) {}
        mutable std::shared_mutex mutex;
        policy::CompactTable<Slot> table;
        std::unordered_map<std::uint64_t, std::size_t> of_owner;
    };

    [[nodiscard]] Part& part_of(const Key& key) const noexcept {
        return *parts_[key.proof % part_count];
    }
    void forget(Part& part, const Slot& slot) noexcept;
    template <typename Which>
    void erase_if(Part& part, Which&& which);

    Bounds bounds_;
    std::array<std::unique_ptr<Part>, part_count> parts_;
    std::atomic<std::size_t> size_{0};
    std::atomic<std::size_t> next_part_{0};
};

}  // namespace postern::relay::suppression
