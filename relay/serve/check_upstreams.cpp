// `postern check`: connects and logs in to each upstream, as a probe of the running relay would.

#include <fmt/format.h>

#include "relay/event/stream.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/tls.hpp"
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

awaitable<void> check_one(asio::io_context& context, net::Resolver& resolver, event::Stream& events,
                          PathPtr path, std::vector<config::Finding>& out) {
    const config::Upstream& upstream = path->settings().upstream;
    const std::string place = fmt::format("{} ({})", upstream.name, upstream.address.place());
    if (upstream.address.kind != config::AddressKind::host)
        co_await check_records(resolver, events, upstream, out);
    Connection connection(path, Path::Slot{}, events);
    const auto failed = co_await connection.establish(context, resolver, Patience::client_waits);
    if (!failed) {
        const proto::UpstreamOffer& offer = connection.offer();
        const std::string login =
            upstream.username.empty() ? "no login" : "logged in as " + upstream.username;
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
        fix = "the upstream offers neither PLAIN nor LOGIN after TLS";
    if (failed->stage == proto::UpstreamStage::tls)
        fix =
            upstream.tls == config::UpstreamTls::pin
                ? "see that it is the right host; if its key has changed, ask its operator for the "
                  "new one and add it to pin"
                : "the certificate must name the address; set ca for one of your own";
    if (failed->stage == proto::UpstreamStage::auth) fix = "see username and password_file";
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
    net::ResolverOptions options;
    options.servers = config.dns.resolvers;
    net::Resolver resolver(context, options);
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
        asio::co_spawn(context,
                       check_one(context, resolver, events,
                                 std::make_shared<Path>(std::move(settings), events), out),
                       [](const std::exception_ptr& bug) {
                           if (bug) std::rethrow_exception(bug);
                       });
        context.run();
        context.restart();
    }
    return out;
}

}  // namespace postern::relay
