// `postern check`: connects and logs in to each upstream, as a probe of the running relay would.

#include <fmt/format.h>

#include "relay/event/stream.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/tls.hpp"
#include "relay/oauth/token_fetcher.hpp"
#include "relay/serve.hpp"
#include "relay/serve/paths.hpp"
#include "relay/upstream/attempt.hpp"
#include "relay/upstream/connection.hpp"
#include "relay/upstream/targets.hpp"

namespace postern::relay {

namespace {

/// What a domain's records lead to.
awaitable<void> check_records(net::Resolver& resolver, event::Stream& events,
                              const config::Upstream& upstream, std::vector<config::Finding>& out) {
    const std::string place = upstream.address.place();
    const auto targets = co_await find_targets(
        resolver, upstream, events, std::chrono::steady_clock::now() + std::chrono::seconds(10));
    if (!targets) {
        out.push_back({.check = "dns",
                       .status = config::Status::fail,
                       .text = fmt::format("upstream {}: {}: {}", upstream.name, place,
                                           targets.error().message()),
                       .fix = "see whether the domain is right and publishes such records, or "
                              "write the host itself as address"});
        co_return;
    }
    std::string list;
    for (const Target& one : *targets)
        list += fmt::format("{}{}:{}", list.empty() ? "" : ", ", one.host, one.port);
    out.push_back({.check = "dns",
                   .status = config::Status::ok,
                   .text = fmt::format("upstream {}: {} leads to {}", upstream.name, place, list),
                   .fix = ""});
}

/// What only one login has at hand.
struct Desk {
    asio::io_context& context;
    asio::thread_pool& pool;
    net::Resolver& resolver;
    event::Stream& events;
    std::vector<std::string> resolvers;
};

/// Fetches the token that the login is to be by. False: there is none, and it was told.
awaitable<bool> check_token(Desk& desk, PathPtr path, std::vector<config::Finding>& out) {
    const oauth::TokenSourcePtr source = path->settings().login->tokens();
    if (!source) co_return true;
    const auto unkept =
        co_await oauth::fetch_token(desk.context, desk.pool, source, desk.resolvers);
    if (unkept) {
        out.push_back({.check = "upstream",
                       .status = config::Status::warn,
                       .text = fmt::format("{}: the token server gave a new refresh token, and it "
                                           "cannot be kept: {}",
                                           path->name(), *unkept),
                       .fix = "see that server.state can be written, and renew the configured one "
                              "where the server takes it no more"});
    }
    const auto token = source->ask(std::chrono::steady_clock::now(), [](oauth::AccessToken) {});
    if (token && token->serial != 0) co_return true;
    out.push_back({.check = "upstream",
                   .status = config::Status::fail,
                   .text = fmt::format("{}: no token from {}: {}", path->name(),
                                       source->settings().oauth.token_url.url,
                                       token ? token->trouble : "none came"),
                   .fix =
                       "see upstream.oauth: token_url, client_id, client_secret, and whether the "
                       "refresh token is still good"});
    co_return false;
}

std::string fix_of_login(const config::Upstream& upstream) {
    return upstream.oauth.token_url.empty()
               ? "see username, password_file and mechanism"
               : "see username, mechanism, and whether oauth.scope lets the token send mail";
}

awaitable<void> check_one(Desk& desk, PathPtr path, std::vector<config::Finding>& out) {
    const config::Upstream& upstream = path->settings().upstream;
    const std::string place = fmt::format("{} ({})", upstream.name, upstream.address.place());
    if (upstream.address.kind != config::AddressKind::host)
        co_await check_records(desk.resolver, desk.events, upstream, out);
    if (!co_await check_token(desk, path, out)) co_return;
    Connection connection(path, Path::Slot{}, desk.events);
    const auto failed =
        co_await connection.establish(desk.context, desk.resolver, Patience::client_waits);
    if (!failed) {
        const proto::UpstreamOffer& offer = connection.offer();
        const std::string login =
            upstream.username.empty()
                ? "no login"
                : fmt::format("logged in as {} by {}", upstream.username, connection.mechanism());
        out.push_back({.check = "upstream",
                       .status = config::Status::ok,
                       .text = fmt::format("{}: {}", place, login),
                       .fix = ""});
        if (upstream.tls == config::UpstreamTls::opportunistic) {
            out.push_back({.check = "upstream",
                           .status = config::Status::warn,
                           .text = fmt::format(
                               "{}: {}", place,
                               connection.is_tls()
                                   ? "encrypted, by whoever answers there (tls = \"opportunistic\")"
                                   : "in clear text, for no STARTTLS is offered "
                                     "(tls = \"opportunistic\")"),
                           .fix = "use tls = \"verify\" or \"pin\" where the upstream can"});
        }
        if (!offer.dsn || !offer.eight_bit_mime) {
            out.push_back(
                {.check = "upstream",
                 .status = config::Status::warn,
                 .text = fmt::format("{}: does not offer{}{}", place, offer.dsn ? "" : " DSN",
                                     offer.eight_bit_mime ? "" : " 8BITMIME"),
                 .fix = "notifications are made here, and 8-bit mail takes another path or is "
                        "refused"});
        }
        co_await connection.quit();
        co_return;
    }
    const std::string why = describe(*failed);
    std::string fix = "see that the address is right and that it can be reached from here";
    using Kind = proto::ClientSession::Failed::Kind;
    if (failed->kind == Kind::no_tls)
        fix = upstream.tls == config::UpstreamTls::opportunistic
                  ? "the upstream offers no STARTTLS: set implicit_tls, or leave username out"
                  : "the upstream offers no STARTTLS: set implicit_tls, or tls = \"none\" on "
                    "loopback";
    if (failed->kind == Kind::no_auth)
        fix = upstream.mechanism.empty()
                  ? "the upstream offers no login that is known here; see implicit_tls and tls"
                  : "take upstream.mechanism out, or write one that the upstream offers";
    if (failed->stage == proto::UpstreamStage::tls)
        fix =
            upstream.tls == config::UpstreamTls::pin
                ? "see that it is the right host; if its key has changed, ask its operator for the "
                  "new one and add it to pin"
                : "the certificate must name the address; set ca for one of your own";
    if (failed->stage == proto::UpstreamStage::auth && failed->kind != Kind::no_auth)
        fix = fix_of_login(upstream);
    out.push_back({.check = "upstream",
                   .status = config::Status::fail,
                   .text = fmt::format("{}: fails at {}: {}", place, name(failed->stage), why),
                   .fix = fix});
}

}  // namespace

std::vector<config::Finding> check_upstreams(const config::Config& config) {
    std::vector<config::Finding> out;
    event::NullStream events;
    asio::io_context context(1);
    asio::thread_pool pool(1);
    net::ResolverOptions options;
    options.servers = config.dns.resolvers;
    net::Resolver resolver(context, options);
    Desk desk{context, pool, resolver, events, config.dns.resolvers};
    for (const config::Upstream& upstream : config.upstream) {
        PathSettings settings{
            .upstream = upstream, .tls = nullptr, .hostname = config.server.hostname};
        if (upstream.tls != config::UpstreamTls::none) {
            auto tls = net::TlsClient::make(tls_options(upstream));
            if (!tls) {
                out.push_back({.check = "upstream",
                               .status = config::Status::fail,
                               .text = fmt::format("{}: {}: {}", upstream.name, tls.error().file,
                                                   tls.error().what),
                               .fix = "see upstream.ca"});
                continue;
            }
            settings.tls = *tls;
        }
        if (!upstream.oauth.token_url.empty()) {
            settings.login = std::make_shared<Login>(
                upstream, nullptr,
                std::make_shared<oauth::TokenSource>(
                    oauth::TokenSource::Settings{.upstream = upstream.name,
                                                 .oauth = upstream.oauth,
                                                 .file = refresh_token_file(config, upstream)},
                    events));
        }
        asio::co_spawn(context,
                       check_one(desk, std::make_shared<Path>(std::move(settings), events), out),
                       [](const std::exception_ptr& bug) {
                           if (bug) std::rethrow_exception(bug);
                       });
        context.run();
        context.restart();
    }
    return out;
}

}  // namespace postern::relay
