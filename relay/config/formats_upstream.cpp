// What an upstream and a route say beside names and places.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "proto/address.hpp"
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

}  // namespace

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
