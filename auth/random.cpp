#include "auth/random.hpp"

#include <array>
#include <cstdlib>
#include <string>

#include <openssl/rand.h>

#include "auth/digest.hpp"

namespace postern::auth {

RandomBytes system_random() {
    return [](std::span<unsigned char> out) {
        if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) std::abort();
    };
}

proto::Secret generate_password(const RandomBytes& random) {
    static constexpr std::string_view alphabet =
        "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    static constexpr std::size_t length = 20;
    // Octets from here on would favour the alphabet's first letters.
    static constexpr std::size_t fair = 256 - 256 % alphabet.size();
    std::string text;
    text.reserve(length);
    std::array<unsigned char, 64> pool{};
    while (text.size() < length) {
        random(pool);
        for (const unsigned char octet : pool) {
            if (octet >= fair || text.size() == length) continue;
            text.push_back(alphabet[octet % alphabet.size()]);
        }
    }
    proto::Secret password(text);
    wipe(text.data(), text.size());
    wipe(pool.data(), pool.size());
    return password;
}

}  // namespace postern::auth
