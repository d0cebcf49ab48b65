#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "auth/account.hpp"
#include "auth/password_backend.hpp"
#include "auth/sasl_library.hpp"

namespace postern::auth {

/// Where passwords are kept, if not in the store.
struct ElsewhereSettings {
    std::string kind;    ///< saslauthd sasldb ldapdb sql; empty: in the store.
    std::string domain;  ///< Of login names that have none; as A-labels.
    std::map<std::string, std::string> options;  ///< By Cyrus' names.
    std::chrono::milliseconds timeout{5000};     ///< Of one question, as far as it can be bounded.
    std::function<Time()> now = std::chrono::system_clock::now;  ///< For accounts that are made.
};

/// What exchanges have of it.
struct Elsewhere {
    std::unique_ptr<PasswordBackend> passwords;
    std::string domain;
    std::function<Time()> now;
};

/// For ldapdb and sql: sets, where the environment has none, the variables by which libldap and
/// libpq bound their waiting. Before there are other threads.
void bound_waiting(const ElsewhereSettings& settings);

/// What Cyrus is told of the store, before it starts.
[[nodiscard]] SaslStore sasl_store(const ElsewhereSettings& settings);

/// Null: passwords are in the store. `library` must outlive it.
[[nodiscard]] std::unique_ptr<Elsewhere> make_elsewhere(const ElsewhereSettings& settings,
                                                        SaslLibrary& library);

}  // namespace postern::auth
