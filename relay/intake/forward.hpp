#pragma once

#include <string>
#include <string_view>

#include "proto/address.hpp"
#include "relay/event/token_index.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay::intake {

/// Received fields of a mail's header section.
[[nodiscard]] std::size_t received_fields(std::string_view mail);

/// A mail that came to a return path, as a queue entry to the sender of the message, due now: null
/// reverse-path, NOTIFY=NEVER, its content as it came under a Received of ours, with CRLF line
/// ends.
[[nodiscard]] NewEntry make_forward_entry(const event::MappedMessage& message,
                                          const proto::Address& sender, std::string_view mail,
                                          const std::string& hostname, const std::string& id,
                                          WallTime now);

}  // namespace postern::relay::intake
