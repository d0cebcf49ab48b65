#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "auth/account_cache.hpp"
#include "auth/account_rows.hpp"
#include "auth/account_store.hpp"
#include "auth/device_index.hpp"
#include "auth/login_book.hpp"
#include "auth/sqlite.hpp"

namespace postern::auth {

/// What one call lists at most.
inline constexpr std::size_t max_page = 1000;

inline constexpr std::string_view bare_crypts_sql =
    "SELECT count(DISTINCT account_id) FROM credential WHERE crypt <> '' AND salt IS NULL";

/// Two connections to the file, so that logins never wait for a change's sync; the cache in front
/// of them.
class AccountStore::Impl {
  public:
    Impl(StoreSettings settings, std::unique_ptr<Database> writer,
         std::unique_ptr<Database> reader);
    [[nodiscard]] Outcome load();

    [[nodiscard]] result<AccountPtr> find(std::string_view name);
    [[nodiscard]] result<std::string> owner_of_certificate(std::string_view fingerprint);
    [[nodiscard]] result<AccountView> view(AccountPtr account);
    [[nodiscard]] result<std::vector<std::string>> names(const AccountFilter& filter,
                                                         std::string_view cursor,
                                                         std::size_t limit);
    [[nodiscard]] result<std::uint64_t> count();
    [[nodiscard]] bool readable();
    [[nodiscard]] result<std::vector<std::string>> plans();
    [[nodiscard]] result<std::vector<KnownPair>> known_pairs(Time since, std::size_t limit);
    [[nodiscard]] result<std::vector<KnownPair>> last_logins(std::size_t limit);

    /// Inside the transaction, given the account as it stands (null: there is none): makes the
    /// change and says the account's id afterwards (0: it is gone).
    using Body = std::function<result<std::int64_t>(Database& database, const AccountPtr& account)>;
    /// One change: whole and durable, or without effect.
    [[nodiscard]] result<AccountPtr> change(const std::string& name, Change what, const Body& body);
    /// change() that does not wait for another one that takes long: store_locked.
    [[nodiscard]] result<AccountPtr> try_change(const std::string& name, Change what,
                                                const Body& body);
    /// What is kept of a password.
    struct Proof {
        Verifier verifier;
        std::string scram_sha1;  ///< Empty: left out.
    };
    /// change() with what is kept of a password for that credential. It is derived without the
    /// lock, and anew where the account changes meanwhile.
    using ProofBody = std::function<result<std::int64_t>(
        Database& database, const AccountPtr& account, const Proof& proof)>;
    [[nodiscard]] result<AccountPtr> change_with(const std::string& name, Change what,
                                                 const proto::Secret& password,
                                                 std::string_view credential,
                                                 const ProofBody& body);
    /// Given the customer as it stands (unset: there is none), makes the change.
    using CustomerBody =
        std::function<Outcome(Database& database, const std::optional<CustomerRecord>& customer)>;
    /// One change of a customer and so of all its accounts. Unset: it is gone.
    [[nodiscard]] result<std::optional<CustomerRecord>> change_customer(const std::string& name,
                                                                        const CustomerBody& body);
    [[nodiscard]] result<std::optional<CustomerRecord>> customer(std::string_view name);
    [[nodiscard]] result<std::vector<std::string>> customer_names(std::string_view cursor,
                                                                  std::size_t limit);
    [[nodiscard]] result<void> find_there(std::span<const ImportedAccount> accounts,
                                          ImportFaults& faults);
    [[nodiscard]] result<void> import_accounts(std::span<const ImportedAccount> accounts, Time now,
                                               ImportFaults& faults);
    [[nodiscard]] Outcome flush(Time forget_before);
    /// What touches no account: one transaction of the writer; and reads.
    [[nodiscard]] Outcome write_aside(const std::function<Outcome(Database& database)>& body);
    [[nodiscard]] Outcome read_aside(const std::function<Outcome(Database& database)>& body);
    /// With the salt and round count of the account's other credentials, so that one derivation
    /// tries them all; of its own where there is none (or no account yet: null).
    [[nodiscard]] result<Proof> proof_of(const proto::Secret& password,
                                         const AccountRecord* account,
                                         std::string_view credential) const;
    struct Salting {
        std::string salt;
        unsigned iterations = 0;
    };
    [[nodiscard]] Salting salting_of(const AccountRecord* account,
                                     std::string_view credential) const;

    [[nodiscard]] std::shared_ptr<const Listener> subscribe(Listener listener);
    [[nodiscard]] std::shared_ptr<const FakeVerifiers::Shares> shares() const;
    [[nodiscard]] AccountCache& cache() noexcept { return cache_; }
    [[nodiscard]] LoginBook& logins() noexcept { return logins_; }
    [[nodiscard]] const DeviceIndex& devices() const noexcept { return devices_; }
    [[nodiscard]] std::atomic<unsigned>& iterations() noexcept { return iterations_; }
    [[nodiscard]] std::uint64_t bare_crypts() const noexcept {
        return bare_crypts_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::atomic<ScramSha1>& scram_sha1() noexcept { return scram_sha1_; }
    /// keep_scram_sha1() could not write: it is left alone until flush() can.
    [[nodiscard]] std::atomic<bool>& upkeep_waits() noexcept { return upkeep_waits_; }

  private:
    /// With writer_mutex_ held.
    [[nodiscard]] result<AccountPtr> change_locked(const std::string& name, Change what,
                                                   const Body& body);
    [[nodiscard]] Outcome load_devices();
    void notify(const std::string& name, Change what);
    void count(const AccountPtr& before, const AccountPtr& after);
    void publish_counts();

    const StoreSettings settings_;
    std::atomic<unsigned> iterations_;
    std::atomic<ScramSha1> scram_sha1_;
    std::atomic<bool> upkeep_waits_{false};
    AccountCache cache_;
    LoginBook logins_;
    DeviceIndex devices_;
    std::timed_mutex writer_mutex_;  ///< Taken before any other.
    std::unique_ptr<Database> writer_;
    /// Accounts by shape of their verifiers; under writer_mutex_.
    std::map<FakeVerifiers::Shape, std::uint64_t> counts_;
    std::atomic<std::uint64_t> bare_crypts_{0};  ///< Written under writer_mutex_.
    std::mutex reader_mutex_;
    std::unique_ptr<Database> reader_;
    std::mutex listeners_mutex_;
    std::vector<std::weak_ptr<const Listener>> listeners_;
    mutable std::mutex shares_mutex_;
    std::shared_ptr<const FakeVerifiers::Shares> shares_;
};

}  // namespace postern::auth
