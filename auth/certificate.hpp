#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <openssl/x509.h>

#include "auth/account.hpp"
#include "auth/error.hpp"

namespace postern::auth {

/// What a TLS handshake showed of its client: a certificate whose key it holds.
struct ClientCertificate {
    enum class Validity : std::uint8_t { good, not_yet, expired };
    std::string fingerprint;  ///< SHA-256 of its DER, 64 lower-case hex digits.
    Validity validity = Validity::good;
    /// The one login name in it, as it stands there, where the configured authority vouches for it.
    std::optional<std::string> name;
    std::string no_name;  ///< Why there is none: which check refused. For the log.
};

/// Of a certificate alone: without a name.
[[nodiscard]] ClientCertificate shown_certificate(const X509* certificate, Time now);

/// What is kept of a certificate that an account is to be known by.
struct CertificateText {
    std::string fingerprint;
    Time not_after;
    std::string pem;  ///< The certificate alone: a key beside it goes nowhere.
};
/// Reads the first certificate of a PEM text (at most 64 KiB). invalid_certificate with what is
/// wrong with it: none there, damaged, expired, or a key that is too weak to prove anything (under
/// 112 bits: RSA 2048, NIST SP 800-57).
[[nodiscard]] started<CertificateText> read_certificate(std::string_view pem, Time now);

/// `t` of OpenSSL; unset where it makes no sense.
[[nodiscard]] std::optional<Time> time_of(const ASN1_TIME* t);

}  // namespace postern::auth
