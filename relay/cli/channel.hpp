#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/admin/api.hpp"
#include "relay/cli/output.hpp"
#include "relay/config/config.hpp"

namespace postern::relay::cli {

/// A call of the admin API as the command line makes it.
struct Call {
    std::string method = "GET";
    std::vector<std::string> path;  ///< Behind /api/v1: {"account", "ann@example.net"}.
    admin::Query query;
    Json body;  ///< Null: none.
    std::string reason;
    std::chrono::seconds patience{120};  ///< For the answer of a running relay.

    /// "/api/v1/account/ann%40example.net?limit=5"
    [[nodiscard]] std::string target() const;
};

/// The way to the API: the socket of a running relay, or the same API here over a stopped relay's
/// files.
class Channel {
  public:
    virtual ~Channel() = default;
    /// Empty: the relay did not answer.
    [[nodiscard]] virtual std::optional<admin::Response> send(const Call& call) = 0;
};

enum class Way : std::uint8_t {
    running,  ///< r: the relay must run.
    files,    ///< f: the files serve when it does not.
    reading,  ///< As files, but a missing state is not made: nothing is found (exit 1).
    listing,  ///< As reading, and the list is empty (exit 0).
};

/// Finds the way: the configured socket, else the one that STATE/lock names; else, for `files`, the
/// files under the lock (as root after becoming the user that `serve` becomes). Null with a fault
/// told on `out` and its code in `exit`.
[[nodiscard]] std::unique_ptr<Channel> open_channel(const config::Config& config, Way way,
                                                    const Output& out, Exit& exit);

/// A running relay behind its Unix socket; null where nobody listens.
[[nodiscard]] std::unique_ptr<Channel> connect_socket(const std::string& path);

/// The API in this process over STATE's files. Holds the lock until it goes.
[[nodiscard]] std::unique_ptr<Channel> open_files(const config::Config& config, const Output& out,
                                                  Exit& exit);

}  // namespace postern::relay::cli
