#include "relay/session/sameness.hpp"

#include <algorithm>

namespace postern::relay {
namespace {

bool takes_password(std::string_view mechanism) noexcept {
    return mechanism == "PLAIN" || mechanism == "LOGIN";
}

bool is_scram(std::string_view mechanism) noexcept {
    return mechanism.starts_with("SCRAM-");
}

}  // namespace

std::chrono::milliseconds failure_floor(const config::Auth& auth,
                                        const auth::AccountStore& accounts,
                                        std::string_view mechanism) {
    const bool elsewhere = auth.backend != config::AuthBackend::embedded;
    if (elsewhere && (takes_password(mechanism) || is_scram(mechanism))) return auth.failure_floor;
    // The check of a hash takes what its rounds take; who has none costs a derivation.
    const bool work_tells = accounts.bare_crypts() > 0;
    return work_tells && takes_password(mechanism) ? auth.failure_floor
                                                   : std::chrono::milliseconds(0);
}

bool withholds_scram(const config::Auth& auth, const auth::AccountStore& accounts,
                     const std::vector<std::string>& wanted) {
    return auth.backend == config::AuthBackend::embedded && !auth.scram_beside_crypt &&
           accounts.bare_crypts() > 0 && takes_passwords(wanted);
}

bool takes_passwords(const std::vector<std::string>& mechanisms) noexcept {
    return std::ranges::any_of(mechanisms, takes_password);
}

std::vector<std::string> without_scram(std::vector<std::string> mechanisms) {
    std::erase_if(mechanisms, is_scram);
    return mechanisms;
}

}  // namespace postern::relay
