#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "relay/config/load.hpp"

namespace postern::test {

/// A world of its own for a configuration: variables, files and a host name.
struct World {
    std::vector<std::pair<std::string, std::string>> environment;
    std::map<std::string, std::string> files;
    std::string hostname = "relay";

    [[nodiscard]] relay::config::Surroundings around() const {
        relay::config::Surroundings out;
        out.environment = environment;
        out.hostname = hostname;
        out.working_directory = "/cwd";
        out.read_file = [files = files](const std::string& path,
                                        std::string& error) -> std::optional<std::string> {
            const auto it = files.find(path);
            if (it != files.end()) return it->second;
            error = "No such file or directory";
            return std::nullopt;
        };
        return out;
    }
};

/// The least that serves.
inline const std::string least = R"([server]
hostname = "smtp.example.net"
[tls]
certificate = "/c.pem"
key = "/k.pem"
[[upstream]]
address = "smtp.provider.example"
)";

inline relay::config::Loaded load(const std::string& text, const World& world = {},
                                  relay::config::Need need = relay::config::Need::everything) {
    return relay::config::load_text(text, "/etc/p.toml", world.around(), need);
}

inline std::vector<std::string> messages(const relay::config::Loaded& loaded) {
    std::vector<std::string> out;
    for (const auto& fault : loaded.faults) out.push_back(fault.message());
    return out;
}

}  // namespace postern::test
