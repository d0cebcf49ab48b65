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

result<std::string> account_name(std::string_view text) {
    const std::optional<std::string> prepared = saslprep(text, PrepUse::stored);
    if (!prepared || !proto::parse_mailbox(*prepared, true)) return AuthError::invalid_name;
    return proto::normalised_address(*prepared);
}

const std::string* mode_of(const AccountRecord& account, const std::string& rule) {
    for (const auto* rules : {&account.rules, &account.customer_rules}) {
        if (const auto at = rules->find(rule); at != rules->end()) return &at->second;
    }
    return nullptr;
}

bool Credential::same_proof(const Credential& other) const noexcept {
    if (kind != other.kind || certificate != other.certificate || source != other.source ||
        listener != other.listener)
        return false;
    if (verifier == other.verifier && crypt == other.crypt) return true;
    // A password that is set anew is a new row, with a time of its own.
    return !crypt.empty() && other.crypt.empty() && other.verifier && id == other.id &&
           created == other.created;
}

const Credential* find_credential(const AccountRecord& account, std::string_view name) noexcept {
    const auto at = std::ranges::find(account.credentials, name, &Credential::name);
    return at != account.credentials.end() ? &*at : nullptr;
}

const Verifier* shared_verifier(const AccountRecord& account) noexcept {
    const auto at = std::ranges::find_if(
        account.credentials, [](const Credential& c) { return c.verifier.has_value(); });
    return at != account.credentials.end() ? &*at->verifier : nullptr;
}

bool has_bare_crypt(const AccountRecord& account) noexcept {
    return std::ranges::any_of(account.credentials,
                               [](const Credential& c) { return !c.crypt.empty() && !c.verifier; });
}

bool may_act_as(const AccountRecord& account, std::string_view name) noexcept {
    return name == account.name || holds(account.authzids, name);
}

}  // namespace postern::auth
