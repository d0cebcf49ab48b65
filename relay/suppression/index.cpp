#include "relay/suppression/index.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <limits>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "auth/digest.hpp"
#include "proto/address.hpp"

namespace postern::relay::suppression {

namespace {

// By hand, the hard bounces, and whatever else a store may hold.
constexpr std::array<std::string_view, 8> codes{"",      "5.1.1",  "5.1.2", "5.1.3",
                                                "5.1.6", "5.1.10", "5.2.1", "5.0.0"};

std::uint8_t code_of(std::string_view enhanced) noexcept {
    const auto at = std::ranges::find(codes, enhanced);
    return static_cast<std::uint8_t>(
        at == codes.end() ? codes.size() - 1 : static_cast<std::size_t>(at - codes.begin()));
}

std::int64_t seconds_of(WallTime t) noexcept {
    return std::chrono::floor<std::chrono::seconds>(t).time_since_epoch().count();
}

std::uint32_t packed(std::int64_t seconds) noexcept {
    return static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(seconds, 1, std::numeric_limits<std::uint32_t>::max()));
}

WallTime unpacked(std::uint32_t seconds) noexcept {
    return WallTime(std::chrono::seconds(seconds));
}

std::uint64_t word_of(const auth::Digest& digest, std::size_t place) noexcept {
    std::uint64_t out = 0;
    std::memcpy(&out, digest.data() + place * sizeof out, sizeof out);
    return out;
}

/// No customer's name is an account's: those have an @.
std::string_view list_name(const Owner& owner) noexcept {
    return owner.customer.empty() ? owner.account : owner.customer;
}

std::string tagged(const Owner& owner) {
    std::string out(1, owner.customer.empty() ? 'a' : 'c');
    out += list_name(owner);
    out += '\0';
    return out;
}

bool expired(std::uint32_t until, std::int64_t now) noexcept {
    return until != 0 && until <= now;
}

}  // namespace

std::string normalised_rcpt(std::string_view rcpt) {
    const auto address = proto::parse_mailbox(rcpt, true);
    return address ? address->normalised() : std::string();
}

bool is_hard_bounce(std::string_view enhanced) noexcept {
    const auto hard = std::span(codes).subspan(1, codes.size() - 2);
    return std::ranges::find(hard, enhanced) != hard.end();
}

std::uint64_t owner_key(const Owner& owner) {
    return word_of(auth::sha256(tagged(owner)), 0);
}

Key key_of(const Owner& owner, std::string_view normalised) {
    std::string text = tagged(owner);
    const std::uint64_t whose = word_of(auth::sha256(text), 0);
    text += normalised;
    const auth::Digest digest = auth::sha256(text);
    return {.place = std::max<std::uint64_t>(word_of(digest, 0), 1),
            .proof = word_of(digest, 1),
            .owner = whose};
}

Index::Index(Bounds bounds, std::uint64_t seed) : bounds_(bounds) {
    // Hashes spread evenly: no part fills before the whole does.
    const std::size_t most = bounds.entries / part_count * 2 + 64;
    for (auto& part : parts_) part = std::make_unique<Part>(most, seed);
}

std::optional<Suppressed> Index::find(const Key& key, WallTime now) const {
    const Part& part = part_of(key);
    Slot slot;
    {
        const std::shared_lock lock(part.mutex);
        const Slot* const found = std::as_const(part.table).find(key.place);
        if (found == nullptr) return std::nullopt;
        slot = *found;
    }
    if (slot.proof != key.proof || expired(slot.until, seconds_of(now))) return std::nullopt;
    Suppressed out{.since = unpacked(slot.since),
                   .until = std::nullopt,
                   .enhanced = std::string(codes[slot.code]),
                   .ref = {}};
    if (slot.until != 0) out.until = unpacked(slot.until);
    return out;
}

Index::Put Index::put(const Key& key, Suppressed& what, WallTime now) {
    Part& part = part_of(key);
    const std::int64_t seconds = seconds_of(now);
    const std::unique_lock lock(part.mutex);
    Slot* slot = part.table.find(key.place);
    if (slot != nullptr && slot->proof != key.proof) return Put::full;  // Its place is taken.
    const bool there = slot != nullptr && !expired(slot->until, seconds);
    if (there && slot->until == 0 && what.until) return Put::kept;
    if (slot == nullptr) {
        if (size() >= bounds_.entries) return Put::full;
        if (const auto owned = part.of_owner.find(key.owner);
            owned != part.of_owner.end() && owned->second >= bounds_.of_owner / part_count + 1)
            return Put::full;
        slot = &part.table.get(
            key.place,
            [seconds](const Slot& one) {
                return one.until == 0 ? std::numeric_limits<std::int64_t>::max()
                                      : one.until - seconds;
            },
            [&](const Slot& one) { forget(part, one); });
        slot->proof = key.proof;
        slot->owner = key.owner;
        ++part.of_owner[key.owner];
        size_.fetch_add(1, std::memory_order_relaxed);
    }
    if (there && what.until) what.since = unpacked(slot->since);
    slot->since = packed(seconds_of(what.since));
    slot->until = what.until ? packed(seconds_of(*what.until) + 1) : 0;
    slot->code = code_of(what.enhanced);
    return there ? Put::renewed : Put::added;
}

void Index::forget(Part& part, const Slot& slot) noexcept {
    const auto owned = part.of_owner.find(slot.owner);
    if (owned != part.of_owner.end() && --owned->second == 0) part.of_owner.erase(owned);
    size_.fetch_sub(1, std::memory_order_relaxed);
}

void Index::erase(const Key& key) {
    Part& part = part_of(key);
    const std::unique_lock lock(part.mutex);
    const Slot* const slot = part.table.find(key.place);
    if (slot == nullptr || slot->proof != key.proof) return;
    forget(part, *slot);
    part.table.erase(key.place);
}

template <typename Which>
void Index::erase_if(Part& part, Which&& which) {
    const std::unique_lock lock(part.mutex);
    std::vector<std::uint64_t> gone;
    part.table.for_each([&](const Slot& slot) {
        if (!which(slot)) return;
        gone.push_back(slot.key);
        forget(part, slot);
    });
    for (const std::uint64_t key : gone) part.table.erase(key);
}

void Index::erase_owner(std::uint64_t owner) {
    for (const auto& part : parts_) {
        erase_if(*part, [owner](const Slot& slot) { return slot.owner == owner; });
    }
}

void Index::sweep(WallTime now) {
    const std::size_t next = next_part_.fetch_add(1, std::memory_order_relaxed) % part_count;
    erase_if(*parts_[next], [seconds = seconds_of(now)](const Slot& slot) {
        return expired(slot.until, seconds);
    });
}

std::size_t Index::octets() const {
    std::size_t out = 0;
    for (const auto& part : parts_) {
        const std::shared_lock lock(part->mutex);
        out += part->table.octets();
    }
    return out;
}

}  // namespace postern::relay::suppression
