#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "proto/secret.hpp"

namespace postern::relay::intake {

/// Equal; how long it takes tells nothing of where they differ.
[[nodiscard]] bool same_secret(std::string_view a, std::string_view b) noexcept;

/// The secret in an Authorization field: the token of Bearer (RFC 6750), or the password of Basic
/// (RFC 7617) with any user. Unset where it is neither.
[[nodiscard]] std::optional<proto::Secret> secret_in(std::string_view authorization);

/// How far a signed time may be from ours, either way.
constexpr std::chrono::minutes signature_age{5};

/// What a Mailgun webhook is signed by.
struct MailgunStamp {
    std::string timestamp;  ///< Seconds since 1970.
    std::string token;
    std::string signature;  ///< HMAC-SHA256 of timestamp and token, hex.
};
/// Signed with `key`, and not older than signature_age.
[[nodiscard]] bool mailgun_signed(std::string_view key, const MailgunStamp& stamp,
                                  std::chrono::system_clock::time_point now);

/// `text` is a public key as SendGrid shows it: base64 of a SubjectPublicKeyInfo, of an elliptic
/// curve.
[[nodiscard]] bool is_public_key(std::string_view text);
/// `signature` (base64, ECDSA with SHA-256) is that key's of timestamp and body. Its age is not
/// judged: the service does not say whether it signs anew when it tries again.
[[nodiscard]] bool sendgrid_signed(std::string_view public_key, std::string_view signature,
                                   std::string_view timestamp, std::string_view body);

/// Tokens of signatures that do not cover what is signed: each is good once within its time.
class TokensSeen {
  public:
    using clock = std::chrono::steady_clock;
    enum class Claim : std::uint8_t { fresh, seen, full };

    explicit TokensSeen(std::size_t most = 100'000) : most_(most) {}
    [[nodiscard]] Claim claim(const std::string& token, clock::time_point now);
    /// It was not taken after all, and may come again.
    void release(const std::string& token);

  private:
    std::size_t most_;
    std::map<std::string, clock::time_point, std::less<>> until_;
    clock::time_point swept_{};
};

}  // namespace postern::relay::intake
