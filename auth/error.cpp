#include "auth/error.hpp"

namespace postern::auth {
namespace {

class Category final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "postern.auth"; }
    std::string message(int value) const override {
        switch (static_cast<AuthError>(value)) {
            case AuthError::store_locked:
                return "the account store is locked by another process";
            case AuthError::store_damaged:
                return "the account store is damaged";
            case AuthError::store_newer_schema:
                return "the account store was made by a newer postern";
            case AuthError::store_io:
                return "the account store cannot be read or written";
            case AuthError::not_found:
                return "no such account";
            case AuthError::already_exists:
                return "the account exists already";
            case AuthError::invalid_name:
                return "an account's name must be an address, like ann@example.net";
            case AuthError::invalid_owned:
                return "owned must be an address, a domain or *";
            case AuthError::invalid_password:
                return "a password must be UTF-8 of 1 to 1024 octets without control or private "
                       "characters";
            case AuthError::invalid_credential:
                return "a credential's name must be 1 to 64 letters, digits, dots, underscores or "
                       "hyphens, the first a letter or a digit";
            case AuthError::credential_exists:
                return "the account has a credential of that name";
            case AuthError::no_credential:
                return "the account has no credential of that name";
            case AuthError::too_many_credentials:
                return "the account has as many credentials as it may: revoke one first";
            case AuthError::invalid_source:
                return "a device's source must be a network, like 192.0.2.8 or 192.0.2.16/28, not "
                       "wider than /8 (IPv6: /32)";
            case AuthError::invalid_listener:
                return "a device's listener must be the name of one";
            case AuthError::invalid_rcpt:
                return "a device's recipients must be addresses or @DOMAIN, 100 at most";
            case AuthError::source_taken:
                return "another device has that very network at that listener";
            case AuthError::too_many_devices:
                return "there are as many devices as there may be: revoke one first";
            case AuthError::invalid_certificate:
                return "the certificate cannot prove anything";
            case AuthError::certificate_taken:
                return "the certificate is a credential already: revoke that one first";
            case AuthError::customer_not_found:
                return "no such customer";
            case AuthError::customer_exists:
                return "the customer exists already";
            case AuthError::customer_in_use:
                return "the customer has accounts: remove them, or give them another customer";
            case AuthError::invalid_customer:
                return "a customer's name must be 1 to 64 characters without spaces";
            case AuthError::invalid_domain:
                return "a domain must be one, like example.net";
            case AuthError::domain_taken:
                return "the domain is another customer's";
            case AuthError::invalid_contact:
                return "a contact must be an address, like ops@example.net";
            case AuthError::changed_meanwhile:
                return "the account changes all the time: try again";
            case AuthError::not_suspended:
                return "the account is not suspended";
            case AuthError::invalid_rule:
                return "a rule's mode must be enforce, observe or off";
            case AuthError::key_file:
                return "a key file cannot be used";
            case AuthError::sasl_library:
                return "Cyrus SASL does not start";
            case AuthError::mechanism_missing:
                return "a mechanism of Cyrus SASL is missing: install libsasl2-modules";
            case AuthError::store_plugin_missing:
                return "a back-end's plug-in of Cyrus SASL is missing";
        }
        return "unknown error";
    }
};

}  // namespace

const boost::system::error_category& auth_category() noexcept {
    static const Category category;
    return category;
}

boost::system::error_code make_error_code(AuthError e) noexcept {
    return {static_cast<int>(e), auth_category()};
}

void throw_exception_from_error(const Fault& fault, const boost::source_location& /*where*/) {
    throw boost::system::system_error(fault.code, fault.text);
}

}  // namespace postern::auth
