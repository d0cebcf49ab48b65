#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "auth/account.hpp"
#include "policy/rule.hpp"

namespace postern::relay {

/// The mode of the rule login_guard that account or customer set; unset: the configuration's holds,
/// also where the account is not in memory (null).
[[nodiscard]] inline std::optional<policy::Mode> guard_mode(const auth::AccountPtr& account) {
    if (!account) return std::nullopt;
    const std::string* const mode = auth::mode_of(*account, "login_guard");
    return mode == nullptr ? std::nullopt : policy::parse_mode(*mode);
}

/// A secret's keyed hash as the guard takes it; unset: none was sent.
[[nodiscard]] inline std::optional<std::uint64_t> number_of(const std::string& hex) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
    if (error != std::errc{} || end != hex.data() + hex.size()) return std::nullopt;
    return value;
}

}  // namespace postern::relay
