#include "auth/verifier.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "auth/saslprep.hpp"

namespace postern::auth {

std::string Verifier::text() const {
    return fmt::format("SCRAM-SHA-256${}:{}${}:{}", iterations, base64(salt),
                       base64(view(stored_key)), base64(view(server_key)));
}

result<Verifier> make_verifier(std::string_view password, std::string salt, unsigned iterations) {
    if (password.empty() || password.size() > max_password_octets)
        return AuthError::invalid_password;
    std::optional<std::string> prepared = saslprep(password, PrepUse::stored);
    if (!prepared || prepared->empty()) return AuthError::invalid_password;
    Verifier made = make_prepared_verifier(*prepared, std::move(salt), iterations);
    wipe(prepared->data(), prepared->size());
    return made;
}

Verifier make_prepared_verifier(std::string_view prepared, std::string salt, unsigned iterations) {
    Verifier made;
    made.salt = std::move(salt);
    made.iterations = std::clamp(iterations, min_iterations, max_iterations);
    // RFC 5802 3
    Digest salted = pbkdf2_sha256(prepared, made.salt, made.iterations);
    Digest client_key = hmac_sha256(view(salted), "Client Key");
    made.stored_key = sha256(view(client_key));
    made.server_key = hmac_sha256(view(salted), "Server Key");
    wipe(salted.data(), salted.size());
    wipe(client_key.data(), client_key.size());
    return made;
}

Digest stored_key_of(std::string_view prepared, std::string_view salt,
                     unsigned iterations) noexcept {
    Digest salted = pbkdf2_sha256(prepared, salt, iterations);
    Digest client_key = hmac_sha256(view(salted), "Client Key");
    const Digest stored = sha256(view(client_key));
    wipe(salted.data(), salted.size());
    wipe(client_key.data(), client_key.size());
    return stored;
}

FakeVerifiers::FakeVerifiers(std::string key) : key_(std::move(key)) {}

Verifier FakeVerifiers::of(std::string_view normalised_name, const Shares& shares,
                           unsigned fallback) const {
    const auto derive = [&](std::string_view what) {
        std::string text(what);
        text.push_back('\0');
        text.append(normalised_name);
        return hmac_sha256(key_, text);
    };
    const Digest shown = derive("salt and rounds");
    const Digest hidden = derive("keys");
    Verifier fake;
    fake.salt = std::string(view(shown).substr(0, salt_octets));
    fake.stored_key = sha256(view(hidden));
    fake.server_key = hidden;

    std::uint64_t all = 0;
    for (const auto& [shape, accounts] : shares) all += accounts;
    fake.iterations = fallback;
    std::size_t octets = salt_octets;
    if (all != 0) {
        std::uint64_t drawn = 0;
        for (std::size_t k = salt_octets; k < salt_octets + 8; ++k) drawn = drawn << 8 | shown[k];
        // By its fraction: one account more or less moves few names.
        __extension__ using Wide = unsigned __int128;
        drawn = static_cast<std::uint64_t>((Wide{drawn} * all) >> 64U);
        for (const auto& [shape, accounts] : shares) {
            if (drawn < accounts) {
                fake.iterations = shape.iterations;
                octets = shape.salt;
                break;
            }
            drawn -= accounts;
        }
    }
    while (fake.salt.size() < octets) fake.salt += view(derive("salt " + fake.salt));
    fake.salt.resize(octets);
    return fake;
}

}  // namespace postern::auth
