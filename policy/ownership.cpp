#include "policy/ownership.hpp"

#include <algorithm>
#include <functional>

namespace postern::policy {

bool Owned::has(const proto::Address& address) const {
    if (everything) return true;
    if (address.domain.empty()) return false;  // <postmaster> belongs to nobody here
    auto text = address.normalised();
    const auto is_own = [this](const std::string& which) {
        return which == account || std::ranges::binary_search(addresses, which);
    };
    if (is_own(text)) return true;
    const auto at = text.rfind('@');
    if (at == std::string::npos) return false;
    if (std::ranges::binary_search(domains, std::string_view(text).substr(at + 1), std::less<>{}))
        return true;
    // A quoted string holds what it likes: to a careless reader `"ann+x@other.example"` is another.
    if (address.local.starts_with('"')) return false;
    const auto plus = text.find('+');
    if (plus == std::string::npos || plus == 0 || plus > at) return false;
    text.erase(plus, at - plus);
    return is_own(text);
}

bool is_among(std::span<const std::string> list, const proto::Address& address) {
    const auto text = address.normalised();
    const auto at = text.rfind('@');
    const auto holds = [&](std::string_view which) {
        return std::ranges::binary_search(list, which, std::less<>{});
    };
    return holds(text) || (at != std::string::npos && holds(std::string_view(text).substr(at)));
}

}  // namespace postern::policy
