#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <optional>

#include <openssl/ssl.h>

#include "relay/net/tls.hpp"

namespace postern::relay::net {

class TicketKeys {
  public:
    using clock = std::chrono::steady_clock;
    /// A key seals tickets so long, and opens them as long again.
    static constexpr auto lifetime = std::chrono::hours(8);

    struct Key {
        std::array<unsigned char, 16> name;
        std::array<unsigned char, 32> aes;
        std::array<unsigned char, 32> hmac;
        clock::time_point made;
    };

    ~TicketKeys();

    /// The key that seals now; a new one when it is too old. Nothing when there is no randomness.
    [[nodiscard]] std::optional<Key> sealing(clock::time_point now);
    struct Opening {
        Key key;
        bool current = true;  ///< Else the client should get a new ticket.
    };
    [[nodiscard]] std::optional<Opening> opening(const unsigned char* name, clock::time_point now);

    /// Makes `context` seal and open its tickets with these keys, which must outlive it.
    void install(SSL_CTX* context);

  private:
    static int callback(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                        EVP_MAC_CTX* mac, int sealing);

    std::mutex mutex_;
    std::optional<Key> current_;
    std::optional<Key> previous_;
};

}  // namespace postern::relay::net
