#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/account.hpp"
#include "auth/digest.hpp"
#include "auth/random.hpp"

namespace postern::auth {

/// Passwords of PLAIN and LOGIN that were right a moment ago, as HMAC-SHA-256 under a key of this
/// process: a mail program that logs in for each mail costs microseconds and no PBKDF2. An entry
/// hangs on the account's version, so any change of the account drops it. Bounded, thread-safe,
/// memory only: may be called on a network thread.
class PasswordMemory {
  public:
    struct Settings {
        std::size_t entries = 65536;
        std::chrono::steady_clock::duration lifetime = std::chrono::minutes(10);
        std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
        RandomBytes random = system_random();
    };
    PasswordMemory();
    explicit PasswordMemory(Settings settings);
    ~PasswordMemory();
    PasswordMemory(const PasswordMemory&) = delete;
    PasswordMemory& operator=(const PasswordMemory&) = delete;

    /// The password (prepared) was right for this state of the account.
    void remember(const AccountRecord& account, std::string_view credential,
                  std::string_view password);
    /// The name of the credential that the password opened within the lifetime; `label`: only
    /// that one is meant.
    [[nodiscard]] std::optional<std::string> check(const AccountRecord& account,
                                                   const std::optional<std::string>& label,
                                                   std::string_view password) const;
    /// The same where another back-end said so: no credential of the account is meant.
    void remember_elsewhere(const AccountRecord& account, std::string_view password);
    [[nodiscard]] bool check_elsewhere(const AccountRecord& account,
                                       std::string_view password) const;
    /// A keyed hash (16 hex digits) by which the guard sees the same wrong password come again;
    /// worthless after a restart.
    [[nodiscard]] std::string secret_hash(std::string_view account,
                                          std::string_view password) const;
    [[nodiscard]] std::size_t size() const;

  private:
    struct Shard;
    [[nodiscard]] Digest tag(std::string_view kind, const AccountRecord& account,
                             std::string_view password) const;
    void put(const Digest& tag, std::string_view credential);
    /// The credential that was noted; unset: nothing, or too long ago.
    [[nodiscard]] std::optional<std::string> get(const Digest& tag) const;
    Settings settings_;
    std::string key_;
    std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace postern::auth
