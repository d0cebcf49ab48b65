#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "relay/net/resolver.hpp"
#include "relay/net/stream.hpp"

namespace postern::relay::net {

/// The way to end a connect() from outside; does nothing when none is under way.
class ConnectStop {
  public:
    /// The connect() ends soon with operation_aborted.
    void stop() const {
        if (now) now();
    }
    std::function<void()> now;  ///< Set by connect() while it is under way.
};

struct ConnectOptions {
    ConnectStop* stop = nullptr;                     ///< Outlives the connect().
    std::chrono::steady_clock::time_point deadline;  ///< For all addresses together.
    std::chrono::milliseconds stagger{250};          ///< Head start of each address (RFC 8305 5).
    std::optional<asio::ip::address>
        source_address{};  ///< Addresses of the other family are passed over.
    /// Set to the address that the error is about, where it is about one; outlives the connect().
    std::optional<asio::ip::address>* failed = nullptr;
};

/// Connects to the first address that answers; each next one is tried as well after `stagger`, or
/// at once when one has failed; those that lose are closed. Error: the last address's, or
/// timed_out. The stream has TCP_NODELAY and no deadline set.
[[nodiscard]] awaitable<result<Stream>> connect(asio::io_context& context, Addresses addresses,
                                                std::uint16_t port, ConnectOptions options);

}  // namespace postern::relay::net
