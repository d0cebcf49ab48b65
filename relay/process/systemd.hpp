#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::relay::process {

/// Speaks the sd_notify protocol (datagrams to NOTIFY_SOCKET) without libsystemd. Without a socket
/// every call does nothing.
class Notifier {
  public:
    /// Takes NOTIFY_SOCKET and WATCHDOG_USEC (for this pid) and removes them from the environment,
    /// so that no child speaks for us. Call it before privileges are dropped and threads are
    /// started.
    [[nodiscard]] static Notifier from_environment();
    Notifier() = default;
    explicit Notifier(std::string socket, std::chrono::microseconds watchdog = {})
        : socket_(std::move(socket)), watchdog_(watchdog) {}

    void ready() const noexcept;
    void reloading() const noexcept;  ///< `ready` ends it.
    void stopping() const noexcept;
    void status(std::string_view text) const noexcept;  ///< One line for `systemctl status`.
    void alive() const noexcept;                        ///< WATCHDOG=1
    /// How often `alive` is to be called at least (half of what systemd allows); empty: no
    /// watchdog.
    [[nodiscard]] std::optional<std::chrono::microseconds> watchdog_interval() const noexcept;
    [[nodiscard]] bool enabled() const noexcept { return !socket_.empty(); }

  private:
    void send(const std::string& message) const noexcept;
    std::string socket_;
    std::chrono::microseconds watchdog_{};
};

/// A socket handed over by socket activation: bound and listening.
struct PassedSocket {
    int descriptor = -1;  ///< The caller's to own; close-on-exec is set.
    std::string name;     ///< FileDescriptorName=
    std::string address;  ///< IP literal, or the path of a Unix socket.
    unsigned short port = 0;
};

/// LISTEN_FDS of this pid (LISTEN_PID), removed from the environment. Sockets that do not listen
/// are closed.
[[nodiscard]] std::vector<PassedSocket> passed_sockets();

}  // namespace postern::relay::process
