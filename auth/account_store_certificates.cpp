// Certificates that accounts are known by.

#include "auth/account_rows.hpp"
#include "auth/account_store.hpp"
#include "auth/account_store_impl.hpp"
#include "auth/login_name.hpp"
#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

/// The account that is known by it; empty: none is.
result<std::string> owner_in(Database& database, std::string_view fingerprint) {
    Statement row = database.prepare(
        "SELECT a.name FROM credential c JOIN account a ON a.id = c.account_id "
        "WHERE c.certificate = ? AND c.certificate <> ''");
    row.bind(fingerprint);
    std::string found = row.row() ? row.text(0) : std::string();
    if (!row.ok()) return row.error();
    return {boost::system::in_place_value, std::move(found)};
}

}  // namespace

result<std::string> AccountStore::Impl::owner_of_certificate(std::string_view fingerprint) {
    const std::scoped_lock lock(reader_mutex_);
    auto found = owner_in(*reader_, fingerprint);
    if (found && found->empty()) return AuthError::not_found;
    return found;
}

result<std::string> AccountStore::find_by_certificate(std::string_view fingerprint) {
    return impl_->owner_of_certificate(fingerprint);
}

result<AccountPtr> AccountStore::add_certificate(std::string_view name,
                                                 const NewCertificate& certificate, Time now) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    const auto label = normalised_label(certificate.name);
    if (!label) return AuthError::invalid_credential;
    if (certificate.fingerprint.empty()) return AuthError::invalid_certificate;
    return impl_->change(*normalised, Change::credential,
                         [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                             if (find_credential(*account, *label) != nullptr)
                                 return AuthError::credential_exists;
                             if (account->credentials.size() >= max_credentials)
                                 return AuthError::too_many_credentials;
                             const auto owner = owner_in(db, certificate.fingerprint);
                             if (!owner) return owner.error();
                             if (!owner->empty()) return AuthError::certificate_taken;
                             Credential made;
                             made.name = *label;
                             made.kind = "certificate";
                             made.plan = certificate.plan;
                             made.certificate = certificate.fingerprint;
                             if (const Outcome error = write_credential(db, account->id, made, now))
                                 return error;
                             return account->id;
                         });
}

}  // namespace postern::auth
