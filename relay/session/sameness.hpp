#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "auth/account_store.hpp"
#include "relay/config/config.hpp"

namespace postern::relay {

// What logins must not tell: who exists, and whose password is still an imported hash.

/// How long a failing login has to take at least, from when its check began; 0: as long as the
/// check takes, which is the same for everybody.
[[nodiscard]] std::chrono::milliseconds failure_floor(const config::Auth& auth,
                                                      const auth::AccountStore& accounts,
                                                      std::string_view mechanism);

/// Is SCRAM offered to nobody, because some accounts have nothing but an imported hash? `wanted`:
/// what would be offered; where nothing but SCRAM is, to hold it back would help nobody.
[[nodiscard]] bool withholds_scram(const config::Auth& auth, const auth::AccountStore& accounts,
                                   const std::vector<std::string>& wanted);
/// Is one among them that an imported hash can serve?
[[nodiscard]] bool takes_passwords(const std::vector<std::string>& mechanisms) noexcept;
[[nodiscard]] std::vector<std::string> without_scram(std::vector<std::string> mechanisms);

}  // namespace postern::relay
