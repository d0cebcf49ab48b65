#include "relay/config/check.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/timex.h>

#include <algorithm>
#include <ctime>
#include <memory>

#include "relay/config/check_parts.hpp"

namespace postern::relay::config {
namespace {

void check_name(const Upstream& upstream, std::vector<Finding>& out) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(upstream.address.host.c_str(), nullptr, &hints, &found);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, [](addrinfo* a) {
        if (a != nullptr) ::freeaddrinfo(a);
    });
    if (error != 0) {
        out.push_back({"dns", Status::fail,
                       fmt::format("upstream {}: {} has no address: {}", upstream.name,
                                   upstream.address.host, ::gai_strerror(error)),
                       "see whether the name is right and the resolver answers"});
        return;
    }
    std::size_t count = 0;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) ++count;
    out.push_back({"dns", Status::ok,
                   fmt::format("upstream {}: {} has {} address{}", upstream.name,
                               upstream.address.host, count, count == 1 ? "" : "es"),
                   ""});
}

void check_sizes(const Config& config, std::vector<Finding>& out) {
    if (config.message.max_size <= config.resources.body_memory) return;
    out.push_back({"sizes", Status::warn,
                   "message.max_size is more than resources.body_memory: what is larger than that "
                   "hears 452 each time it comes",
                   "raise body_memory to several times max_size, or lower max_size"});
}

void check_clock(std::vector<Finding>& out) {
    timex state{};
    const int clock = ::adjtimex(&state);
    if (clock == TIME_ERROR) {
        out.push_back(
            {"clock", Status::warn, "nobody keeps the system's clock in step",
             "run systemd-timesyncd or chrony: retries, logs and certificates rest on it"});
    } else if (clock >= 0) {
        out.push_back({"clock", Status::ok, "the system's clock is kept in step", ""});
    }
}

void check_descriptors(const Config& config, std::vector<Finding>& out) {
    constexpr rlim_t others = 512;  // Upstreams, files, the admin side.
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max == RLIM_INFINITY) return;
    if (limit.rlim_max >= config.resources.max_connections + others) return;
    out.push_back(
        {"descriptors", Status::warn,
         fmt::format(
             "{} file descriptors are too few for resources.max_connections = {}; fewer are taken",
             limit.rlim_max, config.resources.max_connections),
         "raise LimitNOFILE= (systemd) or ulimit -n, or lower max_connections"});
}

}  // namespace

std::string_view name(Status s) noexcept {
    switch (s) {
        case Status::ok:
            return "ok";
        case Status::warn:
            return "warn";
        case Status::fail:
            return "fail";
    }
    return "fail";
}

std::vector<Finding> check(const Loaded& loaded, const CheckOptions& options) {
    std::vector<Finding> out;
    for (const Fault& fault : loaded.faults)
        out.push_back({"file", Status::fail, fault.message(), ""});
    for (const std::string& notice : loaded.notices)
        out.push_back({"file", Status::warn, notice, ""});
    if (!loaded.config) return out;
    const Config& config = *loaded.config;
    out.insert(out.begin(), {"file", Status::ok,
                             config.file.empty() ? "all from the environment" : config.file, ""});
    if (!options.user_fault.empty()) {
        out.push_back({"rights", Status::fail, fmt::format("server.user: {}", options.user_fault),
                       "name a user of the system, and run this as root or as that user"});
    } else {
        if (!options.user_warning.empty())
            out.push_back({"rights", Status::warn, options.user_warning, ""});
        check_rights(config, options.user, out);
        check_folders(config, options.user, out);
        check_log(config, options.user, out);
    }
    check_certificates(config, out);
    check_authority(config, out);
    check_descriptors(config, out);
    check_sizes(config, out);
    check_clock(out);
    if (options.listeners) std::ranges::move(options.listeners(config), std::back_inserter(out));
    if (options.token_keys) {
        std::ranges::move(
            options.token_keys(config, options.offline ? Reach::offline : Reach::network),
            std::back_inserter(out));
    }
    if (options.logins) std::ranges::move(options.logins(config), std::back_inserter(out));
    if (options.backend) {
        std::ranges::move(
            options.backend(config, options.offline ? Reach::offline : Reach::network),
            std::back_inserter(out));
    }
    if (options.offline) return out;
    for (const Upstream& upstream : config.upstream) {
        // What MX and SRV lead to is shown by whoever asks for them: `options.upstreams`.
        if (upstream.address.kind == AddressKind::host && config.dns.resolvers.empty() &&
            !canonical_address(upstream.address.host))
            check_name(upstream, out);
    }
    if (options.upstreams) {
        std::ranges::move(options.upstreams(config), std::back_inserter(out));
    }
    return out;
}

bool any_failed(const std::vector<Finding>& findings) noexcept {
    return std::ranges::any_of(findings, [](const Finding& f) { return f.status == Status::fail; });
}

}  // namespace postern::relay::config
