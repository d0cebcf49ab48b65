#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern::proto {

/// How a signature is made (RFC 6376 3.3.1, RFC 8463 3); the hash is SHA-256.
enum class DkimAlgorithm : std::uint8_t { rsa, ed25519 };
inline constexpr std::size_t dkim_algorithms = 2;
[[nodiscard]] std::string_view name(DkimAlgorithm algorithm) noexcept;
[[nodiscard]] std::optional<DkimAlgorithm> parse_dkim_algorithm(std::string_view text) noexcept;

/// SELECTOR._domainkey.DOMAIN
[[nodiscard]] std::string dkim_record_name(std::string_view selector, std::string_view domain);
/// The value of the TXT record there (RFC 6376 3.6.1). `key`: of RSA the SubjectPublicKeyInfo
/// (DER), of Ed25519 the 32 octets.
[[nodiscard]] std::string dkim_record(DkimAlgorithm algorithm, std::string_view key);
/// The value of a TXT record as a zone has it: strings of at most 255 octets (RFC 1035 3.3), each
/// in quotes, with spaces between.
[[nodiscard]] std::string txt_strings(std::string_view value);

/// The fields of a header section that a signature covers.
struct SignedFields {
    std::vector<std::string_view> names;  ///< As h= has them, in that order; static text.
    std::string canonical;  ///< Relaxed (RFC 6376 3.4.2), in that order, each ended by CRLF.
};
/// More fields than this are not signed: against headers of nothing but To.
inline constexpr std::size_t signed_fields_limit = 100;
/// Which fields of `section` (CRLF lines) are covered, and what of them is hashed. Those that
/// matter to a reader are named once more than they stand there (RFC 6376 8.15): none of them can
/// be added later. Unset: not exactly one From, or too many fields.
[[nodiscard]] std::optional<SignedFields> signed_fields(std::string_view section);

/// What a DKIM-Signature field says but for the signature itself.
struct DkimTags {
    DkimAlgorithm algorithm = DkimAlgorithm::rsa;
    std::string_view domain;    ///< d=, in A-labels.
    std::string_view selector;  ///< s=
    std::int64_t unix_seconds = 0;
    std::string_view body_hash;  ///< bh=: 32 octets.
    std::span<const std::string_view> names;
};
/// The field up to and with `b=`, folded, without a line end.
[[nodiscard]] std::string unsigned_dkim_field(const DkimTags& tags);
/// What is hashed for the signature (RFC 6376 3.7): the covered fields, then this one.
[[nodiscard]] std::string dkim_hash_input(const SignedFields& fields,
                                          std::string_view unsigned_field);
/// The whole field with its line end. `signature`: octets.
[[nodiscard]] std::string dkim_field(std::string unsigned_field, std::string_view signature);

}  // namespace postern::proto
