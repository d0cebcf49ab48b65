#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace postern::auth {

using Digest = std::array<unsigned char, 32>;

[[nodiscard]] Digest sha256(std::string_view data) noexcept;
[[nodiscard]] Digest hmac_sha256(std::string_view key, std::string_view data) noexcept;

/// Hi() of RFC 5802 2.2: PBKDF2 with HMAC-SHA-256, one block.
[[nodiscard]] Digest pbkdf2_sha256(std::string_view password, std::string_view salt,
                                   unsigned iterations) noexcept;

/// Takes the same time wherever the two differ; lengths are no secret.
[[nodiscard]] bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept;

/// Overwrites octets so that the optimiser keeps the writing.
void wipe(void* data, std::size_t size) noexcept;

[[nodiscard]] std::string base64(std::string_view octets);
[[nodiscard]] std::string hex(std::string_view octets);

/// As OpenSSL takes text.
[[nodiscard]] inline const unsigned char* octets(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}

[[nodiscard]] inline std::string_view view(const Digest& digest) noexcept {
    return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace postern::auth
