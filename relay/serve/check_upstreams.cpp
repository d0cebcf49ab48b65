// `postern check`: connects and logs in to each upstream, as a probe of the running relay would.

#include <fmt/format.h>

#include "relay/event/stream.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/tls.hpp"
#include "relay/serve.hpp"
#include "relay/upstream/attempt.hpp"
#include "relay/upstream/connection.hpp"

namespace postern::relay {

namespace {

awaitable<void> check_one(asio::io_context& context, net::Resolver& resolver, event::Stream& events,
                          PathPtr path, std::vector<config::Finding>& out) {
    const config::Upstream& upstream = path->settings().upstream;
    const std::string place =
        fmt::format("{} ({}:{})", upstream.name, upstream.address.host, upstream.address.port);
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
        fix = "the upstream offers no STARTTLS: set implicit_tls, or tls = \"none\" on loopback";
    if (failed->kind == Kind::no_auth)
        fix = "the upstream offers neither PLAIN nor LOGIN after TLS";
    if (failed->stage == proto::UpstreamStage::tls)
        fix = "the certificate must name the address; set ca for one of your own";
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
            net::TlsClientOptions tls_options;
            if (!upstream.ca.empty()) tls_options.ca_file = upstream.ca;
            auto tls = net::TlsClient::make(tls_options);
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
