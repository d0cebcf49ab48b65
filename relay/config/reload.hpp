#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "relay/config/config.hpp"

namespace postern::relay::config {

/// When a changed key takes effect.
enum class Reload : std::uint8_t {
    live,        ///< L: the next message sees it.
    connection,  ///< C: new connections do.
    restart,     ///< R: refused at a reload.
};

struct Difference {
    std::string key;  ///< "delivery.retry.first", "upstream", "limits.trial.messages"
    Reload reload = Reload::live;
};

/// Keys whose values differ, in the sample's order. Secrets are compared and never shown.
[[nodiscard]] std::vector<Difference> differences(const Config& running, const Config& wanted);

/// Keys among them that need a restart: not empty, the whole reload is refused, naming them.
[[nodiscard]] std::vector<std::string> needing_restart(const std::vector<Difference>& all);

}  // namespace postern::relay::config
