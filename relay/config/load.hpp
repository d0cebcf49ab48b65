#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/config/config.hpp"

namespace postern::relay::config {

/// One fault of a configuration: "FILE:LINE", the key, what is wrong and what would be right.
struct Fault {
    std::string where;  ///< "FILE:LINE", "FILE" or "environment POSTERN_...".
    std::string key;    ///< "upstream.0.address"; empty for a syntax error.
    std::string text;
    /// "WHERE: KEY: TEXT"
    [[nodiscard]] std::string message() const;
    bool operator==(const Fault&) const = default;
};

/// What a load reads beside the file; all passed in, so that tests need no process of their own.
struct Surroundings {
    std::vector<std::pair<std::string, std::string>> environment;
    std::string hostname;           ///< The system's; used where it has a dot.
    std::string working_directory;  ///< For relative paths from the environment.
    /// A whole file, at most 1 MiB; empty where it cannot be read, with the reason in `error`.
    std::function<std::optional<std::string>(const std::string& path, std::string& error)>
        read_file;

    /// Of this process.
    [[nodiscard]] static Surroundings of_process();
};

enum class Need : std::uint8_t {
    everything,  ///< What `serve` needs: a hostname, a certificate, an upstream with its secret.
    a_file,   ///< The file (or an upstream in the environment), however little it says: commands on
              ///< accounts, the queue.
    nothing,  ///< Defaults hold for whatever is missing, even the whole file.
};

struct Loaded {
    ConfigPtr config;           ///< Null when there are faults.
    std::vector<Fault> faults;  ///< In the file's order.
    std::vector<std::string> notices;
};

/// `-c FILE`, else POSTERN_CONFIG, else /etc/postern/postern.toml.
[[nodiscard]] std::string choose_file(std::string_view option, const Surroundings& around);

/// Reads `file` and the environment over it (the environment wins). A file that does not exist is a
/// fault, unless it was not named (`named` false) and either an upstream is in the environment or
/// nothing is needed. Never throws.
[[nodiscard]] Loaded load(const std::string& file, bool named, const Surroundings& around,
                          Need need);

/// As `load`, of a text; `file` names it in faults and its folder is where relative paths start.
[[nodiscard]] Loaded load_text(std::string_view text, const std::string& file,
                               const Surroundings& around, Need need);

}  // namespace postern::relay::config
