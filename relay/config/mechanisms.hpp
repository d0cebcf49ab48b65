#pragma once

#include <span>
#include <string>
#include <string_view>

namespace postern::relay::config {

// Login mechanisms as a configuration names them, in `auth.mechanisms` and behind `mechanisms=` of
// a listener.

/// Empty, and `out` the name as SASL writes it; else why not: "is not ...".
[[nodiscard]] std::string read_mechanism(std::string_view text, std::string& out);

}  // namespace postern::relay::config
