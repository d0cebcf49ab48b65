#pragma once

#include <functional>
#include <string>

#include "relay/config/config.hpp"
#include "relay/event/event.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay {

/// Drops matching entries that no attempt holds (`what`: reason, limit, stop) and owes their
/// senders a notification; `dropped` hears of each that is gone. Blocks: call it off the network
/// threads.
[[nodiscard]] ChangeOutcome drop_with_notice(Spool& spool, const config::Config& config,
                                             const std::function<std::string()>& make_ref,
                                             event::Stream& events, const EntrySelector& which,
                                             const EntryChange& what,
                                             const std::function<void(const EntryInfo&)>& dropped);

}  // namespace postern::relay
