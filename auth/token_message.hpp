#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proto/secret.hpp"

namespace postern::auth {

/// What a client says by OAUTHBEARER or XOAUTH2.
struct TokenMessage {
    std::string user;        ///< a= or user=, decoded; empty: OAUTHBEARER without.
    std::string_view token;  ///< Into the message; empty: the client has none yet.
    bool binds = false;      ///< gs2 flag p: there is no such mechanism with a channel binding.
};

/// RFC 7628 3.1: gs2-header kvsep *(key "=" value kvsep) kvsep, kvsep being %x01; `auth` once and
/// `Bearer TOKEN`, other keys passed over. Unset: malformed.
[[nodiscard]] std::optional<TokenMessage> parse_oauthbearer(std::string_view message);

/// "user=" USER %x01 "auth=Bearer " TOKEN %x01 %x01, as Google has it. Unset: malformed.
[[nodiscard]] std::optional<TokenMessage> parse_xoauth2(std::string_view message);

/// The JSON that a refused client is told (RFC 7628 3.2.2); after it comes its empty answer.
/// `status`: "invalid_token" of the RFC, "401" of Google's form.
[[nodiscard]] std::string token_refusal(std::string_view status, std::string_view claim);

/// What we say by them where we log in ourselves. `user` has no control octets, `token` is visible
/// ASCII.
[[nodiscard]] proto::Secret make_xoauth2(std::string_view user, std::string_view token);
[[nodiscard]] proto::Secret make_oauthbearer(std::string_view user, std::string_view host,
                                             unsigned port, std::string_view token);

}  // namespace postern::auth
