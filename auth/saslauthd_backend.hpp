#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "auth/password_backend.hpp"

namespace postern::auth {

struct SaslauthdSettings {
    std::string path = "/run/saslauthd/mux";
    std::string domain;  ///< Whose users are asked for by their local part, with the domain as the
                         ///< realm; users of others by the whole address.
    std::chrono::milliseconds timeout{5000};  ///< Of one question, connecting included.
};

/// saslauthd on its Unix socket, as the service `smtp` (PAM reads /etc/pam.d/smtp). A question is a
/// connection; it ends by the time-out in any case. fetch() gives none.
[[nodiscard]] std::unique_ptr<PasswordBackend> make_saslauthd_backend(SaslauthdSettings settings);

}  // namespace postern::auth
