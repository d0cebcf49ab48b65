#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "auth/lru.hpp"
#include "relay/dkim/signing_key.hpp"

namespace postern::relay::dkim {

struct ActiveKey {
    std::string selector;
    SigningKey key;
};

/// What of a domain signs now.
struct DomainKeys {
    std::string domain;
    std::vector<ActiveKey> active;
    /// That should sign and cannot: their files are damaged or cannot be read.
    std::vector<proto::DkimAlgorithm> unusable;
    bool unreadable = false;  ///< The list of keys is: nobody knows which there are.

    [[nodiscard]] bool whole() const noexcept { return unusable.empty() && !unreadable; }
};
using DomainKeysPtr = std::shared_ptr<const DomainKeys>;

/// What was read of domains' keys, the most lately used ones. Bounded, and each for a time: what
/// somebody puts into the folder by hand is seen then; what commands change, at once. Thread-safe.
class KeyCache {
  public:
    using Time = std::chrono::steady_clock::time_point;
    struct Bounds {
        std::size_t loaded = 2000;    ///< Domains with keys: some 10 KB each.
        std::size_t absent = 10'000;  ///< Domains without: their names.
        std::chrono::seconds loaded_for{600};
        std::chrono::seconds absent_for{30};  ///< Likewise where keys are damaged.
    };
    explicit KeyCache(Bounds bounds)
        : bounds_(bounds), loaded_(bounds.loaded), absent_(bounds.absent) {}

    /// Null: not known.
    [[nodiscard]] DomainKeysPtr find(const std::string& domain, Time now);
    /// To be taken before the files are read.
    [[nodiscard]] std::uint64_t generation() const;
    /// Of no effect where a command has changed any domain since `generation`: what was read may be
    /// old.
    void put(const DomainKeysPtr& keys, std::uint64_t generation, Time now);
    void forget(const std::string& domain);

  private:
    struct Entry {
        DomainKeysPtr keys;
        Time until;
    };
    Bounds bounds_;
    mutable std::mutex mutex_;
    std::uint64_t generation_ = 0;
    auth::Lru<std::string, Entry> loaded_;
    auth::Lru<std::string, Entry> absent_;
};

}  // namespace postern::relay::dkim
