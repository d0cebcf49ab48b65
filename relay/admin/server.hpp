#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "relay/admin/api.hpp"
#include "relay/asio.hpp"
#include "relay/config/config.hpp"

namespace postern::relay::admin {

/// Runs `work` off the network threads and returns to the caller's thread; the lead's offload pool.
using Offload = std::function<awaitable<Response>(std::function<Response()> work)>;

struct ServerSettings {
    std::vector<config::AdminListen> listen;
    std::vector<int> unix_descriptors;  ///< Bound and listening already (one for each unix entry),
                                        ///< or empty: bind here.
    std::vector<int> tcp_descriptors;   ///< Likewise for TCP.
    std::function<std::vector<config::Network>()>
        metrics_from;  ///< Asked for each request: a reload changes it.
    std::vector<std::string>
        host_names;  ///< Accepted in Host beside address literals and "localhost".
    std::size_t max_connections = 64;
    std::uint64_t max_body = 1U << 20U;
    std::chrono::seconds deadline{30};  ///< For a request to come and its answer to go.
};

/// HTTP/1.1 on the admin socket and the admin port. Lives on one io_context; all calls on its
/// thread.
class Server {
  public:
    Server(asio::any_io_executor executor, ServerSettings settings, const Api& api,
           Offload offload);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Binds (a socket file 0660; a stale one is replaced) and starts accepting. Before privileges
    /// are dropped.
    [[nodiscard]] result<void> open();
    /// Accepts until `stop`; ends when every connection has ended.
    [[nodiscard]] awaitable<void> run();
    /// No more accepts; connections that are not answering are closed.
    void stop();

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::admin
