#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::auth {

/// Of ASCII, in lower case.
[[nodiscard]] constexpr bool is_letter_or_digit(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

inline constexpr char default_separator = '+';

/// A login name: `ann@example.net`, or with the label of one of the account's credentials
/// `ann@example.net+phone`.
struct LoginName {
    std::string account;               ///< Normalised; empty: nobody has this name.
    std::optional<std::string> label;  ///< Normalised, never empty.
};
/// The label begins at the first separator behind the last `@`.
[[nodiscard]] LoginName parse_login(std::string_view typed, char separator);

/// The account that somebody else (an issuer, an authority) says a name is. Unset: none, also where
/// the local part is another one before it is prepared: users of theirs may be one here.
[[nodiscard]] std::optional<std::string> asserted_login(std::string_view name);

/// A credential's name as it is stored and compared: 1 to 64 of `a-z 0-9 . _ -`, the first no
/// punctuation; capitals become small. Unset: none.
[[nodiscard]] std::optional<std::string> normalised_label(std::string_view text);

}  // namespace postern::auth
