#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "auth/account.hpp"
#include "auth/digest.hpp"
#include "auth/jwks.hpp"
#include "auth/jwt.hpp"
#include "auth/lru.hpp"
#include "auth/random.hpp"

namespace postern::auth {

/// What tokens are judged by: rules that never change, and the keys as they were last read. Also
/// remembers tokens that were right a moment ago, as keyed hashes: a phone that sends ten mails
/// shows the same token ten times. Thread-safe, memory only, bounded.
class TokenAuthority {
  public:
    struct Settings {
        TokenRules rules;
        std::size_t entries = 16384;
        std::chrono::steady_clock::duration lifetime = std::chrono::minutes(10);
        std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
        std::function<Time()> wall = std::chrono::system_clock::now;
        RandomBytes random = system_random();
    };
    explicit TokenAuthority(Settings settings);
    ~TokenAuthority();
    TokenAuthority(const TokenAuthority&) = delete;
    TokenAuthority& operator=(const TokenAuthority&) = delete;

    [[nodiscard]] const TokenRules& rules() const noexcept { return settings_.rules; }
    /// Null: there are none, or none any more.
    [[nodiscard]] KeySetPtr keys() const;
    /// From now on these hold; other ones than before make what was remembered void.
    void use(KeySetPtr keys);

    /// The token could be checked and its key is not among ours: other keys may have to be read.
    [[nodiscard]] bool lacks_key(std::string_view token) const;
    struct Judgement {
        KeySetPtr by;  ///< Null: there are no keys, and nothing was judged.
        boost::system::result<TokenClaims, TokenFault> said{TokenFault::no_key};
    };
    /// Costs a signature's check: on the auth pool.
    [[nodiscard]] Judgement judge(std::string_view token) const;

    /// The token was right for this state of the account; until it expires, ten minutes at most.
    void remember(const AccountRecord& account, std::string_view token, const Judgement& judged);
    struct Known {
        std::string account;
        std::uint64_t version = 0;  ///< AccountRecord::version: of another state it says nothing.
        std::chrono::steady_clock::time_point until;
    };
    [[nodiscard]] std::optional<Known> recall(std::string_view token);

  private:
    struct TagHash {
        [[nodiscard]] std::size_t operator()(const Digest& tag) const noexcept;
    };
    Settings settings_;
    std::string key_;
    mutable std::mutex mutex_;
    KeySetPtr keys_;
    Lru<Digest, Known, TagHash> known_;
};

using TokenAuthorityPtr = std::shared_ptr<TokenAuthority>;

}  // namespace postern::auth
