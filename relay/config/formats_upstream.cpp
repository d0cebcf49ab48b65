// What an upstream and a route say: where it is, its key, its replies.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "proto/address.hpp"
#include "proto/base64.hpp"
#include "relay/config/formats.hpp"
#include "relay/config/names.hpp"

namespace postern::relay::config::formats {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// "5.7.1"
bool is_enhanced(std::string_view text) {
    if (text.empty() || !is_digit(text.front()) || !is_digit(text.back())) return false;
    const bool made_of = std::ranges::all_of(text, [](char c) { return is_digit(c) || c == '.'; });
    return made_of && std::ranges::count(text, '.') == 2 && !text.contains("..");
}

constexpr std::string_view pin_prefix = "sha256//";

}  // namespace

void UpstreamAddress::read(Reading& r, const Node& node, const std::string& key,
                           Address& out) const {
    constexpr std::string_view example =
        "write one like \"smtp.provider.example:587\" or \"[2001:db8::1]:465\"";
    constexpr std::string_view domain_example =
        "write one like \"mx:example.net\", \"mx:example.net:2525\" or \"srv:example.net\"";
    const auto text = text_of(r, node, key, "a host and port like \"smtp.provider.example:587\"");
    if (!text) return;
    std::string_view rest = trimmed(*text);
    Address address;
    if (rest.starts_with("mx:")) address = {.host = {}, .port = 25, .kind = AddressKind::mx};
    if (rest.starts_with("srv:")) address = {.host = {}, .port = 0, .kind = AddressKind::srv};
    if (address.kind == AddressKind::host) {
        const auto place = parse_host_port(rest);
        if (!place) {
            r.fault(node.where, key,
                    fmt::format("{} is no host and port; {}", in_quotes(*text), example));
            return;
        }
        out = {.host = place->host, .port = place->port.value_or(587)};
        return;
    }
    rest.remove_prefix(rest.find(':') + 1);
    // A domain may be written in any script; what stands behind its colon is the port's business.
    const auto colon = rest.find(':');
    const std::string ascii =
        rest.starts_with('[')
            ? std::string(rest)
            : proto::normalised_domain(rest.substr(0, colon)) +
                  (colon == std::string_view::npos ? "" : std::string(rest.substr(colon)));
    const auto place = parse_host_port(ascii);
    if (!place || place->literal || rest.starts_with('[')) {
        r.fault(node.where, key,
                fmt::format("{} names no domain; {}", in_quotes(*text), domain_example));
        return;
    }
    if (address.kind == AddressKind::srv && place->port) {
        r.fault(node.where, key,
                fmt::format("{} has a port, which is for the domain's records to say; {}",
                            in_quotes(*text), domain_example));
        return;
    }
    address.host = place->host;
    if (place->port) address.port = *place->port;
    out = std::move(address);
}

void Pin::read(Reading& r, const Node& node, const std::string& key, KeyPin& out) const {
    const auto text = text_of(r, node, key, "a pin like \"sha256//BASE64\"");
    if (!text) return;
    const std::string_view pin = trimmed(*text);
    std::optional<std::string> hash;
    if (pin.starts_with(pin_prefix)) hash = proto::base64_decode(pin.substr(pin_prefix.size()));
    if (!hash || hash->size() != out.size()) {
        r.fault(node.where, key,
                fmt::format("{} is no pin; write \"sha256//\" and, in base64, the SHA-256 of the "
                            "server's key: openssl x509 -in CERT -pubkey -noout | openssl pkey "
                            "-pubin -outform DER | openssl dgst -sha256 -binary | base64",
                            in_quotes(*text)));
        return;
    }
    std::ranges::transform(*hash, out.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
}

void SourceAddress::read(Reading& r, const Node& node, const std::string& key,
                         std::string& out) const {
    const auto text = text_of(r, node, key, "an address of this machine");
    if (!text) return;
    const auto address = canonical_address(trimmed(*text));
    if (!address) {
        r.fault(node.where, key,
                fmt::format("{} is no address; write one of this machine's, like \"192.0.2.9\"",
                            in_quotes(*text)));
        return;
    }
    out = *address;
}

void UpstreamReply::read(Reading& r, const Node& node, const std::string& key,
                         proto::PathReply& out) const {
    const auto text = text_of(r, node, key, "a reply like \"554 5.7.1 TEXT\"");
    if (!text) return;
    std::string_view rest = trimmed(*text);
    const std::string_view code = rest.substr(0, rest.find(' '));
    proto::PathReply reply;
    const bool three = code.size() == 3 && std::ranges::all_of(code, is_digit);
    if (three) std::from_chars(code.data(), code.data() + code.size(), reply.code);
    if (reply.code < 400 || reply.code > 599) {
        r.fault(
            node.where, key,
            fmt::format("{} begins with no code of a refusal; write it like \"554 5.7.1 TEXT\", "
                        "where the enhanced code and the text may be left out",
                        in_quotes(*text)));
        return;
    }
    rest = trimmed(rest.substr(code.size()));
    const std::string_view enhanced = rest.substr(0, rest.find(' '));
    if (is_enhanced(enhanced)) {
        if (enhanced.front() != code.front()) {
            r.fault(node.where, key,
                    fmt::format("{} has codes of two classes; write the enhanced code as the "
                                "upstream does, or leave it out",
                                in_quotes(*text)));
            return;
        }
        reply.enhanced = enhanced;
        rest = trimmed(rest.substr(enhanced.size()));
    }
    reply.text = rest;
    out = std::move(reply);
}

void UpstreamMechanism::read(Reading& r, const Node& node, const std::string& key,
                             std::string& out) const {
    static constexpr std::array<std::string_view, 5> known = {"SCRAM-SHA-256", "PLAIN", "LOGIN",
                                                              "XOAUTH2", "OAUTHBEARER"};
    const auto text = text_of(r, node, key, any_of(known));
    if (!text) return;
    std::string upper = *text;
    for (char& c : upper) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    if (std::ranges::find(known, upper) == known.end()) {
        r.fault(node.where, key,
                fmt::format("{} is not {}; left out, it is the best that both know",
                            in_quotes(*text), any_of(known)));
        return;
    }
    out = std::move(upper);
}

void SenderDomain::read(Reading& r, const Node& node, const std::string& key,
                        std::string& out) const {
    const auto text = text_of(r, node, key, "a domain like \"example.net\"");
    if (!text) return;
    std::string domain = proto::normalised_domain(trimmed(*text));
    if (!is_host_name(domain)) {
        r.fault(node.where, key,
                fmt::format("{} is no domain; write one like \"example.net\"", in_quotes(*text)));
        return;
    }
    out = std::move(domain);
}

}  // namespace postern::relay::config::formats
