#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proto/address.hpp"
#include "proto/envelope.hpp"
#include "relay/config/config.hpp"

namespace postern::relay {

/// The token of the X-Abuse field in the header section of a message as it goes out; there is one
/// such field, ours. Empty: none within the first 64 KiB.
[[nodiscard]] std::string token_in(std::span<const std::string_view> pieces);

/// b+TOKEN@ the bounce domain, where return paths are rewritten. Unset: upstreams hear the sender
/// itself (so too of the null reverse-path, or without a token).
[[nodiscard]] std::optional<proto::Address> return_path_of(const config::Config& config,
                                                           const proto::Envelope& envelope,
                                                           std::string_view token);

/// The token of an address that return_path_of() made; in lower case, whatever became of it on the
/// way. Empty: it is no such address, or of another domain than `bounce_domain` (A-label).
[[nodiscard]] std::string token_of_return_path(std::string_view address,
                                               std::string_view bounce_domain);

}  // namespace postern::relay
