#pragma once

#include "relay/config/backend.hpp"
#include "relay/config/config.hpp"

namespace postern::relay::config {

/// Of [intake]: faults of listeners that would show secrets or take another's port, and of webhooks
/// without a name, a format or a secret; notices of what stands open or is of no use.
void finish_intake(const Config& config, const KeysGiven& keys);

}  // namespace postern::relay::config
