#include "relay/body.hpp"

namespace postern::relay {

void Body::append(std::string_view bytes, const std::shared_ptr<const void>& owner) {
    if (bytes.empty()) return;
    size_ += bytes.size();
    if (owner && (owners_.empty() || owners_.back() != owner)) owners_.push_back(owner);
    if (owner && !slices_.empty()) {
        std::string_view& last = slices_.back();
        if (last.data() + last.size() == bytes.data()) {
            last = std::string_view(last.data(), last.size() + bytes.size());
            return;
        }
    }
    slices_.push_back(bytes);
}

void Body::clear() noexcept {
    slices_.clear();
    owners_.clear();
    size_ = 0;
}

}  // namespace postern::relay
