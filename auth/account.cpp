#include "auth/account.hpp"

#include <algorithm>

#include "auth/saslprep.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

void sort_unique(std::vector<std::string>& names) {
    std::ranges::sort(names);
    const auto rest = std::ranges::unique(names);
    names.erase(rest.begin(), rest.end());
}

/// `local` followed by `@domain`, compared with a whole address without joining the two.
struct Joined {
    std::string_view local;
    std::string_view at_domain;
};

int compare(std::string_view whole, const Joined& joined) noexcept {
    const std::string_view head = whole.substr(0, joined.local.size());
    if (const int order = head.compare(joined.local); order != 0) return order;
    return whole.substr(head.size()).compare(joined.at_domain);
}

bool holds(const std::vector<std::string>& sorted, const Joined& wanted) noexcept {
    const auto at = std::ranges::partition_point(
        sorted, [&](const std::string& name) { return compare(name, wanted) < 0; });
    return at != sorted.end() && compare(*at, wanted) == 0;
}

bool holds(const std::vector<std::string>& sorted, std::string_view wanted) noexcept {
    return std::ranges::binary_search(sorted, wanted, std::less<>{});
}

}  // namespace

std::vector<std::string> Owned::texts() const {
    std::vector<std::string> out;
    if (everything) out.emplace_back("*");
    out.insert(out.end(), addresses.begin(), addresses.end());
    out.insert(out.end(), domains.begin(), domains.end());
    return out;
}

result<Owned> parse_owned(const std::vector<std::string>& texts) {
    Owned owned;
    for (const std::string& text : texts) {
        if (text == "*") {
            owned.everything = true;
            continue;
        }
        const std::optional<std::string> prepared = saslprep(text, PrepUse::stored);
        if (!prepared) return AuthError::invalid_owned;
        const std::size_t at = prepared->rfind('@');
        if (at != std::string::npos && at != 0) {
            if (!proto::parse_mailbox(*prepared, true)) return AuthError::invalid_owned;
            owned.addresses.push_back(proto::normalised_address(*prepared));
            continue;
        }
        const std::string domain = prepared->substr(at == 0 ? 1 : 0);
        if (!proto::parse_mailbox("x@" + domain, true)) return AuthError::invalid_owned;
        owned.domains.push_back(proto::normalised_domain(domain));
    }
    sort_unique(owned.addresses);
    sort_unique(owned.domains);
    return owned;
}

bool owns(const AccountRecord& account, std::string_view address) noexcept {
    if (address.empty()) return false;
    if (account.owned.everything) return true;
    // The domain holds no @; a quoted local part may.
    const std::size_t at = address.rfind('@');
    if (at == std::string_view::npos) return holds(account.owned.addresses, address);
    const std::string_view local = address.substr(0, at);
    const std::string_view at_domain = address.substr(at);
    if (holds(account.owned.domains, at_domain.substr(1))) return true;
    if (holds(account.owned.addresses, address)) return true;
    const std::size_t plus = local.find('+');
    if (plus == std::string_view::npos || plus == 0) return false;
    return holds(account.owned.addresses, Joined{local.substr(0, plus), at_domain});
}

bool may_act_as(const AccountRecord& account, std::string_view name) noexcept {
    return name == account.name || holds(account.authzids, name);
}

}  // namespace postern::auth
