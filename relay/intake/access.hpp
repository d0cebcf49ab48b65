#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "relay/config/config.hpp"

namespace postern::relay::intake {

enum class Access : std::uint8_t {
    granted,
    by_signature,  ///< The call's own signature decides, once its body is there.
    denied,        ///< 401
};

/// Whoever calls by HTTP, as the head of his request tells.
struct Caller {
    std::string address;        ///< An IP literal: of the connection.
    std::string authorization;  ///< The field; may be empty.
    /// A proxy speaks for somebody (Forwarded, X-Forwarded-For, Via), or a browser's page
    /// (Origin): then the address is not the caller's own.
    bool for_another = false;
};

/// May he call this webhook? By its secret, as Bearer or Basic. Without an Authorization field
/// Mailgun's calls go by their signature. Where the secret is a public key nothing but a signature
/// will do: everybody may know the key.
[[nodiscard]] Access webhook_access(const config::Webhook& webhook, std::string_view authorization);

/// May he bring a mail? From loopback and the networks of `from` without a secret, else by that of
/// any webhook.
[[nodiscard]] Access message_access(const config::Intake& intake, const Caller& caller);

/// May this peer speak LMTP and SMTP?
[[nodiscard]] bool may_bring_mail(const config::Intake& intake, std::string_view address);

}  // namespace postern::relay::intake
