#pragma once

#include <memory>

#include "auth/exchange.hpp"

namespace postern::auth {

/// PLAIN (RFC 4616) and LOGIN.
[[nodiscard]] std::unique_ptr<Exchange::Impl> make_password_exchange(const Backend& backend,
                                                                     ExchangeContext context);

}  // namespace postern::auth
