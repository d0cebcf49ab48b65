#include "auth/account_cache.hpp"

#include <algorithm>

namespace postern::auth {
namespace {

constexpr std::size_t shard_count = 32;
constexpr std::size_t absent_names = 128;  ///< A shard; attackers' names only push out each other.

}  // namespace

struct AccountCache::Shard {
    explicit Shard(std::size_t capacity) : present(capacity), absent(absent_names) {}
    mutable std::mutex mutex;
    Lru<std::string, AccountPtr, TextHash> present;
    Lru<std::string, bool, TextHash> absent;
};

AccountCache::AccountCache(std::size_t capacity) {
    for (std::size_t i = 0; i < shard_count; ++i)
        shards_.push_back(std::make_unique<Shard>(capacity / shard_count));
}

AccountCache::~AccountCache() = default;

AccountCache::Shard& AccountCache::shard(std::string_view name) const {
    return *shards_[TextHash{}(name) % shard_count];
}

std::optional<AccountPtr> AccountCache::find(std::string_view name) const {
    Shard& in = shard(name);
    const std::scoped_lock lock(in.mutex);
    if (const AccountPtr* const account = in.present.find(name)) return *account;
    if (in.absent.find(name) != nullptr) return AccountPtr();
    return std::nullopt;
}

void AccountCache::keep(const std::string& name, AccountPtr account, std::uint64_t read_at) {
    Shard& in = shard(name);
    const std::scoped_lock lock(in.mutex);
    // changed() raises the number under this lock: either it is seen here, or it comes after and
    // wins.
    if (generation() != read_at) return;
    if (account) {
        in.present.put(name, std::move(account));
    } else {
        in.absent.put(name, true);
    }
}

void AccountCache::changed(const std::string& name, AccountPtr account, std::uint64_t generation) {
    Shard& in = shard(name);
    const std::scoped_lock lock(in.mutex);
    // Whoever sees the new number finds the new account: find() waits for this lock.
    generation_.store(generation, std::memory_order_release);
    in.absent.erase(name);
    if (account) {
        in.present.put(name, std::move(account));
    } else {
        in.present.erase(name);
    }
}

void AccountCache::many_added(const std::vector<std::string>& names, std::uint64_t generation) {
    // All locks at once: nobody sees the new number beside a name that is not there.
    std::vector<std::unique_lock<std::mutex>> locks;
    locks.reserve(shards_.size());
    for (const auto& each : shards_) locks.emplace_back(each->mutex);
    generation_.store(generation, std::memory_order_release);
    for (const std::string& name : names) shard(name).absent.erase(name);
}

void AccountCache::customer_changed(std::string_view customer, std::uint64_t generation) {
    std::vector<AccountPtr> gone;  // Freed when the locks are not held any more.
    // All locks at once: nobody sees the new number beside an old account.
    std::vector<std::unique_lock<std::mutex>> locks;
    locks.reserve(shards_.size());
    for (const auto& each : shards_) locks.emplace_back(each->mutex);
    generation_.store(generation, std::memory_order_release);
    for (const auto& each : shards_) {
        each->present.erase_if([&](const AccountPtr& account) {
            if (account->customer != customer) return false;
            gone.push_back(account);
            return true;
        });
    }
    locks.clear();
}

}  // namespace postern::auth
