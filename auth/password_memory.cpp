#include "auth/password_memory.hpp"

#include <cstring>
#include <mutex>

#include "auth/lru.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t memory_shards = 16;

struct TagHash {
    [[nodiscard]] std::size_t operator()(const Digest& tag) const noexcept {
        std::size_t value = 0;
        std::memcpy(&value, tag.data(), sizeof value);
        return value;
    }
};

void append_number(std::string& out, std::uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8)
        out.push_back(static_cast<char>(value >> shift & 0xFF));
}

// Each part behind its length, so that no two lists of parts read the same.
void append_part(std::string& out, std::string_view part) {
    append_number(out, part.size());
    out.append(part);
}

}  // namespace

struct PasswordMemory::Shard {
    struct Known {
        std::chrono::steady_clock::time_point until;
        std::string credential;
    };
    explicit Shard(std::size_t capacity) : known(capacity) {}
    mutable std::mutex mutex;
    Lru<Digest, Known, TagHash> known;
};

PasswordMemory::PasswordMemory() : PasswordMemory(Settings()) {}

PasswordMemory::PasswordMemory(Settings settings) : settings_(std::move(settings)), key_(32, '\0') {
    settings_.random({reinterpret_cast<unsigned char*>(key_.data()), key_.size()});
    for (std::size_t i = 0; i < memory_shards; ++i)
        shards_.push_back(std::make_unique<Shard>(settings_.entries / memory_shards));
}

PasswordMemory::~PasswordMemory() {
    wipe(key_.data(), key_.size());
}

Digest PasswordMemory::tag(std::string_view kind, const AccountRecord& account,
                           std::string_view password) const {
    std::string text;
    text.reserve(64 + account.name.size() + password.size());
    append_part(text, kind);
    append_number(text, account.version);
    append_part(text, account.name);
    append_part(text, password);
    const Digest made = hmac_sha256(key_, text);
    wipe(text.data(), text.size());
    return made;
}

void PasswordMemory::put(const Digest& tag, std::string_view credential) {
    Shard& shard = *shards_[tag.back() % memory_shards];
    const auto until = settings_.now() + settings_.lifetime;
    const std::scoped_lock lock(shard.mutex);
    shard.known.put(tag, {until, std::string(credential)});
}

std::optional<std::string> PasswordMemory::get(const Digest& tag) const {
    Shard& shard = *shards_[tag.back() % memory_shards];
    const std::scoped_lock lock(shard.mutex);
    const auto* const known = shard.known.find(tag);
    if (known == nullptr) return std::nullopt;
    if (settings_.now() >= known->until) {
        shard.known.erase(tag);
        return std::nullopt;
    }
    return known->credential;
}

void PasswordMemory::remember(const AccountRecord& account, std::string_view credential,
                              std::string_view password) {
    put(tag("remembered", account, password), credential);
}

std::optional<std::string> PasswordMemory::check(const AccountRecord& account,
                                                 const std::optional<std::string>& label,
                                                 std::string_view password) const {
    std::optional<std::string> credential = get(tag("remembered", account, password));
    if (!credential) return std::nullopt;
    const Credential* const found = find_credential(account, *credential);
    const bool meant = !label || *credential == *label;
    if (found == nullptr || !found->verifier || !meant) return std::nullopt;
    return credential;
}

void PasswordMemory::remember_elsewhere(const AccountRecord& account, std::string_view password) {
    put(tag("elsewhere", account, password), {});
}

bool PasswordMemory::check_elsewhere(const AccountRecord& account,
                                     std::string_view password) const {
    return get(tag("elsewhere", account, password)).has_value();
}

std::string PasswordMemory::secret_hash(std::string_view account, std::string_view password) const {
    std::string text;
    append_part(text, "failed");
    append_part(text, account);
    append_part(text, password);
    const Digest made = hmac_sha256(key_, text);
    wipe(text.data(), text.size());
    return hex(view(made).substr(0, 8));
}

std::size_t PasswordMemory::size() const {
    std::size_t all = 0;
    for (const auto& shard : shards_) {
        const std::scoped_lock lock(shard->mutex);
        all += shard->known.size();
    }
    return all;
}

}  // namespace postern::auth
