// `postern check`: are the ports free that `serve` would listen on?

#include <fmt/format.h>

#include "relay/descriptor.hpp"
#include "relay/net/listener.hpp"
#include "relay/process/lock.hpp"
#include "relay/serve.hpp"

namespace postern::relay {

namespace {

/// `place` "192.0.2.1:587"; `key` names it.
void check_port(const std::string& place, std::string_view key, std::vector<config::Finding>& out) {
    const auto fd = net::open_listening_socket(place);
    if (fd) {
        const Descriptor closed(*fd);
        return;
    }
    const std::string text = fmt::format("cannot listen on {}: {}", place, fd.error().message());
    if (fd.error() == boost::system::errc::address_not_available) {
        out.push_back({.check = "listen",
                       .status = config::Status::fail,
                       .text = text,
                       .fix = fmt::format("no interface of this machine has that address (ip "
                                          "address): give one that is here, or [::] for all, in "
                                          "{}",
                                          key)});
        return;
    }
    const bool no_right = fd.error() == boost::system::errc::permission_denied;
    out.push_back({.check = "listen",
                   .status = config::Status::warn,
                   .text = text,
                   .fix = no_right
                              ? std::string("ports below 1024 want root at the start, or a socket "
                                            "from systemd")
                              : fmt::format("see who does: ss -tlnp (systemd, with a socket unit "
                                            "of ours); or give another address in {}",
                                            key)});
}

}  // namespace

std::vector<config::Finding> check_listeners(const config::Config& config) {
    std::vector<config::Finding> out;
    // Then they are taken, and by whom they should be.
    if (process::StateLock::holder(config.server.state)) return out;
    // Whoever may not see that would take our own relay for a stranger.
    if (!process::StateLock::readable(config.server.state)) return out;
    for (const config::Listen& listen : config.server.listen)
        check_port(listen.place(), "server.listen", out);
    for (const config::IntakeListen& listen : config.intake.listen)
        check_port(listen.place(), "intake.listen", out);
    return out;
}

}  // namespace postern::relay
