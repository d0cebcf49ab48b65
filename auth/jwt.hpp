#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "auth/account.hpp"
#include "auth/jwks.hpp"

namespace postern::auth {

/// A line of AUTH holds no longer one; what is longer is refused unread.
inline constexpr std::size_t max_token_octets = 16384;
/// How far the clocks of issuer and relay may be apart.
inline constexpr std::chrono::seconds token_leeway{60};

/// What a token must say (RFC 7519 4.1).
struct TokenRules {
    std::string issuer;           ///< `iss`, to the letter.
    std::string audience;         ///< `aud`, or among it.
    std::string claim = "email";  ///< The member that names the account.
    bool operator==(const TokenRules&) const = default;
};

/// Why a token does not count. All are answered alike.
enum class TokenFault : std::uint8_t {
    malformed,  ///< Not three parts of base64url, not JSON, a member twice, too long.
    algorithm,  ///< Neither RS256 nor ES256.
    critical,   ///< `crit`: extensions, of which we know none; or a `typ` of something else.
    no_key,     ///< No key of the set is meant, or several are.
    signature,
    issuer,
    audience,
    expired,     ///< Or it says no time that it ends at.
    not_yet,     ///< `nbf` or `iat` lies ahead.
    no_account,  ///< The claim is no string, or an address that the issuer has not verified.
};
/// A word for the log.
[[nodiscard]] std::string_view name(TokenFault fault) noexcept;

/// A signed token in its compact form (RFC 7515 7.1), read and not believed yet.
struct Token {
    TokenAlgorithm algorithm = TokenAlgorithm::rs256;
    std::optional<std::string> key_id;
    std::string_view signed_text;  ///< Into the token's text.
    std::string signature;
    std::string payload;
};
[[nodiscard]] boost::system::result<Token, TokenFault> read_token(std::string_view text);

struct TokenClaims {
    std::string account;  ///< As the claim has it.
    Time expires;
};
/// What a payload says, judged by the rules. Of a token that is signed: the caller's to see to.
[[nodiscard]] boost::system::result<TokenClaims, TokenFault> read_claims(std::string_view payload,
                                                                         const TokenRules& rules,
                                                                         Time now);

/// Reads, finds the key, checks signature and claims.
[[nodiscard]] boost::system::result<TokenClaims, TokenFault> judge_token(std::string_view text,
                                                                         const KeySet& keys,
                                                                         const TokenRules& rules,
                                                                         Time now);

/// Whom a token claims to be about, unverified: for the login guard alone. Empty: it does not say.
[[nodiscard]] std::string account_claimed(std::string_view text, const std::string& claim);

}  // namespace postern::auth
