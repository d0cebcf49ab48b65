#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "policy/limit_store.hpp"
#include "policy/login_guard.hpp"
#include "policy/place.hpp"

namespace postern::policy {

/// Which right logins are worth an alert (behaviour.md, Failed logins): one after many failures,
/// one from a network or a country that the account did not use, many networks within minutes. It
/// remembers per account where it logged in from lately, and judges nobody: a login goes on
/// whatever is said here. Thread-safe: shards with short locks. Time is an argument, the steady
/// clock. Figures and reasons stand in the README of this folder.
class LoginWatch {
  public:
    struct Settings {
        std::chrono::seconds known_for = std::chrono::days(30);
    };
    /// Beyond it the account whose last login is longest ago is forgotten, and counts as new.
    struct Bounds {
        std::size_t max_accounts = 200'000;
    };

    LoginWatch();
    LoginWatch(Settings settings, Bounds bounds);
    ~LoginWatch();
    LoginWatch(const LoginWatch&) = delete;
    LoginWatch& operator=(const LoginWatch&) = delete;

    /// At a reload.
    void set(Settings settings) noexcept;

    /// One right login.
    struct Login {
        std::string_view account;  ///< Normalised.
        std::string_view source;   ///< canonical_source()
        Place place;
        LoginGuard::SuccessAnswer guard;  ///< What failed before it.
    };
    struct Alerts {
        bool after_failures = false;
        bool new_network = false;
        bool new_country = false;
        bool many_networks = false;
        std::uint32_t networks = 0;  ///< With many_networks: how many in these minutes.

        [[nodiscard]] bool any() const noexcept {
            return after_failures || new_network || new_country || many_networks;
        }
    };
    /// Says which alerts are due, and remembers the login.
    [[nodiscard]] Alerts on_login(const Login& login, SteadyTime now);

    /// At start, and where a database of addresses has come: the account logged in from there so
    /// long ago. Longer than known_for: it is known that it did, and no more.
    void load(std::string_view account, std::string_view source, const Place& place,
              std::chrono::seconds ago, SteadyTime now);

    [[nodiscard]] std::size_t accounts() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::policy
