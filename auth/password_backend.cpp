#include "auth/password_backend.hpp"

#include <algorithm>

#include "auth/login_name.hpp"
#include "auth/saslprep.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t longest_local = 64;     ///< RFC 5321 4.5.3.1.1
constexpr std::size_t longest_address = 254;  ///< RFC 5321 4.5.3.1.3, less the angle brackets

constexpr bool is_of_a_name(char c) noexcept {
    return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-' || c == '+';
}
constexpr bool is_of_a_domain(char c) noexcept {
    return is_letter_or_digit(c) || c == '.' || c == '-';
}

}  // namespace

std::optional<BackendUser> backend_user(std::string_view typed, std::string_view domain) {
    std::string whole(typed);
    if (!typed.contains('@')) whole.append("@").append(domain);
    const auto normalised = normalised_login(whole);
    if (!normalised || normalised->size() > longest_address) return std::nullopt;
    if (!proto::parse_mailbox(*normalised, false)) return std::nullopt;
    const std::size_t at = normalised->find('@');
    BackendUser user{normalised->substr(0, at), normalised->substr(at + 1)};
    const bool good = !user.local.empty() && user.local.size() <= longest_local &&
                      !user.domain.empty() &&
                      (is_letter_or_digit(user.local.front()) || user.local.front() == '_') &&
                      std::ranges::all_of(user.local, is_of_a_name) &&
                      std::ranges::all_of(user.domain, is_of_a_domain);
    if (!good) return std::nullopt;
    return user;
}

std::string_view name(BackendAnswer::Kind kind) noexcept {
    switch (kind) {
        case BackendAnswer::Kind::ok:
            return "ok";
        case BackendAnswer::Kind::failed:
            return "failed";
        case BackendAnswer::Kind::timeout:
            return "timeout";
        case BackendAnswer::Kind::error:
            break;
    }
    return "error";
}

}  // namespace postern::auth
