#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "policy/login_guard.hpp"

// Short ways to say what happens to a login guard.

namespace postern::test {

inline const policy::SteadyTime guard_start{std::chrono::hours(10'000)};

inline policy::LoginGuard::FailureAnswer fail(policy::LoginGuard& guard, std::string_view source,
                                              std::string_view account,
                                              std::optional<std::uint64_t> secret,
                                              policy::SteadyTime now, int before = 0,
                                              std::string_view label = {}) {
    auto attempt = guard.attempt(source, account, {}, now);
    return attempt.failed(secret, before, now, label);
}

inline policy::LoginGuard::SuccessAnswer succeed(policy::LoginGuard& guard, std::string_view source,
                                                 std::string_view account, policy::SteadyTime now,
                                                 std::string_view credential = {}) {
    auto attempt = guard.attempt(source, account, {}, now);
    return attempt.succeeded(now, credential);
}

inline policy::LoginGuard::Gate gate(policy::LoginGuard& guard, std::string_view source,
                                     std::string_view account, policy::SteadyTime now) {
    auto attempt = guard.attempt(source, account, {}, now);
    return attempt.ask(now);
}

inline std::string user(std::uint64_t n) {
    return "user" + std::to_string(n) + "@example.net";
}

/// The nth of many sources, each in a network of its own.
inline std::string far_source(std::uint64_t n) {
    return "10." + std::to_string(n / 256 % 256) + "." + std::to_string(n % 256) + ".7";
}

}  // namespace postern::test
