#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

namespace postern::auth {

/// How a token is signed (RFC 7518 3.1). Others are refused: `none` proves nothing, and HS256 would
/// take a public key for a shared secret.
enum class TokenAlgorithm : std::uint8_t {
    rs256,  ///< RSASSA-PKCS1-v1_5 with SHA-256
    es256,  ///< ECDSA on P-256 with SHA-256
};

inline constexpr std::size_t max_key_set_octets = std::size_t{1} << 20U;
inline constexpr std::size_t max_keys = 100;
inline constexpr int min_rsa_bits = 2048;  ///< RFC 7518 3.3
inline constexpr int max_rsa_bits = 8192;  ///< A larger one costs milliseconds a token.

/// One public key that tokens are checked with. Immutable, thread-safe.
class TokenKey {
  public:
    ~TokenKey();
    TokenKey(TokenKey&&) noexcept;
    TokenKey(const TokenKey&) = delete;
    TokenKey& operator=(const TokenKey&) = delete;

    [[nodiscard]] TokenAlgorithm algorithm() const noexcept { return algorithm_; }
    [[nodiscard]] const std::optional<std::string>& id() const noexcept { return id_; }
    /// `signature` as a JWS has it: of ES256 r and s, 32 octets each (RFC 7518 3.4).
    [[nodiscard]] bool signed_this(std::string_view text, std::string_view signature) const;

  private:
    friend class KeySet;
    struct Held;  ///< OpenSSL's.
    TokenKey(TokenAlgorithm algorithm, std::optional<std::string> id, std::unique_ptr<Held> held);
    TokenAlgorithm algorithm_;
    std::optional<std::string> id_;
    std::unique_ptr<Held> held_;
};

/// A JSON Web Key Set (RFC 7517 5). Immutable, thread-safe.
class KeySet {
  public:
    /// Keys of other kinds and uses are passed over, as RFC 7517 5 asks; those that are broken or
    /// too weak as well, and named in faults(). Error: what is wrong with the whole, also where no
    /// key is left or there are over max_keys.
    [[nodiscard]] static boost::system::result<std::shared_ptr<const KeySet>, std::string> parse(
        std::string_view text);

    /// The one key that a token with this algorithm and `kid` (unset: it names none) was signed
    /// with; null where none fits, or more than one.
    [[nodiscard]] const TokenKey* find(TokenAlgorithm algorithm,
                                       const std::optional<std::string>& id) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }
    /// Keys that should serve and cannot, a sentence each.
    [[nodiscard]] const std::vector<std::string>& faults() const noexcept { return faults_; }
    /// The same text was parsed.
    [[nodiscard]] bool same_as(const KeySet& other) const noexcept {
        return print_ == other.print_;
    }

  private:
    KeySet() = default;
    std::vector<TokenKey> keys_;
    std::vector<std::string> faults_;
    std::string print_;  ///< SHA-256 of the text.
};

using KeySetPtr = std::shared_ptr<const KeySet>;

}  // namespace postern::auth
