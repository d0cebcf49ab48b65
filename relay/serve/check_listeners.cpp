// `postern check`: are the ports free that `serve` would listen on?

#include <fmt/format.h>

#include "relay/descriptor.hpp"
#include "relay/net/listener.hpp"
#include "relay/process/lock.hpp"
#include "relay/serve.hpp"

namespace postern::relay {

std::vector<config::Finding> check_listeners(const config::Config& config) {
    std::vector<config::Finding> out;
    // Then they are taken, and by whom they should be.
    if (process::StateLock::holder(config.server.state)) return out;
    // Whoever may not see that would take our own relay for a stranger.
    if (!process::StateLock::readable(config.server.state)) return out;
    for (const config::Listen& listen : config.server.listen) {
        const auto fd = net::open_listening_socket(listen.place());
        if (fd) {
            const Descriptor closed(*fd);
            continue;
        }
        if (fd.error() == boost::system::errc::address_not_available) {
            out.push_back(
                {.check = "listen",
                 .status = config::Status::fail,
                 .text =
                     fmt::format("cannot listen on {}: {}", listen.place(), fd.error().message()),
                 .fix = "no interface of this machine has that address (ip address): give one "
                        "that is here, or [::] for all, in server.listen"});
            continue;
        }
        const bool no_right = fd.error() == boost::system::errc::permission_denied;
        out.push_back(
            {.check = "listen",
             .status = config::Status::warn,
             .text = fmt::format("cannot listen on {}: {}", listen.place(), fd.error().message()),
             .fix = no_right ? "ports below 1024 want root at the start, or a socket from "
                               "systemd"
                             : "see who does: ss -tlnp (systemd, with a socket unit of ours); or "
                               "give another address in "
                               "server.listen"});
    }
    return out;
}

}  // namespace postern::relay
