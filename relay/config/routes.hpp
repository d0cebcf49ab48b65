#pragma once

#include <functional>
#include <string>

#include "relay/config/config.hpp"

namespace postern::relay::config {

/// Refuses a `[[route]]` that leads nowhere, and upstreams that leave mail without a way.
void finish_routes(const Config& config,
                   const std::function<void(std::string key, std::string text)>& fault);

}  // namespace postern::relay::config
