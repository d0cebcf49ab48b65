#pragma once

#include <memory>

#include "auth/exchange.hpp"

namespace postern::auth {

/// What the store's rows of logins and events call a login by token: no credential can have this
/// name.
inline constexpr std::string_view token_credential = "(token)";

/// OAUTHBEARER (RFC 7628) and XOAUTH2, against `context.tokens`.
[[nodiscard]] std::unique_ptr<Exchange::Impl> make_token_exchange(const Backend& backend,
                                                                  ExchangeContext context);

}  // namespace postern::auth
