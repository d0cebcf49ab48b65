#pragma once

#include <string>
#include <string_view>

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

/// The client's side of SCRAM-SHA-256 (RFC 5802 3, RFC 7677), written from the RFC and not from our
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
        const Digest salted = pbkdf2_sha256(prepared, salt, iterations);
        Digest proof = hmac_sha256(view(salted), "Client Key");
        const Digest stored = sha256(view(proof));
        const Digest signature = hmac_sha256(view(stored), auth_message);
        for (std::size_t i = 0; i < proof.size(); ++i) proof[i] ^= signature[i];
        const Digest server_key = hmac_sha256(view(salted), "Server Key");
        expected_signature = base64(view(hmac_sha256(view(server_key), auth_message)));
        return without_proof + ",p=" + base64(view(proof));
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
