#include "auth/scram_sha1.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace postern::auth {
namespace {

using Sha1Digest = std::array<unsigned char, SHA_DIGEST_LENGTH>;

constexpr std::size_t key_text_octets = 28;  ///< 20 octets in base64

std::string_view view_of(const Sha1Digest& digest) noexcept {
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

Sha1Digest hmac_sha1(const Sha1Digest& key, std::string_view text) noexcept {
    Sha1Digest out{};
    unsigned length = 0;
    HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), octets(text), text.size(),
         out.data(), &length);
    return out;
}

std::string head_of(std::string_view salt, unsigned iterations) {
    return fmt::format("SCRAM-SHA-1${}:{}$", iterations, base64(salt));
}

std::string text_of(std::string_view salt, unsigned iterations, std::string_view stored_key,
                    std::string_view server_key) {
    return fmt::format("{}{}:{}", head_of(salt, iterations), base64(stored_key),
                       base64(server_key));
}

bool is_key(std::string_view text) noexcept {
    return text.size() == key_text_octets && text.ends_with('=') &&
           std::ranges::all_of(text.substr(0, key_text_octets - 1), [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '+' || c == '/';
           });
}

}  // namespace

std::string scram_sha1_of(std::string_view prepared, std::string_view salt, unsigned iterations) {
    // RFC 5802 3
    Sha1Digest salted{};
    PKCS5_PBKDF2_HMAC(prepared.data(), static_cast<int>(prepared.size()), octets(salt),
                      static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha1(),
                      static_cast<int>(salted.size()), salted.data());
    Sha1Digest client_key = hmac_sha1(salted, "Client Key");
    Sha1Digest stored_key{};
    SHA1(client_key.data(), client_key.size(), stored_key.data());
    const Sha1Digest server_key = hmac_sha1(salted, "Server Key");
    wipe(salted.data(), salted.size());
    wipe(client_key.data(), client_key.size());
    return text_of(salt, iterations, view_of(stored_key), view_of(server_key));
}

std::string fake_scram_sha1(const Verifier& fake) {
    return text_of(fake.salt, fake.iterations, view(fake.stored_key).substr(0, SHA_DIGEST_LENGTH),
                   view(fake.server_key).substr(0, SHA_DIGEST_LENGTH));
}

bool scram_sha1_fits(std::string_view text, const Verifier& verifier) {
    const std::string head = head_of(verifier.salt, verifier.iterations);
    if (!text.starts_with(head)) return false;
    const std::string_view keys = text.substr(head.size());
    return keys.size() == 2 * key_text_octets + 1 && keys[key_text_octets] == ':' &&
           is_key(keys.substr(0, key_text_octets)) && is_key(keys.substr(key_text_octets + 1));
}

}  // namespace postern::auth
