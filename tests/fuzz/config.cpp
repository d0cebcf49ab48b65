// Any bytes as a configuration, and as variables over one: a value or faults, never an exception.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "relay/config/load.hpp"
#include "relay/config/reload.hpp"

using namespace postern::relay::config;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    Surroundings around;
    around.hostname = "relay.example.net";
    around.working_directory = "/";
    around.read_file = [](const std::string&, std::string& error) -> std::optional<std::string> {
        error = "not here";
        return std::nullopt;
    };
    const Loaded strict = load_text(text, "/fuzz.toml", around, Need::everything);
    if (!strict.config == strict.faults.empty()) std::abort();
    for (const Fault& fault : strict.faults) {
        for (const char c : fault.message()) {
            if (static_cast<unsigned char>(c) < 0x20) std::abort();
        }
    }
    const Loaded lenient = load_text(text, "/fuzz.toml", around, Need::nothing);
    if (strict.config && lenient.config && !differences(*strict.config, *strict.config).empty())
        std::abort();

    // "NAME=value" lines as variables.
    std::string_view rest = text;
    while (!rest.empty() && around.environment.size() < 64) {
        const auto end = std::min(rest.find('\n'), rest.size());
        const std::string_view line = rest.substr(0, end);
        const auto equals = line.find('=');
        if (equals != std::string_view::npos) {
            around.environment.emplace_back(line.substr(0, equals), line.substr(equals + 1));
        }
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    (void)load_text("[[upstream]]\naddress = \"a.example\"\n", "/fuzz.toml", around,
                    Need::everything);
    return 0;
}
