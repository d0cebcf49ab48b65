#include "relay/serve/randomness.hpp"

#include <array>
#include <chrono>
#include <cstdlib>

#include <openssl/rand.h>

#include "auth/digest.hpp"
#include "proto/ref.hpp"

namespace postern::relay {

std::string make_ref() {
    proto::RefRandom random{};
    // Without random octets nothing may go on: references and boundaries must not repeat.
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) std::abort();
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return proto::make_ref(static_cast<std::uint64_t>(
                               std::chrono::duration_cast<std::chrono::milliseconds>(now).count()),
                           random);
}

std::string make_token() {
    std::array<unsigned char, 16> random{};
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) std::abort();
    return auth::hex({reinterpret_cast<const char*>(random.data()), random.size()});
}

double random_share() {
    std::uint32_t bits = 0;
    (void)RAND_bytes(reinterpret_cast<unsigned char*>(&bits), sizeof bits);
    return static_cast<double>(bits) / 4294967296.0;
}

std::uint64_t random_seed() {
    std::uint64_t bits = 0;
    (void)RAND_bytes(reinterpret_cast<unsigned char*>(&bits), sizeof bits);
    return bits;
}

}  // namespace postern::relay
