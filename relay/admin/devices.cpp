// Credentials of kind device: bound to a network and a listener.
#include "relay/admin/devices.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "relay/admin/account_parts.hpp"

namespace postern::relay::admin {

using auth::AuthError;

namespace {

Checked<void> check_listener(const Ports& ports, const std::string& listener) {
    if (!ports.device_listeners) return {};
    const std::vector<std::string> there = ports.device_listeners();
    if (std::ranges::find(there, listener) != there.end()) return {};
    return invalid(
        there.empty()
            ? std::string("there is no listener for devices: server.listen takes one like "
                          "\"192.0.2.1:2525 starttls devices name=printers\"")
            : fmt::format("is no listener for devices; those are {}", fmt::join(there, ", ")),
        "listener");
}

}  // namespace

Checked<auth::NewDevice> device_in(const Ports& ports, Fields& fields, std::string name) {
    const auto source = fields.text("source");
    if (!source) return source.error();
    if (!*source)
        return invalid("is missing; send a network like \"192.0.2.8\" or \"192.0.2.16/28\"",
                       "source");
    const auto listener = fields.text("listener");
    if (!listener) return listener.error();
    if (!*listener)
        return invalid("is missing; send the name of a listener for devices", "listener");
    const auto rcpts = fields.texts("rcpts");
    if (!rcpts) return rcpts.error();
    const auto plan = fields.text("plan");
    if (!plan) return plan.error();
    if (const auto done = fields.done(); !done) return done.error();
    if (const auto known = check_plan(ports, plan->value_or("")); !known) return known.error();
    if (const auto known = check_listener(ports, **listener); !known) return known.error();
    return auth::NewDevice{.name = std::move(name),
                           .source = **source,
                           .listener = **listener,
                           .rcpts = rcpts->value_or(std::vector<std::string>()),
                           .plan = plan->value_or("")};
}

Problem from_device(const boost::system::error_code& error) {
    if (error == AuthError::invalid_source)
        return invalid(
            "is no network for a device; send one like \"192.0.2.8\" or \"192.0.2.16/28\" (no bits "
            "set behind the slash's count; not wider than /8, IPv6 /32)",
            "source");
    if (error == AuthError::invalid_listener)
        return invalid("is no name of a listener", "listener");
    if (error == AuthError::invalid_rcpt)
        return invalid(
            fmt::format("must be addresses or \"@DOMAIN\", {} at most", auth::max_device_rcpts),
            "rcpts");
    if (error == AuthError::source_taken)
        return {409, "conflict", "another device has that very network at that listener", "source"};
    if (error == AuthError::too_many_devices)
        return {409, "conflict", "there are as many devices as there may be: revoke one first",
                "credential"};
    return from_store(error);
}

}  // namespace postern::relay::admin
