#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "relay/asio.hpp"
#include "relay/config/config.hpp"
#include "relay/event/stream.hpp"
#include "relay/intake/call.hpp"
#include "relay/intake/desk.hpp"
#include "relay/net/tls.hpp"

namespace postern::relay::intake {

/// What the listeners work with; all of it outlives them, and the desk calls no `done` any more
/// once their io_context is gone.
struct ListenerPorts {
    Desk& desk;
    event::Stream& events;
    std::function<config::ConfigPtr()> config;  ///< In force now: secrets follow a reload.
    std::function<net::TlsServerPtr()> tls;     ///< Likewise.
    ReadCall read_call;                         ///< Null: webhooks are answered 503.
    asio::thread_pool& pool;                    ///< Where JSON is read.
    /// Counts what never reaches the desk, by the labels of intake_total; may be null.
    std::function<void(std::string_view kind, std::string_view result)> count;
};

struct ListenerLimits {
    std::size_t mail_connections = 64;
    std::size_t http_connections = 64;
    std::size_t http_of_address = 16;  ///< Of one that is neither loopback nor private.
    std::chrono::milliseconds mail_patience = std::chrono::minutes(5);
    std::chrono::milliseconds http_patience = std::chrono::seconds(30);
};

/// The intake's listeners: LMTP, SMTP and HTTP, plain or TLS. On one io_context that one thread
/// runs; all calls there.
class Listeners {
  public:
    /// Adopts open listening sockets, one for each of config.intake.listen, in order.
    Listeners(asio::io_context& context, ListenerPorts ports, const std::vector<int>& sockets,
              ListenerLimits limits = {});
    Listeners(const Listeners&) = delete;
    Listeners& operator=(const Listeners&) = delete;
    ~Listeners();

    /// Serves until stop(); returns when every connection has ended.
    [[nodiscard]] awaitable<void> run();
    /// No more connections; who waits is told 421 or closed, what is under way ends.
    void stop();
    /// Closes what is left.
    void abort();
    /// run() is over, or has nothing more to do.
    [[nodiscard]] bool quiet() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::intake
