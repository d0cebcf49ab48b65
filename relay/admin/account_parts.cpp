#include "relay/admin/account_parts.hpp"

#include <fmt/format.h>

#include "auth/error.hpp"
#include "policy/rule.hpp"

namespace postern::relay::admin {

using auth::AuthError;

Problem from_store(const boost::system::error_code& error) {
    if (error == AuthError::not_found) return not_found("there is no such account");
    if (error == AuthError::already_exists)
        return {409, "conflict", "the account is there already", "account"};
    if (error == AuthError::invalid_name)
        return invalid("is no address; write one like \"ann@example.net\"", "account");
    if (error == AuthError::invalid_owned) {
        return invalid("must be addresses, domains or \"*\"", "owns");
    }
    if (error == AuthError::invalid_password) {
        return invalid("must be 1 to 1024 octets of UTF-8 without control characters", "password");
    }
    if (error == AuthError::invalid_credential)
        return invalid(
            "must be 1 to 64 letters, digits, dots, underscores or hyphens, the first a letter or "
            "a digit",
            "credential");
    if (error == AuthError::credential_exists)
        return {409, "conflict", "the account has a credential of that name", "credential"};
    if (error == AuthError::no_credential)
        return not_found("the account has no credential of that name");
    if (error == AuthError::too_many_credentials)
        return {409, "conflict", "the account has as many as it may: revoke one first",
                "credential"};
    if (error == AuthError::certificate_taken)
        return {409, "conflict",
                "the certificate is a credential already, of this account or another: revoke that "
                "one first",
                "certificate"};
    if (error == AuthError::customer_not_found) return not_found("there is no such customer");
    if (error == AuthError::customer_exists)
        return {409, "conflict", "the customer is there already", "customer"};
    if (error == AuthError::customer_in_use) {
        return {409, "conflict",
                "the customer has accounts: remove them, or give them another customer",
                "customer"};
    }
    if (error == AuthError::invalid_customer)
        return invalid("must be 1 to 64 characters without spaces", "customer");
    if (error == AuthError::invalid_domain)
        return invalid("must be domains, like \"example.net\"", "domains");
    if (error == AuthError::domain_taken)
        return {409, "conflict", "a domain is another customer's", "domains"};
    if (error == AuthError::invalid_contact)
        return invalid("must be an address, like \"ops@example.net\"", "contact");
    if (error == AuthError::invalid_rule)
        return invalid("a rule's mode is enforce, observe or off", "rules");
    if (error == AuthError::store_locked)
        return not_ready("the account store is locked by another process");
    return internal(fmt::format("the account store: {}", error.message()));
}

Checked<void> check_plan(const Ports& ports, const std::string& plan) {
    if (plan.empty() || !ports.limits_of || ports.limits_of(plan)) return {};
    return invalid(
        fmt::format("there is no plan {}; the configuration's [limits.NAME] makes one", plan),
        "plan");
}

Checked<void> check_rules(const std::map<std::string, std::string>& rules) {
    for (const auto& [rule, mode] : rules) {
        if (!policy::parse_rule(rule))
            return invalid("no rule of that name; the rules are keys of [rules]", "rules");
        if (!mode.empty() && !policy::parse_mode(mode)) {
            return invalid("a rule's mode is enforce, observe or off", "rules");
        }
    }
    return {};
}

std::string joined(const std::vector<std::string>& texts) {
    std::string out;
    for (const std::string& text : texts) out += (out.empty() ? "" : " ") + text;
    return out;
}

std::string joined(const std::map<std::string, std::string>& rules) {
    std::vector<std::string> texts;
    for (const auto& [rule, mode] : rules) texts.push_back(fmt::format("{}={}", rule, mode));
    return joined(texts);
}

}  // namespace postern::relay::admin
