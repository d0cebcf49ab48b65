#pragma once

#include "auth/elsewhere.hpp"
#include "relay/config/config.hpp"

namespace postern::relay {

/// The password back-end that a configuration names.
[[nodiscard]] auth::ElsewhereSettings elsewhere_settings(const config::Config& config);

}  // namespace postern::relay
