#pragma once

#include <memory>

#include "auth/exchange.hpp"

namespace postern::auth {

/// EXTERNAL (RFC 4422 A): the client's certificate, known by its fingerprint or vouched for by the
/// configured authority. That the client holds its key was proved by the handshake.
[[nodiscard]] std::unique_ptr<Exchange::Impl> make_external_exchange(const Backend& backend,
                                                                     ExchangeContext context);

}  // namespace postern::auth
