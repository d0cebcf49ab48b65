#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "auth/password_backend.hpp"
#include "auth/sasl_library.hpp"

namespace postern::auth {

struct AuxpropSettings {
    std::string kind;         ///< sasldb ldapdb sql: Cyrus' plug-in, which the library has loaded.
    std::string only_domain;  ///< Users of others are nobody; empty: the store looks at the domain.
    std::string file;       ///< sasldb: where it is, for telling an absent one from an absent user.
    std::string ourselves;  ///< ldapdb: our own name there, for telling a server that knows nobody
                            ///< from one that is ill.
    std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
};

/// A store of clear-text passwords (`userPassword`) behind an auxprop plug-in of Cyrus. Each
/// question opens the store and closes it. After an error the store is left alone for 250 ms, after
/// more of them for up to 8 s: what is asked then is an error at once. `library` must outlive it.
[[nodiscard]] std::unique_ptr<PasswordBackend> make_auxprop_backend(SaslLibrary& library,
                                                                    AuxpropSettings settings);

}  // namespace postern::auth
