#include "auth/token_authority.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace postern::auth {

std::size_t TokenAuthority::TagHash::operator()(const Digest& tag) const noexcept {
    std::size_t value = 0;
    std::memcpy(&value, tag.data(), sizeof value);
    return value;
}

TokenAuthority::TokenAuthority(Settings settings)
    : settings_(std::move(settings)), key_(32, '\0'), known_(settings_.entries) {
    settings_.random({reinterpret_cast<unsigned char*>(key_.data()), key_.size()});
}

TokenAuthority::~TokenAuthority() {
    wipe(key_.data(), key_.size());
}

KeySetPtr TokenAuthority::keys() const {
    const std::scoped_lock lock(mutex_);
    return keys_;
}

void TokenAuthority::use(KeySetPtr keys) {
    const std::scoped_lock lock(mutex_);
    // A key that was taken out must not live on in what it signed.
    if (!keys || !keys_ || !keys->same_as(*keys_))
        known_.erase_if([](const Known&) { return true; });
    keys_ = std::move(keys);
}

bool TokenAuthority::lacks_key(std::string_view token) const {
    const auto read = read_token(token);
    if (!read) return false;
    const KeySetPtr now = keys();
    return !now || now->find(read->algorithm, read->key_id) == nullptr;
}

TokenAuthority::Judgement TokenAuthority::judge(std::string_view token) const {
    Judgement out{.by = keys()};
    if (out.by) out.said = judge_token(token, *out.by, settings_.rules, settings_.wall());
    return out;
}

void TokenAuthority::remember(const AccountRecord& account, std::string_view token,
                              const Judgement& judged) {
    const auto left = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
        judged.said->expires - settings_.wall());
    if (left.count() <= 0) return;  // It lives on the leeway.
    const auto until = settings_.now() + std::min(left, settings_.lifetime);
    const Digest tag = hmac_sha256(key_, token);
    const std::scoped_lock lock(mutex_);
    if (judged.by != keys_) return;  // Others hold by now.
    known_.put(tag, {account.name, account.version, until});
}

std::optional<TokenAuthority::Known> TokenAuthority::recall(std::string_view token) {
    if (token.size() > max_token_octets) return std::nullopt;
    const Digest tag = hmac_sha256(key_, token);
    const auto now = settings_.now();
    const std::scoped_lock lock(mutex_);
    const Known* const found = known_.find(tag);
    if (found == nullptr) return std::nullopt;
    if (now >= found->until) {
        known_.erase(tag);
        return std::nullopt;
    }
    return *found;
}

}  // namespace postern::auth
