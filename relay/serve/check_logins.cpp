// `postern check`: devices that the store has, files that tell where addresses are.

#include <algorithm>

#include <fmt/format.h>

#include "auth/account_store.hpp"
#include "auth/device.hpp"
#include "relay/geo/database.hpp"
#include "relay/serve.hpp"

namespace postern::relay {

namespace {

using config::Finding;
using config::Status;

void check_geoip(const config::Config& config, std::vector<Finding>& out) {
    for (const std::string& file : config.login_guard.geoip) {
        const auto opened = geo::Database::open({file});
        if (opened) {
            out.push_back({.check = "geoip", .status = Status::ok, .text = file, .fix = ""});
            continue;
        }
        out.push_back({.check = "geoip",
                       .status = Status::fail,
                       .text = fmt::format("{}: {}", file, opened.error().text),
                       .fix = "name files like GeoLite2-ASN.mmdb and GeoLite2-Country.mmdb in "
                              "login_guard.geoip, or leave the key out"});
    }
}

void check_device(const config::Config& config, const auth::StoredDevice& device,
                  std::vector<Finding>& out) {
    const std::string who = fmt::format("{} of {}", device.credential, device.account);
    const auto network = proto::Network::parse(device.source);
    if (network && auth::is_wide(*network)) {
        out.push_back({.check = "devices",
                       .status = Status::warn,
                       .text = fmt::format("{}: {} is wide: whoever speaks from there sends as "
                                           "this account",
                                           who, device.source),
                       .fix = fmt::format("name the devices' own addresses, /28 at the widest "
                                          "(IPv6: /64): postern account credential revoke {} {}, "
                                          "and add",
                                          device.account, device.credential)});
    }
    const auto listeners = config::device_listeners(config);
    if (std::ranges::find(listeners, device.listener) == listeners.end()) {
        out.push_back(
            {.check = "devices",
             .status = Status::warn,
             .text = fmt::format("{}: it is bound to listener {}, and none with the word "
                                 "devices has that name",
                                 who, device.listener),
             .fix = fmt::format("add one to server.listen, like \"192.0.2.1:2525 starttls "
                                "devices name={}\"",
                                device.listener)});
    }
}

void check_plans(const config::Config& config, std::vector<Finding>& out) {
    const auto used = auth::AccountStore::stored_plans(config.server.state + "/accounts.db");
    if (!used) return;  // That it cannot be read has been told.
    for (const std::string& plan : *used) {
        if (config.limits.contains(plan)) continue;
        out.push_back({.check = "limits",
                       .status = Status::warn,
                       .text = fmt::format("plan {} is given to accounts, customers or credentials "
                                           "and stands in no [limits.{}]: {} holds for them",
                                           plan, plan, auth::default_plan),
                       .fix = fmt::format("write [limits.{}], or give them another plan", plan)});
    }
}

void check_devices(const config::Config& config, std::vector<Finding>& out) {
    const auto devices = auth::stored_devices(config.server.state + "/accounts.db");
    if (!devices) {
        out.push_back(
            {.check = "devices",
             .status = Status::warn,
             .text = fmt::format("the account store cannot be read: {}", devices.error().message()),
             .fix = "run this as root or as the relay's user"});
        return;
    }
    for (const auth::StoredDevice& device : *devices) check_device(config, device, out);
    check_plans(config, out);
}

}  // namespace

std::vector<Finding> check_logins(const config::Config& config) {
    std::vector<Finding> out;
    check_geoip(config, out);
    return out;
}

std::vector<Finding> check_devices(const config::Config& config) {
    std::vector<Finding> out;
    check_devices(config, out);
    return out;
}

}  // namespace postern::relay
