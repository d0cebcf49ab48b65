#include "relay/config/config.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace postern::relay::config {

std::vector<Certificate> Tls::all() const {
    std::vector<Certificate> out;
    if (!certificate.empty()) out.push_back({certificate, key});
    out.insert(out.end(), certificates.begin(), certificates.end());
    return out;
}

namespace {

std::string place_of(const std::string& address, std::uint16_t port) {
    return address.contains(':') ? fmt::format("[{}]:{}", address, port)
                                 : fmt::format("{}:{}", address, port);
}

}  // namespace

std::vector<Network> loopback_networks() {
    return {Network::parse("127.0.0.0/8").value(), Network::parse("::1").value()};
}

std::string Listen::place() const {
    return place_of(address, port);
}

std::string IntakeListen::place() const {
    return place_of(address, port);
}

std::string_view name(WebhookFormat format) noexcept {
    switch (format) {
        case WebhookFormat::own:
            break;
        case WebhookFormat::ses:
            return "ses";
        case WebhookFormat::mailgun:
            return "mailgun";
        case WebhookFormat::sendgrid:
            return "sendgrid";
        case WebhookFormat::postmark:
            return "postmark";
    }
    return "own";
}

std::string Address::place() const {
    switch (kind) {
        case AddressKind::srv:
            return "srv:" + host;
        case AddressKind::mx:
            return port == 25 ? "mx:" + host : fmt::format("mx:{}:{}", host, port);
        case AddressKind::host:
            break;
    }
    return host.contains(':') ? fmt::format("[{}]:{}", host, port)
                              : fmt::format("{}:{}", host, port);
}

const std::vector<std::string>& Config::mechanisms_of(const Listen& listen) const {
    static const std::vector<std::string> none;
    if (listen.devices) return none;
    return listen.mechanisms.empty() ? auth.mechanisms : listen.mechanisms;
}

bool Config::offers(std::string_view mechanism) const {
    return std::ranges::any_of(server.listen, [&](const Listen& listen) {
        const auto& offered = mechanisms_of(listen);
        return std::ranges::find(offered, mechanism) != offered.end();
    });
}

const std::string& Config::admin_socket() const {
    static const std::string none;
    const auto it =
        std::ranges::find_if(server.admin, [](const AdminListen& a) { return !a.path.empty(); });
    return it == server.admin.end() ? none : it->path;
}

bool Config::takes_tokens() const {
    return offers("OAUTHBEARER") || offers("XOAUTH2");
}

std::vector<std::string> device_listeners(const Config& config) {
    std::vector<std::string> out;
    for (const Listen& listen : config.server.listen) {
        if (listen.devices && std::ranges::find(out, listen.name) == out.end())
            out.push_back(listen.name);
    }
    return out;
}

std::string_view name(UpstreamRole role) noexcept {
    switch (role) {
        case UpstreamRole::primary:
            return "primary";
        case UpstreamRole::fallback:
            return "fallback";
        case UpstreamRole::standby:
            break;
    }
    return "standby";
}

bool may_go_plain(const Upstream& upstream, std::string_view peer_address) {
    return upstream.insecure || is_private(peer_address);
}

bool UpstreamOAuth::same_as(const UpstreamOAuth& other) const {
    return token_url == other.token_url && client_id == other.client_id &&
           client_secret.reveal() == other.client_secret.reveal() &&
           refresh_token.reveal() == other.refresh_token.reveal() && scope == other.scope;
}

}  // namespace postern::relay::config
