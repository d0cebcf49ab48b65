#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace postern::auth {

// Hashes of crypt(3) that other mail servers keep: they prove a password and serve no SCRAM.

enum class CryptKind : std::uint8_t {
    sha256,  ///< $5$, {SHA256-CRYPT}
    sha512,  ///< $6$, {SHA512-CRYPT}
    bcrypt,  ///< $2a$ $2b$ $2y$, {BLF-CRYPT}
};

/// Most that a hash may ask for: about half a second of a core, which a stranger can make us spend
/// by naming the account.
inline constexpr std::uint32_t max_crypt_rounds = 1'000'000;  ///< sha256 and sha512
inline constexpr unsigned max_bcrypt_cost = 14;               ///< 2^14 rounds of its own

/// By its first characters; unset: another kind.
[[nodiscard]] std::optional<CryptKind> crypt_kind(std::string_view hash) noexcept;

enum class CryptForm : std::uint8_t { good, malformed, too_costly };
/// Has it the form of its kind, exactly as crypt(3) writes it, and at what cost?
[[nodiscard]] CryptForm crypt_form(CryptKind kind, std::string_view hash) noexcept;

/// Is this its password? Computes; nothing is cut at a NUL. Where memory is wanting: false.
[[nodiscard]] bool crypt_matches(std::string_view hash, std::string_view password) noexcept;

}  // namespace postern::auth
