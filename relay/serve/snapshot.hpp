#pragma once

#include <string>

#include <boost/asio/thread_pool.hpp>

#include "relay/session/services.hpp"

namespace postern::relay {

/// What a snapshot is made from beside the configuration.
struct SnapshotParts {
    std::shared_ptr<net::TicketKeys> tickets;
    net::TlsServerPtr tls;  ///< Loaded already, with the rights of the start; null: load it.
    event::Stream* events = nullptr;
    SnapshotPtr before;                ///< Null at start; paths that did not change are taken over.
    std::function<void()> path_freed;  ///< Path::on_free
    asio::thread_pool* compute = nullptr;  ///< Where logins to upstreams derive their keys.
};

/// The certificates of a configuration. Error: as below.
[[nodiscard]] boost::system::result<net::TlsServerPtr, std::string> load_tls(
    const config::Config& config, const std::shared_ptr<net::TicketKeys>& tickets);

/// What the login guard is told of a configuration.
[[nodiscard]] policy::LoginGuard::Settings guard_settings(const config::Config& config);

/// Loads certificates, makes the paths and the policy's settings; changes nothing of what is in
/// force. Error: a sentence that names the file and what is wrong with it.
[[nodiscard]] boost::system::result<SnapshotPtr, std::string> make_snapshot(
    config::ConfigPtr config, const SnapshotParts& parts);

/// Tells what `now` shares with the snapshot `before` it (null: the first), once Current has it.
void came_into_force(const Snapshot& now, const Snapshot* before);

}  // namespace postern::relay
