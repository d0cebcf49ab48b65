#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/config/config.hpp"
#include "relay/config/load.hpp"

namespace postern::relay::config {

enum class Status : std::uint8_t { ok, warn, fail };
[[nodiscard]] std::string_view name(Status s) noexcept;

/// One line of `postern check`.
struct Finding {
    std::string check;  ///< "file", "rights", "certificate", "dns", "upstream", "listen", "state",
                        ///< "spool", "clock", "accounts", "oauth", "geoip", "devices", "backend",
                        ///< "dkim"
    Status status = Status::ok;
    std::string text;
    std::string fix;  ///< What to do; empty when ok.
};

/// The user that `serve` becomes; of process::choose_user, handed in so that this room needs no
/// other.
struct RunsAs {
    std::string name;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
};

enum class Reach : std::uint8_t {
    offline,  ///< No DNS, no connection.
    network,
};

struct CheckOptions {
    bool offline = false;  ///< Reach::offline
    RunsAs user;
    std::string user_warning;  ///< Not empty: nobody was named, and it is `nobody`.
    std::string user_fault;    ///< Not empty: there is no such user.
    /// Connects and logs in to each upstream: greeting, EHLO, STARTTLS, AUTH. Blocks. Null: left
    /// out.
    std::function<std::vector<Finding>(const Config&)> upstreams;
    /// Tries to listen where `serve` would. Blocks. Null: left out.
    std::function<std::vector<Finding>(const Config&)> listeners;
    /// Reads or fetches the keys of tokens. Blocks. Null: left out.
    std::function<std::vector<Finding>(const Config&, Reach)> token_keys;
    /// Looks at what logins rest on: the account store, files. Blocks. Null: left out.
    std::function<std::vector<Finding>(const Config&)> logins;
    /// Asks another password back-end; offline: sees that it can be asked. Blocks. Null: left out.
    std::function<std::vector<Finding>(const Config&, Reach)> backend;
};

/// What `postern check` finds; blocks (files, names, connections). With a configuration that does
/// not load, its faults are all there is.
[[nodiscard]] std::vector<Finding> check(const Loaded& loaded, const CheckOptions& options);

/// True when one of them is a failure: exit 1.
[[nodiscard]] bool any_failed(const std::vector<Finding>& findings) noexcept;

}  // namespace postern::relay::config
