#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proto/secret.hpp"

namespace postern::auth {

/// A user as a password back-end is asked for him: lower case, harmless in SQL and in LDAP.
struct BackendUser {
    std::string local;
    std::string domain;  ///< As A-labels.
    [[nodiscard]] std::string address() const { return local + "@" + domain; }
    bool operator==(const BackendUser&) const = default;
};

/// The user that a login name means; a name without a domain has `domain`. Unset: no other
/// back-end is ever asked for such a name. Narrower than what an address may be: letters, digits,
/// dots, underscores, hyphens and plus signs, the first a letter, a digit or an underscore; for
/// Cyrus' sql plug-in escapes by rules that not every engine has, and LDAP servers put names into
/// filters, DNs and URLs.
[[nodiscard]] std::optional<BackendUser> backend_user(std::string_view typed,
                                                      std::string_view domain);

/// What a password back-end says to one question.
struct BackendAnswer {
    enum class Kind : std::uint8_t {
        ok,       ///< The password is right; of fetch(): there is one.
        failed,   ///< It is wrong, or there is no such user.
        error,    ///< The back-end is away, or cannot say.
        timeout,  ///< It said nothing in time.
    };
    Kind kind = Kind::error;
    bool asked = true;       ///< False: the answer was known without asking it.
    std::string detail;      ///< error and timeout: why, for the operator.
    proto::Secret password;  ///< Of fetch() with ok.
};
/// "ok", "failed", "error", "timeout"
[[nodiscard]] std::string_view name(BackendAnswer::Kind kind) noexcept;

/// A store of passwords that is not ours. Thread-safe; its questions block, some of them without a
/// bound: on threads of their own (AuthPool with stuck_after).
class PasswordBackend {
  public:
    virtual ~PasswordBackend() = default;
    /// Is this (never empty, without NUL) the user's password?
    [[nodiscard]] virtual BackendAnswer check(const BackendUser& user,
                                              std::string_view password) = 0;
    /// The user's password in clear, for mechanisms that never show it; `error` where the back-end
    /// gives none out.
    [[nodiscard]] virtual BackendAnswer fetch(const BackendUser& user) = 0;
};

}  // namespace postern::auth
