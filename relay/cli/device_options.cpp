#include "relay/cli/device_options.hpp"

#include <fmt/format.h>

#include "auth/device.hpp"
#include "proto/address.hpp"
#include "proto/network.hpp"

namespace postern::relay::cli {

namespace {

bool wrong(const Context& c, std::string_view what, std::string_view right) {
    (void)c.out.fault(Exit::usage, what, right);
    return false;
}

bool is_recipient(const std::string& text) {
    return proto::parse_mailbox(text.starts_with('@') ? "x" + text : text, true).has_value();
}

}  // namespace

void DeviceOptions::add_to(CLI::App& app) {
    app.add_option("--source", source,
                   "Of a device: its address, or the network of a few like it (192.0.2.16/28)");
    app.add_option("--listener", listener,
                   "Of a device: the name of a listener with the word devices");
    repeated(app, "--rcpt", rcpts,
             "Of a device: an address or @DOMAIN that it may write to; without one, to anybody");
}

bool DeviceOptions::any() const {
    return !source.empty() || !listener.empty() || !rcpts.empty();
}

bool DeviceOptions::put(const Context& c, const std::string& kind, Json& body) const {
    if (kind != auth::device_kind) {
        if (!any()) return true;
        const char* const which = !source.empty()     ? "--source"
                                  : !listener.empty() ? "--listener"
                                                      : "--rcpt";
        return wrong(c, fmt::format("{} with --kind {}", which, kind),
                     "it belongs to --kind device");
    }
    if (source.empty())
        return wrong(c, "--kind device", "say from where: --source 192.0.2.8 --listener NAME");
    if (listener.empty())
        return wrong(c, "--kind device",
                     "say where: --listener NAME, of a listener with the word devices");
    const auto network = proto::Network::parse(source);
    if (!network)
        return wrong(c, fmt::format("--source {}", source),
                     "write a network like 192.0.2.8, 192.0.2.16/28 or 2001:db8::8 (no bits set "
                     "behind the slash's count)");
    if (!auth::may_bind(*network))
        return wrong(c, fmt::format("--source {}", source),
                     "whoever speaks from there could send: name the device's own address, /8 at "
                     "the widest (IPv6: /32)");
    for (const std::string& rcpt : rcpts) {
        if (!is_recipient(rcpt))
            return wrong(c, fmt::format("--rcpt {}", rcpt),
                         "write an address like ann@example.net, or @example.net");
    }
    body["source"] = source;
    body["listener"] = listener;
    if (!rcpts.empty()) body["rcpts"] = rcpts;
    return true;
}

void DeviceOptions::warn(const Context& c) const {
    const auto network = proto::Network::parse(source);
    if (!network || !auth::is_wide(*network)) return;
    c.out.note(
        fmt::format("{} is wide: whoever speaks from there sends as this account; name the "
                    "device's own address if it has one",
                    network->cidr()));
}

}  // namespace postern::relay::cli
