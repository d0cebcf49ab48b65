#include "auth/certificate.hpp"

#include <ctime>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "auth/digest.hpp"
#include "auth/openssl_kept.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t longest_pem = std::size_t{64} * 1024;
constexpr int least_security_bits = 112;

std::string fingerprint_of(const X509* certificate) {
    Digest digest{};
    unsigned size = 0;
    if (X509_digest(certificate, EVP_sha256(), digest.data(), &size) != 1) return {};
    return hex(view(digest));
}

}  // namespace

std::optional<Time> time_of(const ASN1_TIME* t) {
    std::tm parts{};
    if (t == nullptr || ASN1_TIME_to_tm(t, &parts) != 1) return std::nullopt;
    return std::chrono::time_point_cast<Time::duration>(
        std::chrono::system_clock::from_time_t(::timegm(&parts)));
}

ClientCertificate shown_certificate(const X509* certificate, Time now) {
    ClientCertificate out;
    out.fingerprint = fingerprint_of(certificate);
    const auto begins = time_of(X509_get0_notBefore(certificate));
    const auto ends = time_of(X509_get0_notAfter(certificate));
    if (!begins || now < *begins) {
        out.validity = ClientCertificate::Validity::not_yet;
    } else if (!ends || now > *ends) {
        out.validity = ClientCertificate::Validity::expired;
    }
    ERR_clear_error();
    return out;
}

started<CertificateText> read_certificate(std::string_view pem, Time now) {
    const auto wrong = [](std::string_view what) {
        return Fault{AuthError::invalid_certificate, std::string(what)};
    };
    ERR_clear_error();
    if (pem.size() > longest_pem) return wrong("is larger than 64 KiB");
    const Kept<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    const Kept<X509> certificate(
        bio ? PEM_read_bio_X509(bio.get(), nullptr, &no_passphrase, nullptr) : nullptr);
    const EVP_PKEY* const key = certificate ? X509_get0_pubkey(certificate.get()) : nullptr;
    ERR_clear_error();
    if (!certificate) return wrong("holds no certificate in PEM");
    if (key == nullptr) return wrong("has a key of a kind that is not known here");
    if (EVP_PKEY_get_security_bits(key) < least_security_bits)
        return wrong("has a key that is too weak: at least RSA 2048 or P-256");
    CertificateText out;
    out.fingerprint = fingerprint_of(certificate.get());
    const auto ends = time_of(X509_get0_notAfter(certificate.get()));
    if (out.fingerprint.empty() || !ends) return wrong("is damaged");
    if (*ends < now) return wrong("has expired");
    out.not_after = *ends;
    const Kept<BIO> alone(BIO_new(BIO_s_mem()));
    char* text = nullptr;
    if (!alone || PEM_write_bio_X509(alone.get(), certificate.get()) != 1) {
        ERR_clear_error();
        return wrong("is damaged");
    }
    const long size = BIO_get_mem_data(alone.get(), &text);
    out.pem.assign(text, static_cast<std::size_t>(size));
    return out;
}

}  // namespace postern::auth
