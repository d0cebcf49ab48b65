#pragma once

#include <memory>

#include "auth/exchange.hpp"

namespace postern::auth {

/// SCRAM (RFC 5802, RFC 7677), with and without channel binding.
[[nodiscard]] std::unique_ptr<Exchange::Impl> make_scram_exchange(const Backend& backend,
                                                                  ExchangeContext context);

}  // namespace postern::auth
