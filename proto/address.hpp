#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace postern::proto {

/// Why a mailbox or path was not taken.
enum class AddressError : std::uint8_t {
    syntax = 1,  ///< 501 5.5.4
    too_long,    ///< local part over 64, domain over 255, path over 256 octets (RFC 5321 4.5.3.1)
    no_domain,   ///< 554 5.1.2, RFC 6409 4.2
    needs_smtputf8,  ///< 553 5.6.7
    bad_utf8,        ///< 501 5.5.4
};
[[nodiscard]] const boost::system::error_category& address_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(AddressError e) noexcept;

/// A mailbox (RFC 5321 4.1.2, RFC 6531 3.3), kept as the client wrote it, less a source route.
struct Address {
    std::string local;   ///< As written: a quoted string keeps its quotes.
    std::string domain;  ///< As written; an address literal keeps its brackets; empty only for
                         ///< <postmaster>.

    [[nodiscard]] std::string text() const;     ///< local@domain, for a path between <>.
    [[nodiscard]] bool ascii() const noexcept;  ///< May travel without SMTPUTF8.
    [[nodiscard]] std::string normalised()
        const;  ///< Unquoted, case-folded local part, A-label domain: what owners are compared by.
    bool operator==(const Address&) const = default;
};

/// Parses `local@domain` (no angle brackets). Never throws.
[[nodiscard]] boost::system::result<Address> parse_mailbox(std::string_view text, bool smtputf8);

/// The A-label, lower-case form of a domain (IDNA 2008 by libidn2, UTS 46 mapping); as given,
/// lower-cased, where it has none (address literals, invalid labels). Never throws.
[[nodiscard]] std::string normalised_domain(std::string_view domain);

/// The normalised form of a login name or owned address: Address::normalised() where it parses,
/// the case-folded text else.
[[nodiscard]] std::string normalised_address(std::string_view text);

}  // namespace postern::proto

template <>
struct boost::system::is_error_code_enum<postern::proto::AddressError> : std::true_type {};
