#include "relay/intake/signature.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <memory>

#include "proto/base64.hpp"
#include "proto/utf8.hpp"
#include "proto/wipe.hpp"

namespace postern::relay::intake {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

const unsigned char* as_octets(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}

Digest digest_of(std::string_view text) noexcept {
    Digest out{};
    SHA256(as_octets(text), text.size(), out.data());
    return out;
}

std::string_view behind_scheme(std::string_view text, std::string_view scheme) {
    if (text.size() <= scheme.size() ||
        !proto::same_ignoring_case(text.substr(0, scheme.size()), scheme) ||
        text[scheme.size()] != ' ')
        return {};
    text.remove_prefix(scheme.size());
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    return text;
}

struct FreeKey {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};
using KeyPtr = std::unique_ptr<EVP_PKEY, FreeKey>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, FreeKey>;

KeyPtr public_key_of(std::string_view text) {
    const auto der = proto::base64_decode(text);
    if (!der || der->empty()) return nullptr;
    ERR_clear_error();
    const unsigned char* at = as_octets(*der);
    KeyPtr key(d2i_PUBKEY(nullptr, &at, static_cast<long>(der->size())));
    ERR_clear_error();
    if (key && EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC) return nullptr;
    return key;
}

}  // namespace

bool same_secret(std::string_view a, std::string_view b) noexcept {
    // Digests are of one length, and so tell nothing of the secret's.
    const Digest first = digest_of(a);
    const Digest second = digest_of(b);
    return CRYPTO_memcmp(first.data(), second.data(), first.size()) == 0;
}

std::optional<proto::Secret> secret_in(std::string_view authorization) {
    if (const std::string_view token = behind_scheme(authorization, "Bearer"); !token.empty())
        return proto::Secret(token);
    const std::string_view encoded = behind_scheme(authorization, "Basic");
    if (encoded.empty()) return std::nullopt;
    auto decoded = proto::base64_decode(encoded);
    if (!decoded) return std::nullopt;
    std::optional<proto::Secret> out;
    const std::size_t colon = decoded->find(':');
    if (colon != std::string::npos) out.emplace(std::string_view(*decoded).substr(colon + 1));
    proto::wipe(*decoded);
    return out;
}

bool mailgun_signed(std::string_view key, const MailgunStamp& stamp,
                    std::chrono::system_clock::time_point now) {
    constexpr std::size_t longest = 256;  // of a token; theirs have 50 octets
    if (key.empty() || stamp.token.empty() || stamp.token.size() > longest) return false;
    std::int64_t seconds = 0;
    const char* end = stamp.timestamp.data() + stamp.timestamp.size();
    const auto read = std::from_chars(stamp.timestamp.data(), end, seconds);
    if (read.ec != std::errc{} || read.ptr != end) return false;
    const std::int64_t ours =
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    const std::int64_t bound = std::chrono::seconds(signature_age).count();
    if (seconds < ours - bound || seconds > ours + bound) return false;

    const std::string text = stamp.timestamp + stamp.token;
    Digest code{};
    unsigned size = 0;
    if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), as_octets(text), text.size(),
             code.data(), &size) == nullptr)
        return false;
    constexpr std::string_view digits = "0123456789abcdef";
    std::string hex;
    for (const unsigned char octet : code) {
        hex += digits[octet >> 4U];
        hex += digits[octet & 15U];
    }
    return same_secret(hex, proto::to_lower(stamp.signature));
}

bool is_public_key(std::string_view text) {
    return public_key_of(text) != nullptr;
}

bool sendgrid_signed(std::string_view public_key, std::string_view signature,
                     std::string_view timestamp, std::string_view body) {
    const KeyPtr key = public_key_of(public_key);
    const auto octets = proto::base64_decode(signature);
    if (!key || !octets || octets->empty() || timestamp.empty()) return false;
    ERR_clear_error();
    const DigestContextPtr context(EVP_MD_CTX_new());
    const bool good =
        context &&
        EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
        EVP_DigestVerifyUpdate(context.get(), timestamp.data(), timestamp.size()) == 1 &&
        EVP_DigestVerifyUpdate(context.get(), body.data(), body.size()) == 1 &&
        EVP_DigestVerifyFinal(context.get(), as_octets(*octets), octets->size()) == 1;
    ERR_clear_error();
    return good;
}

TokensSeen::Claim TokensSeen::claim(const std::string& token, clock::time_point now) {
    constexpr std::chrono::minutes sweep_every{1};
    // A time that is ahead of ours is good for twice its age.
    constexpr std::chrono::minutes kept = 2 * signature_age;
    if (now - swept_ >= sweep_every) {
        std::erase_if(until_, [&](const auto& one) { return one.second <= now; });
        swept_ = now;
    }
    if (const auto it = until_.find(token); it != until_.end()) {
        if (it->second > now) return Claim::seen;
        it->second = now + kept;
        return Claim::fresh;
    }
    if (until_.size() >= most_) return Claim::full;
    until_.emplace(token, now + kept);
    return Claim::fresh;
}

void TokensSeen::release(const std::string& token) {
    until_.erase(token);
}

}  // namespace postern::relay::intake
