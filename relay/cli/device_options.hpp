#pragma once

#include <string>
#include <vector>

#include "relay/cli/commands.hpp"

namespace postern::relay::cli {

/// What `account credential add` takes for a device that cannot log in.
struct DeviceOptions {
    std::string source, listener;
    std::vector<std::string> rcpts;

    void add_to(CLI::App& app);
    [[nodiscard]] bool any() const;
    /// Puts them into the body. False: one is missing or wrong, or stands beside another kind;
    /// told (exit 2).
    [[nodiscard]] bool put(const Context& c, const std::string& kind, Json& body) const;
    /// Warns on stderr of a network that more than a few devices speak from.
    void warn(const Context& c) const;
};

}  // namespace postern::relay::cli
