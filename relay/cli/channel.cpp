#include "relay/cli/channel.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "relay/process/lock.hpp"

namespace postern::relay::cli {
namespace {

std::string encoded(std::string_view text) {
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    std::string out;
    for (const char c : text) {
        if (plain.find(c) != std::string_view::npos) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

}  // namespace

std::string Call::target() const {
    std::string out = "/api/v1";
    for (const std::string& part : path) out += "/" + encoded(part);
    char separator = '?';
    for (const auto& [name, value] : query) {
        out += separator + encoded(name) + "=" + encoded(value);
        separator = '&';
    }
    return out;
}

std::unique_ptr<Channel> open_channel(const config::Config& config, Way way, const Output& out,
                                      Exit& exit) {
    if (auto channel = connect_socket(config.admin_socket())) return channel;
    const auto holder = process::StateLock::holder(config.server.state);
    if (holder) {
        if (auto channel = connect_socket(holder->admin)) return channel;
        exit = out.fault(
            Exit::unreachable, "the relay does not answer on its admin socket",
            fmt::format(
                "process {} holds {}/lock; see whether it hangs, or whether you may use the socket",
                holder->pid, config.server.state));
        return nullptr;
    }
    if (!process::StateLock::readable(config.server.state)) {
        exit =
            out.fault(Exit::unreachable, fmt::format("{}: Permission denied", config.server.state),
                      "run it as root or as the relay's user");
        return nullptr;
    }
    if (way == Way::running) {
        exit = out.fault(Exit::unreachable, "the relay is not running",
                         "start it with: postern serve");
        return nullptr;
    }
    const std::string& state = config.server.state;
    if (way != Way::files && ::access(state.c_str(), F_OK) != 0 && errno == ENOENT) {
        exit = way == Way::listing ? Exit::done
                                   : out.fault(Exit::refused, fmt::format("{} is not there", state),
                                               "nothing was made yet; see server.state and -c");
        return nullptr;
    }
    return open_files(config, out, exit);
}

}  // namespace postern::relay::cli
