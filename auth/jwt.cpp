#include "auth/jwt.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "auth/base64url.hpp"
#include "auth/strict_json.hpp"

namespace postern::auth {
namespace {

template <class T>
using judged = boost::system::result<T, TokenFault>;

struct Parts {
    std::string_view header;
    std::string_view payload;
    std::string_view signature;
    std::string_view signed_text;
};

std::optional<Parts> split_token(std::string_view text) {
    if (text.size() > max_token_octets) return std::nullopt;
    const std::size_t first = text.find('.');
    if (first == std::string_view::npos) return std::nullopt;
    const std::size_t second = text.find('.', first + 1);
    if (second == std::string_view::npos || text.find('.', second + 1) != std::string_view::npos)
        return std::nullopt;
    return Parts{text.substr(0, first), text.substr(first + 1, second - first - 1),
                 text.substr(second + 1), text.substr(0, second)};
}

std::optional<Json> object_in(std::string_view part) {
    const std::optional<std::string> text = base64url_decode(part);
    return text ? parse_strict(*text) : std::nullopt;
}

/// RFC 8725 3.11: what is signed for another purpose by the same key is no access token.
bool is_access_token(const Json& header) {
    if (!header.contains("typ")) return true;
    const std::string* const type = string_member(header, "typ");
    if (type == nullptr) return false;
    std::string lower = *type;
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    constexpr std::array<std::string_view, 4> ours = {"jwt", "application/jwt", "at+jwt",
                                                      "application/at+jwt"};
    return std::ranges::find(ours, lower) != ours.end();
}

/// NumericDate (RFC 7519 2); what is later than the clock can say is as late as it can.
std::optional<Time> numeric_date(const Json& value) {
    constexpr double year_9999 = 253402300799.0;
    if (!value.is_number()) return std::nullopt;
    constexpr double latest = 9.2e9;  // The clock's nanoseconds end in the year 2262.
    const double seconds = std::min(value.get<double>(), latest);
    if (!(seconds >= 0 && value.get<double>() <= year_9999)) return std::nullopt;
    const auto since = std::chrono::duration<double>(seconds);
    return Time(std::chrono::duration_cast<Time::duration>(
        std::chrono::duration_cast<std::chrono::milliseconds>(since)));
}

bool is_text(const Json& value, std::string_view text) {
    const auto* const held = value.get_ptr<const std::string*>();
    return held != nullptr && *held == text;
}

bool is_for_audience(const Json& claims, std::string_view audience) {
    const auto aud = claims.find("aud");
    if (aud == claims.end()) return false;
    if (!aud->is_array()) return is_text(*aud, audience);
    return std::ranges::all_of(*aud, [](const Json& one) { return one.is_string(); }) &&
           std::ranges::any_of(*aud, [&](const Json& one) { return is_text(one, audience); });
}

/// Some issuers write `true` as a string.
bool is_true(const Json& value) {
    const auto* const held = value.get_ptr<const bool*>();
    return (held != nullptr && *held) || is_text(value, "true");
}

}  // namespace

std::string_view name(TokenFault fault) noexcept {
    switch (fault) {
        case TokenFault::malformed:
            return "malformed";
        case TokenFault::algorithm:
            return "algorithm";
        case TokenFault::critical:
            return "critical";
        case TokenFault::no_key:
            return "no key";
        case TokenFault::signature:
            return "signature";
        case TokenFault::issuer:
            return "issuer";
        case TokenFault::audience:
            return "audience";
        case TokenFault::expired:
            return "expired";
        case TokenFault::not_yet:
            return "not yet valid";
        case TokenFault::no_account:
            return "no account";
    }
    return "malformed";
}

judged<Token> read_token(std::string_view text) {
    const std::optional<Parts> parts = split_token(text);
    if (!parts) return TokenFault::malformed;
    const std::optional<Json> header = object_in(parts->header);
    if (!header) return TokenFault::malformed;
    Token out;
    const std::string* const algorithm = string_member(*header, "alg");
    if (algorithm == nullptr) return TokenFault::malformed;
    if (*algorithm == "ES256") {
        out.algorithm = TokenAlgorithm::es256;
    } else if (*algorithm != "RS256") {
        return TokenFault::algorithm;
    }
    if (header->contains("crit") || !is_access_token(*header)) return TokenFault::critical;
    if (header->contains("kid")) {
        const std::string* const id = string_member(*header, "kid");
        if (id == nullptr) return TokenFault::malformed;
        out.key_id = *id;
    }
    std::optional<std::string> payload = base64url_decode(parts->payload);
    std::optional<std::string> signature = base64url_decode(parts->signature);
    if (!payload || !signature || signature->empty()) return TokenFault::malformed;
    out.payload = std::move(*payload);
    out.signature = std::move(*signature);
    out.signed_text = parts->signed_text;
    return out;
}

judged<TokenClaims> read_claims(std::string_view payload, const TokenRules& rules, Time now) {
    const std::optional<Json> claims = parse_strict(payload);
    if (!claims) return TokenFault::malformed;
    const std::string* const issuer = string_member(*claims, "iss");
    if (issuer == nullptr || *issuer != rules.issuer) return TokenFault::issuer;
    if (!is_for_audience(*claims, rules.audience)) return TokenFault::audience;

    const auto ends = claims->find("exp");
    const auto expires = ends != claims->end() ? numeric_date(*ends) : std::nullopt;
    if (!expires || now >= *expires + token_leeway) return TokenFault::expired;
    for (const char* const begins : {"nbf", "iat"}) {
        const auto at = claims->find(begins);
        if (at == claims->end()) continue;
        const auto time = numeric_date(*at);
        if (!time || now + token_leeway < *time) return TokenFault::not_yet;
    }

    const std::string* const account = string_member(*claims, rules.claim.c_str());
    if (account == nullptr || account->empty()) return TokenFault::no_account;
    if (rules.claim == "email") {
        const auto verified = claims->find("email_verified");
        if (verified != claims->end() && !is_true(*verified)) return TokenFault::no_account;
    }
    return TokenClaims{*account, *expires};
}

judged<TokenClaims> judge_token(std::string_view text, const KeySet& keys, const TokenRules& rules,
                                Time now) {
    const auto token = read_token(text);
    if (!token) return token.error();
    const TokenKey* const key = keys.find(token->algorithm, token->key_id);
    if (key == nullptr) return TokenFault::no_key;
    if (!key->signed_this(token->signed_text, token->signature)) return TokenFault::signature;
    return read_claims(token->payload, rules, now);
}

std::string account_claimed(std::string_view text, const std::string& claim) {
    const std::optional<Parts> parts = split_token(text);
    if (!parts) return {};
    const std::optional<Json> claims = object_in(parts->payload);
    if (!claims) return {};
    const std::string* const account = string_member(*claims, claim.c_str());
    return account != nullptr ? *account : std::string();
}

}  // namespace postern::auth
