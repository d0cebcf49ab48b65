#include "relay/message.hpp"

namespace postern::relay {

std::vector<std::string_view> Message::pieces() const {
    std::vector<std::string_view> out;
    out.reserve(body.slices().size() + removals.size() + 1);
    if (!prefix.empty()) out.emplace_back(prefix);
    std::uint64_t at = 0;
    auto cut = removals.begin();
    for (std::string_view slice : body.slices()) {
        while (!slice.empty()) {
            while (cut != removals.end() && cut->offset + cut->length <= at) ++cut;
            if (cut == removals.end() || cut->offset >= at + slice.size()) {
                out.push_back(slice);
                at += slice.size();
                break;
            }
            if (cut->offset > at) {
                const auto keep = static_cast<std::size_t>(cut->offset - at);
                out.push_back(slice.substr(0, keep));
                slice.remove_prefix(keep);
                at += keep;
            }
            const auto left = static_cast<std::size_t>(cut->offset + cut->length - at);
            const std::size_t skip = left < slice.size() ? left : slice.size();
            slice.remove_prefix(skip);
            at += skip;
        }
    }
    return out;
}

std::uint64_t Message::size() const noexcept {
    std::uint64_t n = prefix.size() + body.size();
    for (const auto& cut : removals) n -= cut.length;
    return n;
}

}  // namespace postern::relay
