#pragma once

#include <string>
#include <vector>

#include "relay/config/check.hpp"
#include "relay/config/load.hpp"

namespace postern::relay {

struct ServeOptions {
    std::string file;             ///< As config::choose_file found it.
    bool file_named = false;      ///< By -c or POSTERN_CONFIG.
    config::Surroundings around;  ///< What every later reload reads too.
    config::Loaded
        loaded;  ///< Loaded without a fault, still with the rights that the process began with.
};

/// Runs in the foreground until TERM or INT. Returns the exit code: 0 after a drain, 1 when it
/// cannot start (with a line on stderr), 4 on a failure of our own.
[[nodiscard]] int serve(ServeOptions options);

/// Connects and logs in to each upstream of `config` for `postern check`; blocks.
[[nodiscard]] std::vector<config::Finding> check_upstreams(const config::Config& config);

/// Reads the file of `auth.oauth.jwks`, or (unless `offline`) fetches its URL, for `postern check`;
/// blocks.
[[nodiscard]] std::vector<config::Finding> check_token_keys(const config::Config& config,
                                                            config::Reach reach);

/// Looks at login_guard.geoip for `postern check`; blocks.
[[nodiscard]] std::vector<config::Finding> check_logins(const config::Config& config);
/// Looks at the devices in the account store: a part of check_accounts().
[[nodiscard]] std::vector<config::Finding> check_devices(const config::Config& config);

/// Looks at STATE/dkim: a part of check_accounts(), for the folder is the relay's user's.
[[nodiscard]] std::vector<config::Finding> check_dkim(const config::Config& config);

/// Tries to listen on each address of `server.listen` for `postern check`, unless a relay serves
/// this state now.
[[nodiscard]] std::vector<config::Finding> check_listeners(const config::Config& config);

/// What of the accounts stands in the way of logins, for `postern check`; changes nothing. As the
/// user that `serve` becomes: others would leave files that lock that one out.
[[nodiscard]] std::vector<config::Finding> check_accounts(const config::Config& config);

/// Asks the password back-end of `config` after a user that there is none of, for `postern check`;
/// offline: only whether its plug-in is there. Nothing where passwords are in the store.
[[nodiscard]] std::vector<config::Finding> check_backend(const config::Config& config,
                                                         config::Reach reach);

}  // namespace postern::relay
