#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include <boost/unordered/unordered_flat_map.hpp>

namespace postern::relay {

/// How many connections each key (a source, an account) has. Sharded, short locks; a key is
/// forgotten with its last connection.
class Counts {
  public:
    /// One connection counted, given back on destruction.
    class Token {
      public:
        Token() = default;
        Token(Token&& other) noexcept
            : counts_(std::exchange(other.counts_, nullptr)), key_(std::move(other.key_)) {}
        Token& operator=(Token&& other) noexcept {
            if (this != &other) {
                release();
                counts_ = std::exchange(other.counts_, nullptr);
                key_ = std::move(other.key_);
            }
            return *this;
        }
        Token(const Token&) = delete;
        Token& operator=(const Token&) = delete;
        ~Token() { release(); }
        [[nodiscard]] explicit operator bool() const noexcept { return counts_ != nullptr; }
        void release() noexcept {
            if (counts_ != nullptr) std::exchange(counts_, nullptr)->give_back(key_);
        }

      private:
        friend class Counts;
        Counts* counts_ = nullptr;
        std::string key_;
    };

    /// Empty: `key` has `limit` connections already.
    [[nodiscard]] Token take(std::string_view key, std::size_t limit) {
        Shard& shard = shard_of(key);
        const std::lock_guard lock(shard.mutex);
        auto [it, fresh] = shard.counts.try_emplace(std::string(key), 0);
        if (it->second >= limit) {
            if (fresh) shard.counts.erase(it);
            return {};
        }
        ++it->second;
        Token token;
        token.counts_ = this;
        token.key_ = it->first;
        return token;
    }

  private:
    struct Shard {
        std::mutex mutex;
        boost::unordered_flat_map<std::string, std::size_t> counts;
    };
    Shard& shard_of(std::string_view key) {
        return shards_[std::hash<std::string_view>{}(key) % shards_.size()];
    }
    void give_back(const std::string& key) noexcept {
        Shard& shard = shard_of(key);
        const std::lock_guard lock(shard.mutex);
        const auto it = shard.counts.find(key);
        if (it != shard.counts.end() && --it->second == 0) shard.counts.erase(it);
    }
    std::array<Shard, 16> shards_;
};

}  // namespace postern::relay
