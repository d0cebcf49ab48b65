#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/digest.hpp"
#include "auth/saslprep.hpp"
#include "tests/catch.hpp"

namespace postern::auth::test {

[[nodiscard]] inline std::string unbase64(std::string_view text) {
    static constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    unsigned bits = 0;
    int have = 0;
    for (const char c : text) {
        const std::size_t value = digits.find(c);
        if (value == std::string_view::npos) break;
        bits = bits << 6 | static_cast<unsigned>(value);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out.push_back(static_cast<char>(bits >> have & 0xFF));
        }
    }
    return out;
}

/// The hash that a mechanism is named after.
enum class ScramHash : std::uint8_t { sha256, sha1 };

[[nodiscard]] inline const EVP_MD* md_of(ScramHash hash) {
    return hash == ScramHash::sha1 ? EVP_sha1() : EVP_sha256();
}
[[nodiscard]] inline std::string hashed(ScramHash hash, std::string_view text) {
    std::string out(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(out.data()), &size,
               md_of(hash), nullptr);
    out.resize(size);
    return out;
}
[[nodiscard]] inline std::string mac(ScramHash hash, std::string_view key, std::string_view text) {
    std::string out(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    HMAC(md_of(hash), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(out.data()), &size);
    out.resize(size);
    return out;
}
[[nodiscard]] inline std::string salted_password(ScramHash hash, std::string_view password,
                                                 std::string_view salt, unsigned iterations) {
    std::string out(static_cast<std::size_t>(EVP_MD_get_size(md_of(hash))), '\0');
    PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()),
                      reinterpret_cast<const unsigned char*>(salt.data()),
                      static_cast<int>(salt.size()), static_cast<int>(iterations), md_of(hash),
                      static_cast<int>(out.size()), reinterpret_cast<unsigned char*>(out.data()));
    return out;
}

/// The client's side of SCRAM (RFC 5802 3, RFC 7677), written from the RFC and not from our
/// server. What is public may be set to a lie before it is sent.
struct ScramClient {
    std::string name;
    std::string password;
    std::string gs2 = "n,,";  ///< With flag and authorization identity, ending in a comma.
    std::string binding;      ///< Octets behind the gs2 header in c=.
    std::string nonce = "rOprNGfwEbeRWgbNEkqO";
    std::string first_bare{};
    std::string server_first{};
    std::string expected_signature{};
    ScramHash hash = ScramHash::sha256;

    [[nodiscard]] std::string first() {
        std::string escaped;
        for (const char c : name) {
            if (c == ',') {
                escaped += "=2C";
            } else if (c == '=') {
                escaped += "=3D";
            } else {
                escaped += c;
            }
        }
        first_bare = "n=" + escaped + ",r=" + nonce;
        return gs2 + first_bare;
    }

    [[nodiscard]] std::string final(std::string_view challenge) {
        server_first = challenge;
        const std::string full_nonce = field('r');
        const std::string salt = unbase64(field('s'));
        const unsigned iterations = static_cast<unsigned>(std::stoul(field('i')));
        REQUIRE(full_nonce.starts_with(nonce));
        REQUIRE(full_nonce.size() > nonce.size());
        const std::string without_proof = "c=" + base64(gs2 + binding) + ",r=" + full_nonce;
        const std::string auth_message = first_bare + "," + server_first + "," + without_proof;
        const std::string prepared = saslprep(password, PrepUse::query).value_or(password);
        const std::string salted = salted_password(hash, prepared, salt, iterations);
        std::string proof = mac(hash, salted, "Client Key");
        const std::string signature = mac(hash, hashed(hash, proof), auth_message);
        for (std::size_t i = 0; i < proof.size(); ++i)
            proof[i] = static_cast<char>(proof[i] ^ signature[i]);
        expected_signature = base64(mac(hash, mac(hash, salted, "Server Key"), auth_message));
        return without_proof + ",p=" + base64(proof);
    }

    [[nodiscard]] std::string field(char key) const {
        std::string_view rest = server_first;
        while (!rest.empty()) {
            const std::size_t comma = rest.find(',');
            const std::string_view part = rest.substr(0, comma);
            if (part.size() > 1 && part[0] == key && part[1] == '=')
                return std::string(part.substr(2));
            if (comma == std::string_view::npos) break;
            rest.remove_prefix(comma + 1);
        }
        FAIL("no field " << key << " in " << server_first);
        return {};
    }
};

}  // namespace postern::auth::test
