// What logins change by the way.

#include "auth/account_rows.hpp"
#include "auth/account_store.hpp"
#include "auth/account_store_impl.hpp"
#include "auth/scram_sha1.hpp"

namespace postern::auth {

void AccountStore::set_scram_sha1(ScramSha1 kept) noexcept {
    impl_->scram_sha1().store(kept, std::memory_order_relaxed);
}

bool AccountStore::wants_scram_sha1(const Credential& credential) const {
    return impl_->scram_sha1().load(std::memory_order_relaxed) == ScramSha1::kept &&
           !impl_->upkeep_waits().load(std::memory_order_relaxed) && credential.verifier &&
           !scram_sha1_fits(credential.scram_sha1, *credential.verifier);
}

result<AccountPtr> AccountStore::keep_scram_sha1(const AccountRecord& seen,
                                                 std::string_view credential,
                                                 std::string_view prepared) {
    const Credential* const meant = find_credential(seen, credential);
    if (meant == nullptr || !meant->verifier) return AuthError::no_credential;
    const std::string text =
        scram_sha1_of(prepared, meant->verifier->salt, meant->verifier->iterations);
    auto kept =
        impl_->try_change(seen.name, Change::altered,
                          [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                              if (account->version != seen.version)
                                  return AuthError::changed_meanwhile;
                              if (const Outcome error = write_scram_sha1(db, meant->id, text))
                                  return error;
                              return account->id;
                          });
    // A disk that is full is not asked again at each login.
    if (!kept && kept.error() != AuthError::changed_meanwhile)
        impl_->upkeep_waits().store(true, std::memory_order_relaxed);
    return kept;
}

}  // namespace postern::auth
