#pragma once

#include <memory>

#include "auth/exchange.hpp"

namespace postern::auth {

/// OAUTHBEARER (RFC 7628) and XOAUTH2, against `context.tokens`.
[[nodiscard]] std::unique_ptr<Exchange::Impl> make_token_exchange(const Backend& backend,
                                                                  ExchangeContext context);

}  // namespace postern::auth
