#pragma once

#include "relay/config/reading.hpp"

namespace postern::relay::config {

/// Lays the environment over the file's tree: POSTERN_SECTION_KEY at any depth, `_FILE`, RELAYHOST
/// and its like. What is passed over becomes a notice, what is wrong a fault.
void apply_environment(Node& root, Reading& reading);

/// True where some variable sets an upstream: then no file is needed.
[[nodiscard]] bool upstream_in_environment(const Surroundings& around);

}  // namespace postern::relay::config
