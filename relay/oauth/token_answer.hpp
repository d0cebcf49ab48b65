#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "proto/secret.hpp"
#include "relay/config/config.hpp"

namespace postern::relay::oauth {

/// Octets of a token server's answer; of a token.
inline constexpr std::size_t max_token_answer = 65536;
inline constexpr std::size_t max_token = 8192;
/// Where the server does not say how long a token lives (RFC 6749 5.1 recommends that it does).
inline constexpr std::chrono::seconds usual_token_life{3600};
inline constexpr std::chrono::seconds longest_token_life{30L * 24 * 3600};

/// The form that asks for an access token (RFC 6749 6), the client's own credentials in it
/// (2.3.1).
[[nodiscard]] proto::Secret token_form(const config::UpstreamOAuth& settings,
                                       std::string_view refresh_token);

struct FetchedToken {
    proto::Secret token;
    std::chrono::seconds life = usual_token_life;
    proto::Secret refresh_token;  ///< A new one, in place of that which asked; empty: none.
};

/// Why no token came.
struct TokenFault {
    enum class Kind : std::uint8_t {
        passing,  ///< Try again: no answer, 5xx, 429, or nothing that can be understood.
        refused,  ///< The server says no to the client or to what it asks.
        grant,    ///< It says no to the refresh token (invalid_grant).
    };
    Kind kind = Kind::passing;
    std::string what;  ///< In words, cleaned.
};

/// RFC 6749 5.1, 5.2.
[[nodiscard]] boost::system::result<FetchedToken, TokenFault> read_token_answer(
    unsigned status, std::string_view body);

}  // namespace postern::relay::oauth
