#include "relay/serve/paths.hpp"

#include <algorithm>
#include <iterator>

namespace postern::relay {

net::TlsClientOptions tls_options(const config::Upstream& upstream) {
    net::TlsClientOptions out;
    if (!upstream.ca.empty()) out.ca_file = upstream.ca;
    if (upstream.tls == config::UpstreamTls::opportunistic) out.check = net::PeerCheck::none;
    if (upstream.tls == config::UpstreamTls::pin) {
        out.check = net::PeerCheck::pin;
        out.pins = upstream.pin;
    }
    return out;
}

namespace {

bool same_upstream(const config::Upstream& a, const config::Upstream& b) {
    return a.name == b.name && a.role == b.role && a.address == b.address &&
           a.implicit_tls == b.implicit_tls && a.tls == b.tls && a.ca == b.ca && a.pin == b.pin &&
           a.insecure == b.insecure && a.username == b.username &&
           a.password.reveal() == b.password.reveal() && a.mechanism == b.mechanism &&
           a.oauth.same_as(b.oauth) && a.concurrency == b.concurrency && a.weight == b.weight &&
           a.rate == b.rate && a.messages_per_connection == b.messages_per_connection &&
           a.source_address == b.source_address && a.by_default == b.by_default &&
           a.path_replies == b.path_replies && a.warm_share == b.warm_share &&
           a.warm_per_day == b.warm_per_day && a.warm_cap == b.warm_cap;
}

/// The process counts its mail in one place, whatever is configured.
std::shared_ptr<Traffic> traffic_of(const SnapshotParts& parts) {
    if (parts.before && !parts.before->paths->paths.empty())
        return parts.before->paths->paths.front()->settings().traffic;
    return std::make_shared<Traffic>(std::chrono::system_clock::now());
}

/// What is known of tokens outlives a change of other keys.
oauth::TokenSourcePtr tokens_of(const config::Upstream& upstream, const config::Config& config,
                                const PathPtr& before, const SnapshotParts& parts) {
    if (upstream.oauth.token_url.empty()) return nullptr;
    if (before) {
        const auto& known = before->settings().login->tokens();
        if (known && known->settings().oauth.same_as(upstream.oauth)) return known;
    }
    return std::make_shared<oauth::TokenSource>(
        oauth::TokenSource::Settings{.upstream = upstream.name,
                                     .oauth = upstream.oauth,
                                     .file = refresh_token_file(config, upstream)},
        *parts.events);
}

boost::system::result<PathPtr, std::string> make_path(const config::Upstream& upstream,
                                                      const config::Config& config,
                                                      const PathPtr& before,
                                                      const std::shared_ptr<Traffic>& traffic,
                                                      const SnapshotParts& parts) {
    PathSettings settings{.upstream = upstream,
                          .tls = nullptr,
                          .hostname = config.server.hostname,
                          .memory = before ? before->settings().memory : nullptr,
                          .traffic = traffic,
                          .login = std::make_shared<Login>(
                              upstream, parts.compute, tokens_of(upstream, config, before, parts))};
    if (upstream.tls != config::UpstreamTls::none) {
        auto tls = net::TlsClient::make(tls_options(upstream));
        if (!tls) return tls.error().file + ": " + tls.error().what;
        settings.tls = *tls;
    }
    auto path = std::make_shared<Path>(std::move(settings), *parts.events);
    path->on_free = parts.path_freed;
    return path;
}

void add_routes(const config::Config& config, PathSet& set) {
    for (const config::Route& rule : config.route) {
        PathRoute route{.rule = rule, .paths = {}};
        std::ranges::copy_if(set.paths, std::back_inserter(route.paths), [&](const PathPtr& path) {
            return std::ranges::find(rule.upstreams, path->name()) != rule.upstreams.end();
        });
        set.routes.push_back(std::move(route));
    }
}

}  // namespace

std::string refresh_token_file(const config::Config& config, const config::Upstream& upstream) {
    return config.server.state + "/keys/oauth-" + upstream.name;
}

boost::system::result<PathSetPtr, std::string> make_paths(const config::Config& config,
                                                          const SnapshotParts& parts) {
    const auto traffic = traffic_of(parts);
    const bool same_host =
        parts.before && parts.before->config->server.hostname == config.server.hostname;
    auto set = std::make_shared<PathSet>();
    for (const config::Upstream& upstream : config.upstream) {
        PathPtr old = parts.before ? parts.before->paths->find(upstream.name) : nullptr;
        if (old && same_host && same_upstream(old->settings().upstream, upstream)) {
            set->paths.push_back(std::move(old));
            continue;
        }
        auto path = make_path(upstream, config, old, traffic, parts);
        if (!path) return path.error();
        set->paths.push_back(std::move(*path));
    }
    // Each role in the order of the file.
    std::vector<PathPtr> ordered;
    using enum config::UpstreamRole;
    for (const auto role : {primary, fallback, standby}) {
        std::ranges::copy_if(set->paths, std::back_inserter(ordered), [&](const PathPtr& path) {
            return path->settings().upstream.role == role;
        });
    }
    set->paths = std::move(ordered);
    add_routes(config, *set);
    return PathSetPtr(std::move(set));
}

}  // namespace postern::relay
