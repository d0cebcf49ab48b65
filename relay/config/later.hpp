#pragma once

#include <array>
#include <string_view>
#include <vector>

namespace postern::relay::config {

/// A section that a later version gives a meaning: its keys are known, accepted and without effect.
struct LaterSection {
    std::string_view name;
    std::string_view keys;  ///< Split at spaces.
};

inline constexpr std::array<LaterSection, 12> later_sections = {{
    {"business_hours", "multiplier floor"},
    {"profile", "spreads floor ramp"},
    {"compromise", "watch brake suspend trickle weights bounces complaints report_deadline"},
    {"marketing", "require_unsubscribe upgrade_url"},
    {"aup", "version url grace"},
    {"content", "model signals lists fingerprints_expire clamav rspamd"},
    {"zone", "name kind answers hash"},
    {"alerts", "queue_age certificate_expiry quiet heartbeat channel min_severity"},
    {"admin", "login_header"},
    {"public", "url templates"},
    {"client_setup", "display_name imap sign"},
    {"first_account", "address password password_file owns"},
}};

[[nodiscard]] inline std::vector<std::string_view> words(std::string_view list) {
    std::vector<std::string_view> out;
    while (!list.empty()) {
        const auto space = list.find(' ');
        out.push_back(list.substr(0, space));
        list.remove_prefix(space == std::string_view::npos ? list.size() : space + 1);
    }
    return out;
}

}  // namespace postern::relay::config
