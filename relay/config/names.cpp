#include "relay/config/names.hpp"

#include <algorithm>
#include <charconv>

#include "relay/config/network.hpp"

namespace postern::relay::config {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_host_label(std::string_view label) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-')
        return false;
    // The underscore is no letter of a host name, but names of services and containers have it.
    return std::ranges::all_of(
        label, [](char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_'; });
}

}  // namespace

std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

bool is_host_name(std::string_view text) noexcept {
    if (text.empty() || text.size() > 253) return false;
    std::string_view rest = text;
    while (true) {
        const auto dot = rest.find('.');
        const std::string_view label = rest.substr(0, dot);
        if (!is_host_label(label)) return false;
        if (dot == std::string_view::npos) return !std::ranges::all_of(label, is_digit);
        rest.remove_prefix(dot + 1);
    }
}

std::string domain_of(const std::string& host) {
    const auto dot = host.find('.');
    if (dot == std::string::npos || host.find('.', dot + 1) == std::string::npos) return host;
    return host.substr(dot + 1);
}

bool looks_like_mailbox(std::string_view text) noexcept {
    const auto at = text.rfind('@');
    if (at == std::string_view::npos || at == 0 || at > 64) return false;
    const std::string_view local = text.substr(0, at);
    if (std::ranges::any_of(local, [](char c) {
            return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '<' || c == '>' ||
                   c == '@';
        })) {
        return false;
    }
    return is_host_name(text.substr(at + 1));
}

bool is_label(std::string_view text) noexcept {
    if (text.empty() || text.size() > 64 || text.front() == '-') return false;
    return std::ranges::all_of(text, [](char c) {
        return is_letter(c) || is_digit(c) || c == '.' || c == '-' || c == '_';
    });
}

std::optional<HostPort> parse_host_port(std::string_view text) {
    HostPort out;
    std::string_view host = text;
    std::string_view port;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        host = text.substr(1, end - 1);
        port = text.substr(end + 1);
    } else if (const auto colon = text.rfind(':');
               colon != std::string_view::npos && colon == text.find(':')) {
        host = text.substr(0, colon);
        port = text.substr(colon);
    }
    if (!port.empty()) {
        if (port.front() != ':') return std::nullopt;
        port.remove_prefix(1);
        std::uint16_t number = 0;
        const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
        if (error != std::errc{} || end != port.data() + port.size() || number == 0)
            return std::nullopt;
        out.port = number;
    }
    if (auto address = canonical_address(host)) {
        out.host = std::move(*address);
        out.literal = true;
        return out;
    }
    if (!is_host_name(host)) return std::nullopt;
    out.host = lower_case(host);
    return out;
}

}  // namespace postern::relay::config
