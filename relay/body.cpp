#include "relay/body.hpp"

#include <algorithm>
#include <cstring>

namespace postern::relay {

namespace {

constexpr std::size_t tail_octets = std::size_t{16} * 1024;

}  // namespace

void Body::append(std::string_view bytes, const std::shared_ptr<const void>& owner,
                  std::size_t owner_octets) {
    if (bytes.empty()) return;
    size_ += bytes.size();
    const bool kept = owner && owner.get() == last_owner_;
    if (kept && extend(bytes)) return;
    // The first piece keeps its block in any case: most small messages are one.
    if (bytes.size() < small_piece && !owners_.empty()) {
        gather(bytes);
        return;
    }
    if (owner && !kept) {
        owners_.push_back(owner);
        last_owner_ = owner.get();
        footprint_ += owner_octets;
    }
    slices_.push_back(bytes);
    footprint_ += sizeof(std::string_view);
}

void Body::gather(std::string_view bytes) {
    while (!bytes.empty()) {
        if (tail_room_ == 0) {
            std::shared_ptr<char[]> block(new char[tail_octets]);
            tail_ = block.get();
            tail_room_ = tail_octets;
            owners_.push_back(std::move(block));
            footprint_ += tail_octets;
        }
        const std::string_view part = bytes.substr(0, tail_room_);
        std::memcpy(tail_, part.data(), part.size());
        const std::string_view copy(tail_, part.size());
        tail_ += part.size();
        tail_room_ -= part.size();
        bytes.remove_prefix(part.size());
        if (!extend(copy)) {
            slices_.push_back(copy);
            footprint_ += sizeof(std::string_view);
        }
    }
}

/// Joins octets to the last slice where they follow it in memory.
bool Body::extend(std::string_view bytes) {
    if (slices_.empty()) return false;
    std::string_view& last = slices_.back();
    if (last.data() + last.size() != bytes.data()) return false;
    last = std::string_view(last.data(), last.size() + bytes.size());
    return true;
}

void Body::clear() noexcept {
    slices_.clear();
    owners_.clear();
    tail_ = nullptr;
    tail_room_ = 0;
    last_owner_ = nullptr;
    size_ = 0;
    footprint_ = 0;
}

}  // namespace postern::relay
