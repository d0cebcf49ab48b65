#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "auth/account.hpp"
#include "scratch.hpp"

namespace postern::auth::test {

struct FreeOpenSsl {
    void operator()(X509* p) const noexcept { X509_free(p); }
    void operator()(X509_CRL* p) const noexcept { X509_CRL_free(p); }
    void operator()(EVP_PKEY* p) const noexcept { EVP_PKEY_free(p); }
    void operator()(BIO* p) const noexcept { BIO_free_all(p); }
    void operator()(X509_EXTENSION* p) const noexcept { X509_EXTENSION_free(p); }
    void operator()(ASN1_TIME* p) const noexcept { ASN1_TIME_free(p); }
    void operator()(X509_REVOKED* p) const noexcept { X509_REVOKED_free(p); }
    void operator()(STACK_OF(X509) * p) const noexcept { sk_X509_free(p); }
};
template <typename T>
using Ssl = std::unique_ptr<T, FreeOpenSsl>;

/// A certificate and its key, made for a test.
struct Issued {
    Ssl<X509> certificate;
    Ssl<EVP_PKEY> key;
    [[nodiscard]] X509* get() const { return certificate.get(); }
};

struct Wish {
    std::vector<std::string> common_names = {"Somebody"};
    std::string alternatives{};  ///< "email:ann@example.net,DNS:x"
    std::string usage{};         ///< extendedKeyUsage; empty: none
    bool authority = false;
    std::chrono::hours begins{-1};  ///< From noon.
    std::chrono::hours ends{24};
    unsigned rsa_bits = 0;  ///< 0: P-256
};

[[nodiscard]] inline Ssl<ASN1_TIME> asn1_time(Time t) {
    return Ssl<ASN1_TIME>(ASN1_TIME_set(nullptr, std::chrono::system_clock::to_time_t(t)));
}

/// By `issuer`, or self-signed.
[[nodiscard]] inline Issued issue(const Wish& wish, const Issued* issuer = nullptr) {
    static long serial = 1;
    Issued made;
    made.key.reset(wish.rsa_bits != 0 ? EVP_RSA_gen(wish.rsa_bits) : EVP_EC_gen("P-256"));
    made.certificate.reset(X509_new());
    X509* const x = made.get();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_set1_notBefore(x, asn1_time(noon + wish.begins).get());
    X509_set1_notAfter(x, asn1_time(noon + wish.ends).get());
    X509_set_pubkey(x, made.key.get());
    for (const std::string& name : wish.common_names) {
        X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.data()),
                                   static_cast<int>(name.size()), -1, 0);
    }
    X509_set_issuer_name(x, X509_get_subject_name(issuer != nullptr ? issuer->get() : x));
    const auto add = [x](int nid, const std::string& value) {
        if (value.empty()) return;
        const Ssl<X509_EXTENSION> extension(
            X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str()));
        REQUIRE(extension != nullptr);
        X509_add_ext(x, extension.get(), -1);
    };
    add(NID_basic_constraints, wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish.authority) add(NID_key_usage, "critical,keyCertSign,cRLSign");
    add(NID_ext_key_usage, wish.usage);
    add(NID_subject_alt_name, wish.alternatives);
    X509_sign(x, issuer != nullptr ? issuer->key.get() : made.key.get(), EVP_sha256());
    return made;
}

template <typename Write>
[[nodiscard]] std::string written(Write write) {
    const Ssl<BIO> bio(BIO_new(BIO_s_mem()));
    REQUIRE(write(bio.get()) == 1);
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &text);
    return {text, static_cast<std::size_t>(size)};
}

[[nodiscard]] inline std::string pem(const Issued& one) {
    return written([&](BIO* bio) { return PEM_write_bio_X509(bio, one.get()); });
}
[[nodiscard]] inline std::string key_pem(const Issued& one) {
    return written([&](BIO* bio) {
        return PEM_write_bio_PrivateKey(bio, one.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
}

/// A list of `issuer`, good until `ends` from noon, that revokes these.
[[nodiscard]] inline std::string crl(const Issued& issuer,
                                     const std::vector<const Issued*>& revoked,
                                     std::chrono::hours ends = std::chrono::hours(24)) {
    const Ssl<X509_CRL> list(X509_CRL_new());
    X509_CRL_set_version(list.get(), 1);
    X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.get()));
    X509_CRL_set1_lastUpdate(list.get(), asn1_time(noon - std::chrono::hours(48)).get());
    X509_CRL_set1_nextUpdate(list.get(), asn1_time(noon + ends).get());
    for (const Issued* const one : revoked) {
        Ssl<X509_REVOKED> entry(X509_REVOKED_new());
        X509_REVOKED_set_serialNumber(entry.get(), X509_get_serialNumber(one->get()));
        X509_REVOKED_set_revocationDate(entry.get(), asn1_time(noon).get());
        X509_CRL_add0_revoked(list.get(), entry.release());
    }
    X509_CRL_sort(list.get());
    X509_CRL_sign(list.get(), issuer.key.get(), EVP_sha256());
    return written([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list.get()); });
}

}  // namespace postern::auth::test
