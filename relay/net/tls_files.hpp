#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <openssl/x509.h>

#include "relay/net/tls.hpp"

namespace postern::relay::net {

struct X509Free {
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(BIO* bio) const noexcept { BIO_free_all(bio); }
};
using X509Ptr = std::unique_ptr<X509, X509Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, X509Free>;
using BioPtr = std::unique_ptr<BIO, X509Free>;

/// A certificate with its chain and key, read and found to fit.
struct LoadedCertificate {
    CertificateInfo info;
    X509Ptr leaf;
    std::vector<X509Ptr> chain;
    KeyPtr key;
};

[[nodiscard]] result<LoadedCertificate, TlsFault> load_certificate(const CertificateFiles& files);

/// Authorities for clients' certificates (PEM), and their revocation lists (PEM; empty: none).
[[nodiscard]] result<std::shared_ptr<const auth::CertificateAuthority>, TlsFault> load_authority(
    const std::string& ca, const std::string& crl, auth::NameFrom from);

/// What the handshake showed of the client; null: no certificate.
[[nodiscard]] const auth::ClientCertificate* client_certificate_of(const SSL* ssl) noexcept;

/// The newest reason in OpenSSL's queue, which is emptied.
[[nodiscard]] std::string take_tls_reason();

/// Bounds and options that both sides share: TLS 1.2 or better, no renegotiation, no compression,
/// buffers released while idle.
void set_common_options(SSL_CTX* context);

}  // namespace postern::relay::net
