#pragma once

#include <string>

#include "relay/intake/call.hpp"

namespace postern::relay::intake {

/// ReadCall by the formats that are known and by maps (webhook_map.hpp).
[[nodiscard]] boost::system::result<Call, std::string> read_call(const config::Webhook& webhook,
                                                                 const std::string& json);

}  // namespace postern::relay::intake
