#include "relay/oauth/token_answer.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "auth/strict_json.hpp"
#include "proto/reply.hpp"
#include "proto/wipe.hpp"

namespace postern::relay::oauth {

namespace {

using std::chrono::seconds;

/// Room for what a server says of a refusal.
constexpr std::size_t told_octets = 200;

/// application/x-www-form-urlencoded, with room made before: a growing string leaves parts behind.
void append_field(std::string& out, std::string_view name, std::string_view value) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    if (!out.empty()) out.push_back('&');
    out.append(name).push_back('=');
    for (const char c : value) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            out.push_back(c);
        } else {
            const auto octet = static_cast<unsigned char>(c);
            out.push_back('%');
            out.push_back(digits[octet >> 4U]);
            out.push_back(digits[octet & 15U]);
        }
    }
}

/// Takes a member's text for a secret and wipes it where it stood. Empty: none, or none that may be
/// used.
proto::Secret take_secret(auth::Json& object, const char* name) {
    const auto at = object.find(name);
    if (at == object.end()) return {};
    auto* text = at->get_ptr<std::string*>();
    if (text == nullptr) return {};
    const bool fit = text->size() <= max_token &&
                     std::ranges::all_of(*text, [](char c) { return c > ' ' && c <= '~'; });
    proto::Secret out(fit ? std::string_view(*text) : std::string_view());
    proto::wipe(*text);
    return out;
}

/// A number, or one in quotes, as some servers have it.
std::optional<seconds> life_in(const auth::Json& object) {
    const auto at = object.find("expires_in");
    if (at == object.end()) return usual_token_life;
    double life = 0;
    if (at->is_number()) {
        life = at->get<double>();
    } else if (const auto* text = at->get_ptr<const std::string*>()) {
        std::int64_t whole = 0;
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), whole);
        if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
        life = static_cast<double>(whole);
    } else {
        return usual_token_life;
    }
    if (!(life >= 1)) return std::nullopt;
    const double most = static_cast<double>(longest_token_life.count());
    return seconds(static_cast<std::int64_t>(std::min(life, most)));
}

bool is_bearer(std::string_view type) noexcept {
    constexpr std::string_view bearer = "bearer";
    return std::ranges::equal(type, bearer, [](char a, char b) { return (a | 0x20) == b; });
}

TokenFault try_again(std::string what) {
    return {.kind = TokenFault::Kind::passing, .what = std::move(what)};
}

TokenFault refusal(unsigned status, const std::optional<auth::Json>& object) {
    const std::string* error = object ? auth::string_member(*object, "error") : nullptr;
    const std::string* why = object ? auth::string_member(*object, "error_description") : nullptr;
    TokenFault out{.kind = TokenFault::Kind::refused,
                   .what = fmt::format("the token server answered {}", status)};
    if (error != nullptr) out.what += " " + proto::clean_text(*error, told_octets);
    if (why != nullptr) out.what += ": " + proto::clean_text(*why, told_octets);
    const bool come_again =
        error != nullptr && (*error == "temporarily_unavailable" || *error == "server_error");
    if (status < 400 || status > 499 || status == 408 || status == 425 || status == 429 ||
        come_again) {
        out.kind = TokenFault::Kind::passing;
    } else if (error != nullptr && *error == "invalid_grant") {
        out.kind = TokenFault::Kind::grant;
    }
    return out;
}

}  // namespace

proto::Secret token_form(const config::UpstreamOAuth& settings, std::string_view refresh_token) {
    const std::string_view secret = settings.client_secret.reveal();
    std::string out;
    out.reserve(100 + 3 * (settings.client_id.size() + secret.size() + refresh_token.size() +
                           settings.scope.size()));
    append_field(out, "grant_type", "refresh_token");
    append_field(out, "client_id", settings.client_id);
    if (!secret.empty()) append_field(out, "client_secret", secret);
    append_field(out, "refresh_token", refresh_token);
    if (!settings.scope.empty()) append_field(out, "scope", settings.scope);
    proto::Secret made(out);
    proto::wipe(out);
    return made;
}

boost::system::result<FetchedToken, TokenFault> read_token_answer(unsigned status,
                                                                  std::string_view body) {
    auto object = auth::parse_strict(body);
    if (status != 200) return refusal(status, object);
    if (!object) return try_again("the token server's answer is no JSON object");
    FetchedToken out;
    out.token = take_secret(*object, "access_token");
    out.refresh_token = take_secret(*object, "refresh_token");
    if (out.token.empty()) return try_again("the token server's answer holds no access_token");
    const std::string* type = auth::string_member(*object, "token_type");
    if (type != nullptr && !is_bearer(*type))
        return try_again("the token server's token is no Bearer token");
    const auto life = life_in(*object);
    if (!life) return try_again("the token server's expires_in is no number of seconds");
    out.life = *life;
    return out;
}

}  // namespace postern::relay::oauth
