#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/account.hpp"
#include "auth/lru.hpp"

namespace postern::auth {

/// Accounts in memory, in shards with short locks: a network thread may look. Also remembers which
/// names do not exist, in a cache of its own, so that a name asked for again costs the same whether
/// it exists or not.
class AccountCache {
  public:
    explicit AccountCache(std::size_t capacity);
    ~AccountCache();

    /// Unset: not cached. Null: known not to exist.
    [[nodiscard]] std::optional<AccountPtr> find(std::string_view name) const;
    /// Number of the last change that is seen here.
    [[nodiscard]] std::uint64_t generation() const noexcept {
        return generation_.load(std::memory_order_acquire);
    }
    /// Keeps what was read from the file (null: nothing), unless something changed since `read_at`
    /// was the generation: then what was read may be old.
    void keep(const std::string& name, AccountPtr account, std::uint64_t read_at);
    /// A committed change: the account is now this, or (null) is gone.
    void changed(const std::string& name, AccountPtr account, std::uint64_t generation);
    /// A committed import: accounts of these names, that were not there before.
    void many_added(const std::vector<std::string>& names, std::uint64_t generation);
    /// A committed change of a customer: its accounts are read again.
    void customer_changed(std::string_view customer, std::uint64_t generation);
    void start_at(std::uint64_t generation) noexcept {
        generation_.store(generation, std::memory_order_release);
    }

  private:
    struct Shard;
    [[nodiscard]] Shard& shard(std::string_view name) const;
    std::atomic<std::uint64_t> generation_{0};
    std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace postern::auth
