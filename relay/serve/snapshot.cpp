#include "relay/serve/snapshot.hpp"

#include <sys/resource.h>

#include <algorithm>

#include <fmt/format.h>

#include "relay/net/tls_files.hpp"
#include "relay/serve/paths.hpp"

namespace postern::relay {

namespace {

template <class T>
using made = boost::system::result<T, std::string>;

policy::Mode mode_of(config::Mode mode) {
    switch (mode) {
        case config::Mode::enforce:
            return policy::Mode::enforce;
        case config::Mode::observe:
            return policy::Mode::observe;
        case config::Mode::off:
            break;
    }
    return policy::Mode::off;
}

/// How many sessions the descriptors of this process allow, beside its upstream connections, files
/// and the rest.
std::size_t descriptor_room(const config::Config& config) {
    constexpr std::uint64_t others = 256;
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
        return config.resources.max_connections;
    std::uint64_t taken = others;
    for (const config::Upstream& upstream : config.upstream) taken += upstream.concurrency;
    return files.rlim_cur > taken + 16 ? static_cast<std::size_t>(files.rlim_cur - taken) : 16;
}

policy::Settings policy_settings(const config::Config& config) {
    policy::Settings out;
    out.rules.set(policy::Rule::sender_ownership, mode_of(config.rules.sender_ownership));
    out.rules.set(policy::Rule::header_from, mode_of(config.rules.header_from));
    out.rules.set(policy::Rule::login_guard, mode_of(config.rules.login_guard));
    out.rules.set(policy::Rule::limits, mode_of(config.rules.limits));
    out.rules.set(policy::Rule::suppression, mode_of(config.rules.suppression));
    for (const auto& [name, plan] : config.limits) {
        out.plans[name] =
            policy::PlanLimits{.messages = plan.messages, .recipients = plan.recipients};
    }
    out.max_size = config.message.max_size;
    out.max_recipients = config.message.max_recipients;
    out.max_connections =
        std::min<std::size_t>(config.resources.max_connections, descriptor_room(config));
    out.max_connections_per_source = config.resources.max_connections_per_source;
    out.max_connections_per_account = config.resources.max_connections_per_account;
    out.contact = config.server.contact;
    return out;
}

enum class ForWhom : std::uint8_t { people, devices };

std::shared_ptr<const proto::SessionSettings> session_settings(const config::Config& config,
                                                               config::ListenTls tls,
                                                               ForWhom whom) {
    auto out = std::make_shared<proto::SessionSettings>();
    out->hostname = config.server.hostname;
    out->implicit_tls = tls == config::ListenTls::implicit;
    out->devices = whom == ForWhom::devices;
    out->normalize_newlines = config.message.bare_newline == config::BareNewline::normalize;
    out->max_recipients = config.message.max_recipients;
    out->contact = config.server.contact;
    return out;
}

/// A file is read anew even where nothing changed but what is in it.
made<bool> make_token_keys(Snapshot& out, const config::Config& config,
                           const SnapshotParts& parts) {
    if (!config.takes_tokens()) return false;
    out.tokens = parts.before ? parts.before->tokens : nullptr;
    if (!out.tokens || out.tokens->settings() != config.auth.oauth)
        out.tokens = std::make_shared<oauth::TokenKeys>(config.auth.oauth, *parts.events);
    if (out.tokens->by_url()) return true;
    auto read = out.tokens->read_file();
    if (!read) return read.error();
    out.token_keys = std::move(*read);
    return true;
}

}  // namespace

boost::system::result<net::TlsServerPtr, std::string> load_tls(
    const config::Config& config, const std::shared_ptr<net::TicketKeys>& tickets) {
    std::vector<net::CertificateFiles> files;
    for (const config::Certificate& one : config.tls.all()) {
        files.push_back({one.certificate, one.key});
    }
    std::shared_ptr<const auth::CertificateAuthority> authority;
    if (const config::External& external = config.auth.external;
        !external.ca.empty() && config.offers("EXTERNAL")) {
        auto loaded = net::load_authority(external.ca, external.crl,
                                          external.name == config::CertificateName::email
                                              ? auth::NameFrom::email
                                              : auth::NameFrom::common_name);
        if (!loaded) return loaded.error().file + ": " + loaded.error().what;
        authority = std::move(*loaded);
    }
    auto tls = net::TlsServer::load(files, tickets, std::move(authority));
    if (!tls) return tls.error().file + ": " + tls.error().what;
    return net::TlsServerPtr(*tls);
}

policy::LoginGuard::Settings guard_settings(const config::Config& config) {
    return {.mode = mode_of(config.rules.login_guard),
            .known_for =
                std::chrono::duration_cast<std::chrono::seconds>(config.login_guard.known_for)};
}

boost::system::result<SnapshotPtr, std::string> make_snapshot(config::ConfigPtr config,
                                                              const SnapshotParts& parts) {
    auto out = std::make_shared<Snapshot>();
    out->tls = parts.tls;
    if (!out->tls) {
        auto tls = load_tls(*config, parts.tickets);
        if (!tls) return tls.error();
        out->tls = *tls;
    }
    auto paths = make_paths(*config, parts);
    if (!paths) return paths.error();
    out->paths = *paths;
    out->policy = policy_settings(*config);
    using enum config::ListenTls;
    out->starttls = session_settings(*config, starttls, ForWhom::people);
    out->implicit = session_settings(*config, implicit, ForWhom::people);
    out->device_starttls = session_settings(*config, starttls, ForWhom::devices);
    out->device_implicit = session_settings(*config, implicit, ForWhom::devices);
    if (!config->login_guard.geoip.empty()) {
        auto geo = geo::Database::open(config->login_guard.geoip);
        if (!geo)
            return fmt::format("login_guard.geoip: {} {}", geo.error().file, geo.error().text);
        out->geo = *geo;
    }
    if (const auto tokens = make_token_keys(*out, *config, parts); !tokens) return tokens.error();
    out->config = std::move(config);
    return SnapshotPtr(std::move(out));
}

void came_into_force(const Snapshot& now, const Snapshot* before) {
    if (now.token_keys) now.tokens->use(now.token_keys);
    for (const PathPtr& path : now.paths->paths) path->in_force();
    if (before == nullptr) return;
    for (const PathPtr& old : before->paths->paths) {
        if (std::ranges::find(now.paths->paths, old) == now.paths->paths.end())
            old->retired.store(true);
    }
}

}  // namespace postern::relay
