#pragma once

#include <functional>
#include <string>
#include <vector>

#include "relay/config/config.hpp"
#include "relay/dkim/signer.hpp"
#include "relay/event/event.hpp"
#include "relay/spool/spool.hpp"

namespace postern::relay {

/// Drops matching entries that no attempt holds and owes their senders a notification with the
/// reason, which `signer` signs. What was dropped, also when the spool fails on the way; error:
/// nothing was. Blocks: call it off the network threads.
[[nodiscard]] boost::system::result<std::vector<EntryInfo>> drop_with_notice(
    Spool& spool, const config::Config& config, const std::function<std::string()>& make_ref,
    event::Stream& events, dkim::Signer& signer, const EntrySelector& which,
    const std::string& reason);

}  // namespace postern::relay
