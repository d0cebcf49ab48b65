#pragma once

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

}  // namespace postern::relay
