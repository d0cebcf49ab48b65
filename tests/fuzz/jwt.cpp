// What comes in by OAUTHBEARER and XOAUTH2, and what an issuer's server sends. First octet: `T` a
// token, `C` the claims of one, `K` a key set, `B` and `X` a client's message. No token may be
// right that nobody signed, and two ways to read the same must agree.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "auth/base64url.hpp"
#include "auth/jwks.hpp"
#include "auth/jwt.hpp"
#include "auth/saslprep.hpp"
#include "auth/token_message.hpp"

namespace {

using namespace postern::auth;

void require(bool holds) {
    if (!holds) std::abort();
}

// Keys of RFC 7515 A.2 and A.3: what RFC signed with them is among the seeds, and names no issuer
// of ours.
constexpr std::string_view keys_text =
    R"({"keys":[{"kty":"RSA","kid":"a2","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoT)"
    "bji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b326"
    "90r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsm"
    "tdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAc"
    R"(DTW9gb54h4FRWyuXpoQ"},{"kty":"EC","crv":"P-256","kid":"a3",)"
    R"("x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})";

const KeySet& keys() {
    static const KeySetPtr made = *KeySet::parse(keys_text);
    return *made;
}

const TokenRules& rules() {
    static const TokenRules made{"https://issuer.example/", "smtp", "email"};
    return made;
}

Time now() {
    return Time(std::chrono::seconds(1'800'000'000));
}

void check_token(std::string_view text) {
    const auto judged = judge_token(text, keys(), rules(), now());
    require(!judged);
    (void)account_claimed(text, rules().claim);
    const auto token = read_token(text);
    if (!token) return;
    require(text.size() <= max_token_octets);
    require(text.starts_with(token->signed_text));
    const std::size_t dot = token->signed_text.find('.');
    require(base64url_decode(token->signed_text.substr(dot + 1)) == token->payload);
}

void check_claims(std::string_view text) {
    const auto claims = read_claims(text, rules(), now());
    if (!claims) return;
    require(!claims->account.empty());
    require(valid_utf8(claims->account));
    require(now() < claims->expires + token_leeway);
}

void check_keys(std::string_view text) {
    const auto set = KeySet::parse(text);
    if (!set) {
        require(!set.error().empty());
        return;
    }
    require((*set)->size() >= 1 && (*set)->size() <= max_keys);
    for (const auto algorithm : {TokenAlgorithm::rs256, TokenAlgorithm::es256}) {
        const TokenKey* const key = (*set)->find(algorithm, std::nullopt);
        if (key == nullptr) continue;
        require(key->algorithm() == algorithm);
        require(!key->signed_this("text", std::string(64, 's')));
        require(!key->signed_this("text", std::string(256, 's')));
    }
}

void check_message(const std::optional<TokenMessage>& parsed, std::string_view message) {
    if (!parsed) return;
    require(valid_utf8(parsed->user));
    require(message.contains(parsed->token));
    require(!parsed->token.contains('\x01') && !parsed->token.contains(' '));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0]) {
        case 'T':
            check_token(text);
            break;
        case 'C':
            check_claims(text);
            break;
        case 'K':
            check_keys(text);
            break;
        case 'B':
            check_message(parse_oauthbearer(text), text);
            break;
        case 'X':
            check_message(parse_xoauth2(text), text);
            break;
        default:
            break;
    }
    return 0;
}
