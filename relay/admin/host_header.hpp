#pragma once

#include <string_view>

namespace postern::relay::admin {

/// Whether a Host header (with or without port) names this relay: an address literal, "localhost"
/// or `hostname`.
[[nodiscard]] bool is_our_host(std::string_view header, std::string_view hostname);

}  // namespace postern::relay::admin
