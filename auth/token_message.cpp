#include "auth/token_message.hpp"

#include <algorithm>
#include <utility>

#include "auth/sasl_message.hpp"
#include "proto/wipe.hpp"

namespace postern::auth {
namespace {

constexpr char separator = '\x01';

/// Takes the text before the next separator, and the separator.
std::optional<std::string_view> take_pair(std::string_view& rest) noexcept {
    const std::size_t end = rest.find(separator);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    return pair;
}

/// RFC 6750 2.1: "Bearer" 1*SP b64token, the word in any case; or nothing at all, by which a client
/// asks what the server wants (RFC 7628 4.3).
std::optional<std::string_view> token_of(std::string_view value) noexcept {
    constexpr std::string_view scheme = "bearer ";
    if (value.empty()) return value;
    if (value.size() <= scheme.size()) return std::nullopt;
    for (std::size_t i = 0; i < scheme.size(); ++i) {
        const char c = value[i];
        if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != scheme[i])
            return std::nullopt;
    }
    value.remove_prefix(std::min(value.find_first_not_of(' ', scheme.size()), value.size()));
    const bool visible = std::ranges::all_of(value, [](char c) { return c > ' ' && c <= '~'; });
    if (value.empty() || !visible) return std::nullopt;
    return value;
}

/// RFC 7628 3.1: key = 1*ALPHA, value = *(VCHAR / SP / HTAB / CR / LF); `auth` may be anywhere.
std::optional<std::string_view> token_in(std::string_view pairs) noexcept {
    std::optional<std::string_view> token;
    while (!pairs.empty() && pairs.front() != separator) {
        const auto pair = take_pair(pairs);
        const std::size_t equals = pair ? pair->find('=') : std::string_view::npos;
        if (equals == std::string_view::npos || equals == 0) return std::nullopt;
        const std::string_view key = pair->substr(0, equals);
        const std::string_view value = pair->substr(equals + 1);
        const bool letters = std::ranges::all_of(
            key, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
        const bool printable = std::ranges::all_of(value, [](char c) {
            return (c >= ' ' && c <= '~') || c == '\t' || c == '\r' || c == '\n';
        });
        if (!letters || !printable) return std::nullopt;
        if (key != "auth") continue;
        if (token) return std::nullopt;
        token = token_of(value);
        if (!token) return std::nullopt;
    }
    // The last separator stands alone, and nothing behind it.
    return pairs.size() == 1 ? token : std::nullopt;
}

}  // namespace

std::optional<TokenMessage> parse_oauthbearer(std::string_view message) {
    const std::size_t end = message.find(separator);
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view header = message.substr(0, end);
    auto gs2 = take_gs2_header(header);
    if (!gs2 || !header.empty()) return std::nullopt;
    const auto token = token_in(message.substr(end + 1));
    if (!token) return std::nullopt;
    return TokenMessage{std::move(gs2->authzid), *token, gs2->flag == BindingFlag::used};
}

std::optional<TokenMessage> parse_xoauth2(std::string_view message) {
    const auto user = take_pair(message);
    if (!user || !user->starts_with("user=") || !well_formed(user->substr(5))) return std::nullopt;
    const auto token = token_in(message);
    if (!token) return std::nullopt;
    return TokenMessage{std::string(user->substr(5)), *token, false};
}

std::string token_refusal(std::string_view status, std::string_view claim) {
    std::string out = R"({"status":")";
    out.append(status).append(R"(","schemes":"bearer","scope":")");
    // OpenID Connect's names: what a client asks for to be given that claim.
    out.append(claim == "email" ? "openid email" : "openid").append("\"}");
    return out;
}

proto::Secret make_xoauth2(std::string_view user, std::string_view token) {
    std::string text;
    text.reserve(user.size() + token.size() + 32);
    text.append("user=")
        .append(user)
        .append(
            "\x01"
            "auth=Bearer ")
        .append(token);
    text.append("\x01\x01");
    proto::Secret out(text);
    proto::wipe(text);
    return out;
}

proto::Secret make_oauthbearer(std::string_view user, std::string_view host, unsigned port,
                               std::string_view token) {
    std::string text;
    text.reserve(3 * user.size() + host.size() + token.size() + 64);
    text.append("n,a=");
    for (const char c : user) {  // RFC 5801 4: saslname.
        if (c == ',') {
            text.append("=2C");
        } else if (c == '=') {
            text.append("=3D");
        } else {
            text.push_back(c);
        }
    }
    text.append(",\x01host=").append(host).append("\x01port=").append(std::to_string(port));
    text.append(
            "\x01"
            "auth=Bearer ")
        .append(token)
        .append("\x01\x01");
    proto::Secret out(text);
    proto::wipe(text);
    return out;
}

}  // namespace postern::auth
