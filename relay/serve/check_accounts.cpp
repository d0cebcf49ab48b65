// `postern check`: accounts that cannot log in as the configuration offers it.

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "auth/account_store.hpp"
#include "relay/serve.hpp"

namespace postern::relay {

namespace {

std::vector<config::Finding> check_hashes(const config::Config& config) {
    // Others know the passwords then.
    if (config.auth.backend != config::AuthBackend::embedded) return {};
    const auto count = auth::AccountStore::count_bare_crypts(config.server.state + "/accounts.db");
    if (!count) {
        const bool damaged = count.error() == auth::AuthError::store_damaged;
        return {{.check = "accounts",
                 .status = damaged ? config::Status::fail : config::Status::warn,
                 .text = fmt::format("{}/accounts.db: {}", config.server.state,
                                     count.error().message()),
                 .fix = damaged ? "put back a backup, or move it away to begin anew"
                                : "run it as root or as the relay's user"}};
    }
    if (*count == 0) return {};
    const std::string who = fmt::format("{} {} only a crypt hash", *count,
                                        *count == 1 ? "account has" : "accounts have");
    if (!config.offers("PLAIN") && !config.offers("LOGIN")) {
        return {{.check = "accounts",
                 .status = config::Status::warn,
                 .text = who + ": such ones log in by PLAIN or LOGIN alone",
                 .fix = "offer one of them in auth.mechanisms"}};
    }
    const bool beside = config.auth.scram_beside_crypt;
    return {{.check = "accounts",
             .status = config::Status::warn,
             .text = who + (beside ? ": by SCRAM their logins fail" : ": SCRAM is not offered"),
             .fix = beside
                        ? "auth.scram_beside_crypt = false, until each of them has logged in once"
                        : "each becomes fit for SCRAM when it logs in; see "
                          "auth.scram_beside_crypt"}};
}

}  // namespace

std::vector<config::Finding> check_accounts(const config::Config& config) {
    std::vector<config::Finding> out = check_hashes(config);
    if (!config::any_failed(out)) std::ranges::move(check_devices(config), std::back_inserter(out));
    std::ranges::move(check_dkim(config), std::back_inserter(out));
    return out;
}

}  // namespace postern::relay
