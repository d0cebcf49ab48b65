#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>

namespace postern::auth {

/// What can go wrong in this room. Refusals of a login are no errors but values (`Failure`).
enum class AuthError : std::uint8_t {
    store_locked = 1,    ///< Another process holds the file longer than the busy time-out.
    store_damaged,       ///< No SQLite file, or its pages contradict each other.
    store_newer_schema,  ///< Made by a newer postern than this one.
    store_io,            ///< The file cannot be opened, read, written or synced.
    not_found,           ///< No such account.
    already_exists,      ///< The account is there.
    invalid_name,   ///< A login name that is no address, or has characters that SASLprep prohibits.
    invalid_owned,  ///< Neither an address, nor a domain, nor `*`.
    invalid_password,      ///< Empty, over 1,024 octets, not UTF-8, or prohibited by SASLprep.
    invalid_credential,    ///< A credential's name that is none (normalised_label).
    credential_exists,     ///< The account has one of that name.
    no_credential,         ///< The account has none of that name.
    too_many_credentials,  ///< The account has max_credentials of them.
    invalid_source,        ///< A device's network that is none, or far too wide (may_bind).
    invalid_listener,      ///< A device's listener that is none.
    invalid_rcpt,          ///< A device's recipient that is neither an address nor `@DOMAIN`.
    source_taken,          ///< Another device has that network at that listener.
    too_many_devices,      ///< All accounts together have max_devices of them.
    invalid_certificate,   ///< No certificate that could prove anything.
    certificate_taken,     ///< The certificate is a credential already.
    customer_not_found,
    customer_exists,
    customer_in_use,    ///< It has accounts.
    invalid_customer,   ///< A customer's name that is none.
    invalid_domain,     ///< No domain.
    domain_taken,       ///< The domain is another customer's.
    invalid_contact,    ///< No address.
    changed_meanwhile,  ///< Time and again while a password was derived: try again.
    not_suspended,      ///< Nothing is to be released.
    invalid_rule,       ///< A rule's mode is none of enforce, observe, off.
    key_file,           ///< A key under STATE/keys cannot be read or made, or has the wrong size.
    sasl_library,       ///< Cyrus SASL does not start.
    mechanism_missing,  ///< A mechanism's plug-in is not installed (libsasl2-modules).
    store_plugin_missing,  ///< A back-end's plug-in is not installed (libsasl2-modules-db, -ldap,
                           ///< -sql).
};
[[nodiscard]] const boost::system::error_category& auth_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(AuthError e) noexcept;

/// An error at start, with the sentence that tells the operator what is wrong and what would be
/// right.
struct Fault {
    boost::system::error_code code;
    std::string text;
};
/// Lets boost::system::result<T, Fault>::value() throw; nothing in postern calls it unchecked.
[[noreturn]] void throw_exception_from_error(const Fault& fault,
                                             const boost::source_location& where);

template <class T>
using result = boost::system::result<T>;
template <class T>
using started = boost::system::result<T, Fault>;

}  // namespace postern::auth

template <>
struct boost::system::is_error_code_enum<postern::auth::AuthError> : std::true_type {};
