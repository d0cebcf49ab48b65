#pragma once

#include "relay/config/reading.hpp"

namespace postern::relay::config {

/// Fills in what follows from other keys (names, ports, contacts, paths) and refuses what
/// contradicts itself or is missing. `root` tells where the keys stand.
void finish(Config& config, const Node& root, Reading& reading);

}  // namespace postern::relay::config
