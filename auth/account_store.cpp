#include "auth/account_store.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "auth/account_rows.hpp"
#include "auth/account_store_impl.hpp"
#include "auth/login_name.hpp"
#include "auth/saslprep.hpp"
#include "auth/schema.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

result<std::vector<std::string>> account_names(const std::vector<std::string>& texts) {
    std::vector<std::string> names;
    for (const std::string& text : texts) {
        const auto name = account_name(text);
        if (!name) return name.error();
        names.push_back(*name);
    }
    return names;
}

Outcome check_rules(const std::map<std::string, std::string>& rules, bool may_be_empty) {
    for (const auto& [rule, mode] : rules) {
        const bool known = mode == "enforce" || mode == "observe" || mode == "off";
        if (rule.empty() || (!known && !(mode.empty() && may_be_empty)))
            return AuthError::invalid_rule;
    }
    return {};
}

template <typename Proof>
Credential password_of(std::string_view name, const Proof& proof, std::string_view plan) {
    Credential out;
    out.name = name;
    out.plan = plan;
    out.verifier = proof.verifier;
    out.scram_sha1 = proof.scram_sha1;
    return out;
}

/// SQLite would make the file readable for all, and -wal and -shm take their rights from it.
Outcome make_file(const std::filesystem::path& path) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return {errno, boost::system::system_category()};
    ::close(fd);
    return {};
}

}  // namespace

started<std::unique_ptr<AccountStore>> AccountStore::open(StoreSettings settings) {
    const std::filesystem::path path = settings.path;
    const auto fault = [&](const boost::system::error_code& code) {
        return Fault{code, fmt::format("{}: {}", path.string(), code.message())};
    };
    if (const Outcome error = make_file(path))
        return Fault{AuthError::store_io, fmt::format("{}: {}", path.string(), error.message())};
    auto writer = Database::open(path, settings.busy_timeout);
    if (!writer) return fault(writer.error());
    if (const auto prepared = prepare_schema(**writer, path); !prepared) return prepared.error();
    auto reader = Database::open(path, settings.busy_timeout);
    if (!reader) return fault(reader.error());
    if (const Outcome error = (*reader)->exec("PRAGMA query_only = ON")) return fault(error);
    // The inner pages of the trees of a million accounts, so that a lookup reads leaves only. What
    // is not read is not held.
    if (const Outcome error = (*reader)->exec("PRAGMA cache_size = -8192")) return fault(error);

    auto impl = std::make_unique<Impl>(std::move(settings), std::move(*writer), std::move(*reader));
    if (const Outcome error = impl->load()) return fault(error);
    return std::unique_ptr<AccountStore>(new AccountStore(std::move(impl)));
}

AccountStore::AccountStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AccountStore::~AccountStore() = default;

result<AccountPtr> AccountStore::find(std::string_view name) {
    return impl_->find(name);
}

AccountPtr AccountStore::find_cached(std::string_view normalised) const {
    return impl_->cache().find(normalised).value_or(nullptr);
}

result<AccountView> AccountStore::show(std::string_view name) {
    auto account = impl_->find(name);
    if (!account) return account.error();
    return impl_->view(std::move(*account));
}

result<AccountPage> AccountStore::list(const AccountFilter& filter, std::string_view cursor,
                                       std::size_t limit) {
    const std::size_t wanted = std::clamp<std::size_t>(limit, 1, max_page);
    auto names = impl_->names(filter, cursor, wanted + 1);
    if (!names) return names.error();
    AccountPage page;
    if (names->size() > wanted) {
        names->pop_back();
        page.next = names->back();
    }
    for (const std::string& name : *names) {
        auto view = show(name);
        if (!view && view.error() == AuthError::not_found) continue;  // Removed since.
        if (!view) return view.error();
        page.items.push_back(std::move(*view));
    }
    return page;
}

result<std::uint64_t> AccountStore::count() {
    return impl_->count();
}

bool AccountStore::readable() {
    return impl_->readable();
}

result<std::vector<std::string>> AccountStore::plans() {
    return impl_->plans();
}

std::uint64_t AccountStore::generation() const noexcept {
    return impl_->cache().generation();
}

std::shared_ptr<const FakeVerifiers::Shares> AccountStore::iteration_shares() const {
    return impl_->shares();
}

unsigned AccountStore::iterations() const noexcept {
    return impl_->iterations().load(std::memory_order_relaxed);
}

void AccountStore::set_iterations(unsigned iterations) noexcept {
    impl_->iterations().store(std::clamp(iterations, min_iterations, max_iterations),
                              std::memory_order_relaxed);
}

std::uint64_t AccountStore::bare_crypts() const noexcept {
    return impl_->bare_crypts();
}

result<AccountPtr> AccountStore::add(const NewAccount& account, Time now) {
    const auto name = account_name(account.name);
    if (!name) return name.error();
    std::vector<std::string> owns = account.owns;
    owns.push_back(*name);
    const auto owned = parse_owned(owns);
    if (!owned) return owned.error();
    const auto authzids = account_names(account.authzids);
    if (!authzids) return authzids.error();
    if (const Outcome error = check_rules(account.rules, false)) return error;
    std::optional<Impl::Proof> proof;
    if (account.password) {
        auto made = impl_->proof_of(*account.password, nullptr, {});
        if (!made) return made.error();
        proof = std::move(*made);
    }

    return impl_->change(
        *name, Change::added, [&](Database& db, const AccountPtr&) -> result<std::int64_t> {
            const auto id = insert_account(db, *name, now);
            if (!id) return id;
            if (const Outcome error = write_customer(db, *id, account.customer, now)) return error;
            if (const Outcome error = write_plan(db, *id, account.plan)) return error;
            if (const Outcome error = write_owned(db, *id, *owned)) return error;
            if (const Outcome error = write_rules(db, *id, account.rules)) return error;
            if (const Outcome error = write_authzids(db, *id, *authzids)) return error;
            if (proof) {
                if (const Outcome error =
                        write_credential(db, *id, password_of({}, *proof, {}), now))
                    return error;
            }
            return id;
        });
}

result<AccountPtr> AccountStore::set(std::string_view name, const AccountChange& change, Time now) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    std::vector<std::string> owns = change.owns.value_or(std::vector<std::string>());
    owns.push_back(*normalised);  // Its own, always.
    const auto owned = parse_owned(owns);
    if (!owned) return owned.error();
    const auto authzids = account_names(change.authzids.value_or(std::vector<std::string>()));
    if (!authzids) return authzids.error();
    if (const Outcome error = check_rules(change.rules, true)) return error;
    const auto write = [&](Database& db, const AccountPtr& account,
                           const Impl::Proof* proof) -> result<std::int64_t> {
        const std::int64_t id = account->id;
        if (change.customer) {
            if (const Outcome error = write_customer(db, id, *change.customer, now)) return error;
        }
        if (change.plan) {
            if (const Outcome error = write_plan(db, id, *change.plan)) return error;
        }
        if (change.owns) {
            if (const Outcome error = write_owned(db, id, *owned)) return error;
        }
        if (change.authzids) {
            if (const Outcome error = write_authzids(db, id, *authzids)) return error;
        }
        if (const Outcome error = write_rules(db, id, change.rules)) return error;
        if (change.drop_password) {
            if (const Outcome error = delete_credential(db, id, {})) return error;
        }
        if (proof != nullptr) {
            if (const Outcome error = write_credential(db, id, password_of({}, *proof, {}), now))
                return error;
        }
        return id;
    };
    if (change.password) {
        return impl_->change_with(
            *normalised, Change::password, *change.password, {},
            [&](Database& db, const AccountPtr& account, const Impl::Proof& proof) {
                return write(db, account, &proof);
            });
    }
    return impl_->change(
        *normalised, change.drop_password ? Change::password : Change::altered,
        [&](Database& db, const AccountPtr& account) { return write(db, account, nullptr); });
}

result<AccountPtr> AccountStore::add_credential(std::string_view name,
                                                const NewCredential& credential, Time now) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    const auto label = normalised_label(credential.name);
    if (!label) return AuthError::invalid_credential;
    return impl_->change_with(
        *normalised, Change::credential, credential.password, *label,
        [&](Database& db, const AccountPtr& account,
            const Impl::Proof& proof) -> result<std::int64_t> {
            if (find_credential(*account, *label) != nullptr) return AuthError::credential_exists;
            if (account->credentials.size() >= max_credentials)
                return AuthError::too_many_credentials;
            const Credential made = password_of(*label, proof, credential.plan);
            if (const Outcome error = write_credential(db, account->id, made, now)) return error;
            return account->id;
        });
}

result<AccountPtr> AccountStore::revoke_credential(std::string_view name,
                                                   std::string_view credential) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    const auto label = normalised_label(credential);
    if (!label) return AuthError::no_credential;
    return impl_->change(*normalised, Change::credential,
                         [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                             if (find_credential(*account, *label) == nullptr)
                                 return AuthError::no_credential;
                             if (const Outcome error = delete_credential(db, account->id, *label))
                                 return error;
                             return account->id;
                         });
}

result<AccountPtr> AccountStore::passwd(std::string_view name, const proto::Secret& password,
                                        Time now) {
    AccountChange change;
    change.password = password;
    return set(name, change, now);
}

result<AccountPtr> AccountStore::adopt_password(const AccountRecord& account,
                                                std::string_view credential,
                                                std::string_view prepared) {
    Impl::Salting with = impl_->salting_of(&account, credential);
    const Verifier verifier =
        make_prepared_verifier(prepared, std::move(with.salt), with.iterations);
    return impl_->try_change(
        account.name, Change::altered,
        [&](Database& db, const AccountPtr& now) -> result<std::int64_t> {
            if (now->version != account.version) return AuthError::changed_meanwhile;
            if (const Outcome error = write_adopted(db, now->id, credential, verifier))
                return error;
            return now->id;
        });
}

result<AccountPtr> AccountStore::suspend(std::string_view name, const SuspensionRequest& why,
                                         Time now) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    return impl_->change(*normalised, Change::suspended,
                         [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                             if (const Outcome error = write_suspension(db, account->id, why, now))
                                 return error;
                             return account->id;
                         });
}

result<AccountStore::Released> AccountStore::release(std::string_view name, IfActive if_active) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    bool was_suspended = false;
    const auto released =
        impl_->change(*normalised, Change::released,
                      [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                          was_suspended = account->suspended.has_value();
                          if (!was_suspended && if_active == IfActive::nothing)
                              return AuthError::not_suspended;
                          if (const Outcome error = delete_suspension(db, account->id))
                              return error;
                          return account->id;
                      });
    if (!released && released.error() != AuthError::not_suspended) return released.error();
    return was_suspended ? Released::released : Released::was_not_suspended;
}

result<void> AccountStore::remove(std::string_view name) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    const auto removed =
        impl_->change(*normalised, Change::removed,
                      [](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                          if (const Outcome error = delete_account(db, account->id)) return error;
                          return 0;
                      });
    if (!removed) return removed.error();
    return {};
}

std::shared_ptr<const AccountStore::Listener> AccountStore::subscribe(Listener listener) {
    return impl_->subscribe(std::move(listener));
}

void AccountStore::record_login(std::string_view normalised, std::string_view credential,
                                std::string_view source, Time now) {
    impl_->logins().note(
        {std::string(normalised), std::string(source), std::string(credential), now});
}

result<void> AccountStore::flush(Time forget_before) {
    if (const Outcome error = impl_->flush(forget_before)) return error;
    return {};
}

result<std::vector<KnownPair>> AccountStore::last_logins(std::size_t limit) {
    return impl_->last_logins(limit);
}

result<std::vector<KnownPair>> AccountStore::known_pairs(Time since, std::size_t limit) {
    return impl_->known_pairs(since, limit);
}

}  // namespace postern::auth
