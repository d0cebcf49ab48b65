#include "relay/dkim/signing_key.hpp"

#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

namespace postern::relay::dkim {

namespace {

using auth::Kept;
using proto::DkimAlgorithm;

constexpr int rsa_bits = 2048;
/// RFC 8301 3.2: what verifiers must take.
constexpr int rsa_least_bits = 1024;
constexpr int rsa_most_bits = 4096;
constexpr std::size_t ed25519_octets = 32;

int kind_of(DkimAlgorithm algorithm) noexcept {
    return algorithm == DkimAlgorithm::rsa ? EVP_PKEY_RSA : EVP_PKEY_ED25519;
}

bool is_of(const EVP_PKEY* key, DkimAlgorithm algorithm) noexcept {
    if (EVP_PKEY_get_base_id(key) != kind_of(algorithm)) return false;
    if (algorithm == DkimAlgorithm::ed25519) return true;
    const int bits = EVP_PKEY_get_bits(key);
    return bits >= rsa_least_bits && bits <= rsa_most_bits;
}

std::string_view as_text(const unsigned char* octets, std::size_t size) noexcept {
    return {reinterpret_cast<const char*>(octets), size};
}

result<std::string> sign_rsa(EVP_PKEY* key, const auth::Digest& digest) {
    const Kept<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new(key, nullptr));
    std::size_t size = 0;
    if (!context || EVP_PKEY_sign_init(context.get()) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1 ||
        EVP_PKEY_CTX_set_signature_md(context.get(), EVP_sha256()) != 1 ||
        EVP_PKEY_sign(context.get(), nullptr, &size, digest.data(), digest.size()) != 1)
        return KeyError::openssl;
    std::string out(size, '\0');
    if (EVP_PKEY_sign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                      digest.data(), digest.size()) != 1)
        return KeyError::openssl;
    out.resize(size);
    return out;
}

/// RFC 8463 3: what is signed is the hash itself.
result<std::string> sign_ed25519(EVP_PKEY* key, const auth::Digest& digest) {
    const Kept<EVP_MD_CTX> context(EVP_MD_CTX_new());
    if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key) != 1)
        return KeyError::openssl;
    std::size_t size = 0;
    if (EVP_DigestSign(context.get(), nullptr, &size, digest.data(), digest.size()) != 1)
        return KeyError::openssl;
    std::string out(size, '\0');
    if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                       digest.data(), digest.size()) != 1)
        return KeyError::openssl;
    out.resize(size);
    return out;
}

}  // namespace

result<SigningKey> SigningKey::make(DkimAlgorithm algorithm) {
    ERR_clear_error();
    const Kept<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_id(kind_of(algorithm), nullptr));
    if (!context || EVP_PKEY_keygen_init(context.get()) != 1) return KeyError::openssl;
    if (algorithm == DkimAlgorithm::rsa &&
        EVP_PKEY_CTX_set_rsa_keygen_bits(context.get(), rsa_bits) != 1)
        return KeyError::openssl;
    EVP_PKEY* key = nullptr;
    if (EVP_PKEY_keygen(context.get(), &key) != 1) return KeyError::openssl;
    return SigningKey(Kept<EVP_PKEY>(key), algorithm);
}

result<SigningKey> SigningKey::read(std::string_view pem, DkimAlgorithm algorithm) {
    ERR_clear_error();
    const Kept<BIO> source(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    if (!source) return KeyError::openssl;
    Kept<EVP_PKEY> key(
        PEM_read_bio_PrivateKey(source.get(), nullptr, &auth::no_passphrase, nullptr));
    ERR_clear_error();
    if (!key || !is_of(key.get(), algorithm)) return KeyError::damaged;
    return SigningKey(std::move(key), algorithm);
}

result<proto::Secret> SigningKey::pem() const {
    ERR_clear_error();
    const Kept<BIO> into(BIO_new(BIO_s_secmem()));
    if (!into || PEM_write_bio_PKCS8PrivateKey(into.get(), key_.get(), nullptr, nullptr, 0, nullptr,
                                               nullptr) != 1)
        return KeyError::openssl;
    char* text = nullptr;
    const long size = BIO_get_mem_data(into.get(), &text);
    if (size <= 0) return KeyError::openssl;
    return proto::Secret(std::string_view(text, static_cast<std::size_t>(size)));
}

result<std::string> SigningKey::record() const {
    ERR_clear_error();
    if (algorithm_ == DkimAlgorithm::ed25519) {
        unsigned char octets[ed25519_octets];
        std::size_t size = sizeof octets;
        if (EVP_PKEY_get_raw_public_key(key_.get(), octets, &size) != 1) return KeyError::openssl;
        return proto::dkim_record(algorithm_, as_text(octets, size));
    }
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(key_.get(), &der);
    if (size <= 0) return KeyError::openssl;
    const Kept<unsigned char> owner(der);
    return proto::dkim_record(algorithm_, as_text(der, static_cast<std::size_t>(size)));
}

result<std::string> SigningKey::sign(const auth::Digest& digest) const {
    ERR_clear_error();
    auto out = algorithm_ == DkimAlgorithm::rsa ? sign_rsa(key_.get(), digest)
                                                : sign_ed25519(key_.get(), digest);
    ERR_clear_error();
    return out;
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
    well_ = context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
}

void Sha256::take(std::string_view octets) {
    well_ = well_ && EVP_DigestUpdate(context_.get(), octets.data(), octets.size()) == 1;
}

result<auth::Digest> Sha256::digest() {
    auth::Digest out{};
    unsigned size = 0;
    if (!well_ || EVP_DigestFinal_ex(context_.get(), out.data(), &size) != 1 || size != out.size())
        return KeyError::openssl;
    return out;
}

}  // namespace postern::relay::dkim
