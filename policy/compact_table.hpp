#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace postern::policy {

/// A finaliser (of MurmurHash3) that spreads all bits of a key.
[[nodiscard]] constexpr std::uint64_t spread(std::uint64_t key) noexcept {
    key ^= key >> 33U;
    key *= 0xff51afd7ed558ccdULL;
    key ^= key >> 33U;
    key *= 0xc4ceb9fe1a85ec53ULL;
    return key ^ key >> 33U;
}

/// Slots with a `std::uint64_t key` (0: empty) side by side in one block of memory: open
/// addressing, linear probing, never more than `max` of them. Each insertion looks at a few slots
/// in turn, as a clock's hand goes round, and forgets those of no worth; at the bound the least
/// worthy of those looked at goes as well. Pointers stay valid until the next get() or erase().
/// `seed` keeps strangers from choosing keys that meet. Not thread-safe.
template <typename Slot>
class CompactTable {
  public:
    CompactTable(std::size_t max, std::uint64_t seed) noexcept
        : max_(std::max<std::size_t>(max, 1)), seed_(seed) {}

    [[nodiscard]] const Slot* find(std::uint64_t key) const noexcept {
        if (slots_.empty()) return nullptr;
        for (std::size_t at = home(key);; at = after(at)) {
            if (slots_[at].key == key) return &slots_[at];
            if (slots_[at].key == 0) return nullptr;
        }
    }
    [[nodiscard]] Slot* find(std::uint64_t key) noexcept {
        return const_cast<Slot*>(std::as_const(*this).find(key));
    }

    /// The slot of `key`, made where there is none. `worth(const Slot&)` is an integer; 0 or less:
    /// nothing is lost by forgetting it. `forget(Slot&)` is called before a slot goes.
    template <typename Worth, typename Forget>
    [[nodiscard]] Slot& get(std::uint64_t key, Worth&& worth, Forget&& forget) {
        if (Slot* const found = find(key)) return *found;
        sweep(worth, forget);
        if ((size_ + 1) * 8 > slots_.size() * 7) grow();
        Slot& made = place(key);
        made.key = key;
        ++size_;
        return made;
    }
    template <typename Worth>
    [[nodiscard]] Slot& get(std::uint64_t key, Worth&& worth) {
        return get(key, std::forward<Worth>(worth), [](Slot&) {});
    }

    void erase(std::uint64_t key) noexcept {
        if (const Slot* const found = find(key))
            erase_at(static_cast<std::size_t>(found - slots_.data()));
    }

    template <typename Seen>
    void for_each(Seen&& seen) const {
        for (const Slot& slot : slots_) {
            if (slot.key != 0) seen(slot);
        }
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Octets of the block.
    [[nodiscard]] std::size_t octets() const noexcept { return slots_.capacity() * sizeof(Slot); }

  private:
    static constexpr std::size_t smallest = 16;
    static constexpr std::size_t looked_at = 2;
    static constexpr std::size_t looked_at_when_full = 16;

    [[nodiscard]] std::size_t home(std::uint64_t key) const noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::size_t>(static_cast<Wide>(spread(key ^ seed_)) * slots_.size() >>
                                        64U);
    }
    [[nodiscard]] std::size_t after(std::size_t at) const noexcept {
        return at + 1 == slots_.size() ? 0 : at + 1;
    }
    [[nodiscard]] std::size_t distance(std::size_t from, std::size_t to) const noexcept {
        return to >= from ? to - from : to + slots_.size() - from;
    }

    [[nodiscard]] Slot& place(std::uint64_t key) noexcept {
        std::size_t at = home(key);
        while (slots_[at].key != 0) at = after(at);
        return slots_[at];
    }

    /// To twice the size, but no further than the bound asks for.
    void grow() {
        const std::size_t most = max_ * 8 / 7 + 2;
        std::vector<Slot> old(
            std::min(std::max(slots_.size() * 2, smallest), std::max(most, smallest)));
        old.swap(slots_);
        hand_ = 0;
        for (Slot& slot : old) {
            if (slot.key != 0) place(slot.key) = std::move(slot);
        }
    }

    /// Closes the gap: what stands behind it and belongs before moves up.
    void erase_at(std::size_t gap) noexcept {
        for (std::size_t at = after(gap); slots_[at].key != 0; at = after(at)) {
            if (distance(home(slots_[at].key), at) < distance(gap, at)) continue;
            slots_[gap] = std::move(slots_[at]);
            gap = at;
        }
        slots_[gap] = Slot{};
        --size_;
    }

    template <typename Worth, typename Forget>
    void sweep(Worth&& worth, Forget&& forget) {
        if (slots_.empty()) return;
        std::uint64_t least = 0;
        auto least_worth = std::numeric_limits<std::int64_t>::max();
        const bool full = size_ >= max_;
        for (std::size_t looks = full ? looked_at_when_full : looked_at; looks > 0; --looks) {
            if (hand_ >= slots_.size()) hand_ = 0;
            Slot& slot = slots_[hand_];
            if (slot.key == 0) {
                ++hand_;
                continue;
            }
            const auto w = static_cast<std::int64_t>(worth(std::as_const(slot)));
            if (w <= 0) {
                forget(slot);
                erase_at(hand_);  // Another may stand here now: it is looked at next.
                continue;
            }
            if (w < least_worth) {
                least_worth = w;
                least = slot.key;
            }
            ++hand_;
        }
        while (size_ >= max_) {
            if (Slot* const found = least == 0 ? nullptr : find(least)) {
                forget(*found);
                erase_at(static_cast<std::size_t>(found - slots_.data()));
                return;
            }
            // Every slot looked at was empty: go on to the next that is not.
            if (hand_ >= slots_.size()) hand_ = 0;
            least = slots_[hand_++].key;
        }
    }

    std::size_t max_;
    std::uint64_t seed_;
    std::vector<Slot> slots_;
    std::size_t size_ = 0;
    std::size_t hand_ = 0;
};

}  // namespace postern::policy
