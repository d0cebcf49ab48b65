#include "auth/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace postern::auth {
Digest sha256(std::string_view data) noexcept {
    Digest out{};
    SHA256(octets(data), data.size(), out.data());
    return out;
}

Digest hmac_sha256(std::string_view key, std::string_view data) noexcept {
    Digest out{};
    unsigned length = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), octets(data), data.size(),
         out.data(), &length);
    return out;
}

Digest pbkdf2_sha256(std::string_view password, std::string_view salt,
                     unsigned iterations) noexcept {
    Digest out{};
    PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), octets(salt),
                      static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                      static_cast<int>(out.size()), out.data());
    return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void wipe(void* data, std::size_t size) noexcept {
    OPENSSL_cleanse(data, size);
}

std::string base64(std::string_view text) {
    // EVP_EncodeBlock writes a NUL behind its last octet.
    std::string out((text.size() + 2) / 3 * 4 + 1, '\0');
    const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), octets(text),
                                       static_cast<int>(text.size()));
    out.resize(static_cast<std::size_t>(length));
    return out;
}

std::string hex(std::string_view text) {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(text.size() * 2);
    for (const char c : text) {
        out.push_back(digits[static_cast<unsigned char>(c) >> 4]);
        out.push_back(digits[static_cast<unsigned char>(c) & 0xF]);
    }
    return out;
}

}  // namespace postern::auth
