#pragma once

#include <string>
#include <string_view>

#include "auth/verifier.hpp"

namespace postern::auth {

// What SCRAM-SHA-1 (RFC 5802) checks a password against: a verifier of its own beside the one for
// SCRAM-SHA-256, with the same salt and round count, kept as RFC 5803 text
// `SCRAM-SHA-1$iterations:salt$StoredKey:ServerKey`.

/// Of a *prepared* password. Costs `iterations` rounds.
[[nodiscard]] std::string scram_sha1_of(std::string_view prepared, std::string_view salt,
                                        unsigned iterations);
/// Shows the salt and round count of a fake (FakeVerifiers); nothing ever matches.
[[nodiscard]] std::string fake_scram_sha1(const Verifier& fake);
/// Whether the text is one, and of the same salt and round count as the verifier.
[[nodiscard]] bool scram_sha1_fits(std::string_view text, const Verifier& verifier);

}  // namespace postern::auth
