#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/digest.hpp"
#include "auth/error.hpp"
#include "auth/random.hpp"

namespace postern::auth {

inline constexpr unsigned min_iterations = 4096;   ///< RFC 7677 4
inline constexpr unsigned max_iterations = 65536;  ///< Cyrus clients refuse more.
inline constexpr std::size_t salt_octets = 16;
inline constexpr std::size_t max_salt_octets = 64;        ///< Of an imported verifier.
inline constexpr std::size_t max_password_octets = 1024;  ///< Cyrus' LOGIN takes no more.

/// What the store keeps of a password for SCRAM-SHA-256 (RFC 5803): it proves a password and logs
/// nobody in.
struct Verifier {
    std::string salt;         ///< Raw octets.
    unsigned iterations = 0;  ///< min_iterations to max_iterations
    Digest stored_key{};
    Digest server_key{};

    /// RFC 5803: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey
    [[nodiscard]] std::string text() const;
    bool operator==(const Verifier&) const = default;
};

/// Prepares the password (SASLprep, as a stored string) and derives its verifier; costs
/// `iterations` rounds. invalid_password where it cannot be prepared. Iterations are clamped to
/// what is allowed.
[[nodiscard]] result<Verifier> make_verifier(std::string_view password, std::string salt,
                                             unsigned iterations);

/// As make_verifier, of a password that is prepared already.
[[nodiscard]] Verifier make_prepared_verifier(std::string_view prepared, std::string salt,
                                              unsigned iterations);

/// StoredKey of a *prepared* password under a salt: the whole work of a check.
[[nodiscard]] Digest stored_key_of(std::string_view prepared, std::string_view salt,
                                   unsigned iterations) noexcept;

/// Verifiers for those who do not exist, so that they answer with the same words in the same time.
/// The salt of a name never changes (it hangs on the key), and nothing ever matches. Immutable,
/// thread-safe.
class FakeVerifiers {
  public:
    explicit FakeVerifiers(std::string key);

    /// What SCRAM shows of a verifier beside the salt itself; imported ones may have other salts.
    struct Shape {
        unsigned iterations = 0;
        std::size_t salt = salt_octets;
        // NOLINTNEXTLINE(google-explicit-constructor): a round count with a salt of ours.
        constexpr Shape(unsigned count, std::size_t octets = salt_octets) noexcept
            : iterations(count), salt(octets) {}
        auto operator<=>(const Shape&) const = default;
    };
    /// Share of accounts by shape: a fake takes one of the shapes that real ones have, in the same
    /// proportion and always the same one for a name while the shares stand.
    using Shares = std::vector<std::pair<Shape, std::uint64_t>>;

    [[nodiscard]] Verifier of(std::string_view normalised_name, const Shares& shares,
                              unsigned fallback) const;

  private:
    std::string key_;
};

}  // namespace postern::auth
