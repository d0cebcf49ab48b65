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

/// Runs `work` off the network threads and resumes on the caller's executor.
using Offload = std::function<awaitable<Response>(std::function<Response()> work)>;

/// A socket that listens already (socket activation).
struct AdminSocket {
    config::AdminListen place;
    int descriptor = -1;
};

struct ServerSettings {
    std::vector<config::AdminListen> listen;
    std::vector<AdminSocket>
        inherited;  ///< Taken in place of binding where `place` is the same; owned from then on.
    /// Networks beside loopback that may read health and metrics; asked for each request, for a
    /// reload changes them.
    std::function<std::vector<config::Network>()> metrics_from;
    std::string hostname;  ///< Accepted in Host beside address literals and "localhost".
    std::size_t max_connections = 64;  ///< Of the sockets, and again of the ports: who fills the
                                       ///< one cannot lock the operator out of the other.
    std::size_t max_of_address = 16;   ///< Of the ports' share, for one address.
    std::uint64_t max_body = 1U << 20U;
    std::uint32_t max_header = 16U << 10U;
    std::chrono::milliseconds deadline{30'000};  ///< For a request to come, and for its answer to
                                                 ///< go.
    std::chrono::milliseconds port_deadline{5'000};  ///< The same, on a port.
};

/// HTTP/1.1 on the admin sockets and the admin port. Lives on one io_context: all calls on its
/// thread.
class Server {
  public:
    Server(asio::any_io_executor executor, ServerSettings settings, Offload offload);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Binds: a socket file gets 0660 (owner and group of `owner_uid`, `owner_gid` when root
    /// binds), a stale one is replaced. Before rights are dropped. The error names the place.
    struct Failure {
        std::string place;
        error_code error;
    };
    [[nodiscard]] std::vector<Failure> open(std::uint32_t owner_uid, std::uint32_t owner_gid);
    /// Accepts until `stop`; returns when every connection has ended. `api` outlives that.
    [[nodiscard]] awaitable<void> run(const Api& api);
    /// No more accepts, and the socket files made by `open` go; connections that wait for a request
    /// are closed, those that are being answered end with that.
    void stop();

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::admin
