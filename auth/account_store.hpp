#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/account.hpp"
#include "auth/customer.hpp"
#include "auth/device_index.hpp"
#include "auth/error.hpp"
#include "auth/random.hpp"
#include "auth/suppressed.hpp"
#include "proto/secret.hpp"

namespace postern::auth {

struct ImportedAccount;
class ImportFaults;
/// Whether passwords have a verifier for SCRAM-SHA-1 beside the other.
enum class ScramSha1 : std::uint8_t { left_out, kept };

struct StoreSettings {
    std::filesystem::path path;  ///< STATE/accounts.db; made 0600 where it is not there.
    std::chrono::milliseconds busy_timeout{2000};  ///< How long another process may hold the file.
    std::size_t cached_accounts = 65536;  ///< Bounds the cache; more accounts are read again.
    std::size_t pending_logins =
        65536;  ///< Bounds what waits for flush(): pairs beyond it are not noted.
    unsigned iterations = min_iterations;  ///< For passwords set from now on.
    ScramSha1 scram_sha1 = ScramSha1::left_out;
    RandomBytes random = system_random();
};

struct NewAccount {
    std::string name;
    std::optional<proto::Secret> password;  ///< Unset: nobody can log in yet.
    std::string customer;
    std::string plan;               ///< Empty: the customer's.
    std::vector<std::string> owns;  ///< Beside its own address, which it always owns.
    std::map<std::string, std::string> rules;
    std::vector<std::string> authzids;
};

/// What is unset stays as it is.
struct AccountChange {
    std::optional<proto::Secret> password;
    bool drop_password = false;                    ///< `--no-password`
    std::optional<std::string> customer;           ///< "" takes it out of its customer.
    std::optional<std::string> plan;               ///< "" goes back to the customer's.
    std::optional<std::vector<std::string>> owns;  ///< The whole new list.
    std::map<std::string, std::string> rules;  ///< Merged; an empty mode takes the exception back.
    std::optional<std::vector<std::string>> authzids;  ///< The whole new list.
};

/// So many an account may have.
inline constexpr std::size_t max_credentials = 256;

/// An app password or an API key: a further password of an account.
struct NewCredential {
    std::string name;  ///< As typed; what the login name carries behind the separator.
    proto::Secret password;
    std::string plan;  ///< Limits of its own, beside the account's; empty: none.
};

struct NewDevice;
/// A client certificate that an account is known by (EXTERNAL).
struct NewCertificate {
    std::string name;         ///< As NewCredential has it.
    std::string fingerprint;  ///< CertificateText::fingerprint
    std::string plan;         ///< As NewCredential has it.
};

struct SuspensionRequest {
    std::string rule = "operator";
    std::vector<std::string> reasons;
    std::string text;
    std::string by;
};

/// ORed within a list, ANDed between them; empty: no condition.
struct AccountFilter {
    std::vector<std::string> accounts;  ///< Names, or `@DOMAIN`.
    std::vector<std::string> customers;
    std::vector<std::string> states;  ///< active suspended
};

struct AccountPage {
    std::vector<AccountView> items;
    std::optional<std::string> next;  ///< The cursor for the next page; unset: this was the last.
};

/// What happened to an account. `suspended` and `removed` end its connections; `password` and
/// `credential` those that do not stand any more (stands()).
enum class Change : std::uint8_t {
    added,
    altered,
    password,
    credential,  ///< One was added or revoked.
    suspended,
    released,
    removed
};

/// An (account, source) pair that logged in.
struct KnownPair {
    std::string account;  ///< Normalised.
    std::string source;
    Time last_seen;
};

/// The embedded account store: SQLite (WAL, synchronous=FULL), one process at a time. All calls but
/// those marked *memory* may block on the disk and belong on the auth pool (or a stopped relay's
/// command). Thread-safe. Names may be as typed; they are normalised here. No call throws on what
/// is in the file.
class AccountStore {
  public:
    /// Opens, checks and migrates. Faults: store_locked, store_damaged, store_newer_schema,
    /// store_io.
    [[nodiscard]] static started<std::unique_ptr<AccountStore>> open(StoreSettings settings);
    /// bare_crypts() of a file that may be in use; makes and changes nothing. 0 where there is no
    /// file.
    [[nodiscard]] static result<std::uint64_t> count_bare_crypts(const std::filesystem::path& path);
    ~AccountStore();
    AccountStore(const AccountStore&) = delete;
    AccountStore& operator=(const AccountStore&) = delete;

    // --- reading ---
    /// From the cache, else from the file (and then cached). not_found where there is none.
    [[nodiscard]] result<AccountPtr> find(std::string_view name);
    /// *Memory*: takes a normalised name (normalised_login); null where it is not cached, which
    /// says nothing about whether it exists.
    [[nodiscard]] AccountPtr find_cached(std::string_view normalised) const;
    /// The name of the account that is known by the certificate of that fingerprint; not_found.
    [[nodiscard]] result<std::string> find_by_certificate(std::string_view fingerprint);
    [[nodiscard]] result<AccountView> show(std::string_view name);
    /// In order of name, after `cursor` (empty: from the start); `limit` 1 to 1000.
    [[nodiscard]] result<AccountPage> list(const AccountFilter& filter, std::string_view cursor,
                                           std::size_t limit);
    [[nodiscard]] result<std::uint64_t> count();
    /// Whether it can be read now; as quick with a million accounts as with none.
    [[nodiscard]] bool readable();
    /// All plans that accounts, customers and credentials name; of the store in that file, too,
    /// which may be in use (none: no plans).
    [[nodiscard]] static result<std::vector<std::string>> stored_plans(
        const std::filesystem::path& path);
    [[nodiscard]] result<std::vector<std::string>> plans();
    /// *Memory*: rises with each change. Who keeps something that was read compares it with the
    /// number read before.
    [[nodiscard]] std::uint64_t generation() const noexcept;
    /// *Memory*: how many accounts have which round count and length of salt
    /// (FakeVerifiers::Shares), and what new
    /// passwords get.
    [[nodiscard]] std::shared_ptr<const FakeVerifiers::Shares> iteration_shares() const;
    [[nodiscard]] unsigned iterations() const noexcept;
    void set_iterations(unsigned iterations) noexcept;  ///< *Memory*; for a reload.
    /// *Memory*: how many accounts have a password that is nothing but an imported hash
    /// (has_bare_crypt).
    [[nodiscard]] std::uint64_t bare_crypts() const noexcept;
    void set_scram_sha1(ScramSha1 kept) noexcept;  ///< *Memory*; for a reload.
    /// *Memory*: it is a password that should have a verifier for SCRAM-SHA-1 and has none.
    [[nodiscard]] bool wants_scram_sha1(const Credential& credential) const;

    // --- changing; durable when they return, seen at once by every later find ---
    [[nodiscard]] result<AccountPtr> add(const NewAccount& account, Time now);
    [[nodiscard]] result<AccountPtr> set(std::string_view name, const AccountChange& change,
                                         Time now);
    [[nodiscard]] result<AccountPtr> passwd(std::string_view name, const proto::Secret& password,
                                            Time now);
    /// Gives a password, just proved right, its verifier for SCRAM-SHA-1; `prepared` by SASLprep.
    /// No login ends by it. changed_meanwhile where the account is not that of `seen` any more.
    [[nodiscard]] result<AccountPtr> keep_scram_sha1(const AccountRecord& seen,
                                                     std::string_view credential,
                                                     std::string_view prepared);
    /// credential_exists where there is one of that name.
    [[nodiscard]] result<AccountPtr> add_credential(std::string_view name,
                                                    const NewCredential& credential, Time now);
    /// credential_exists as above; source_taken where a device has that very network there.
    [[nodiscard]] result<AccountPtr> add_device(std::string_view name, const NewDevice& device,
                                                Time now);
    /// *Memory*: whose device speaks from that address, an IP literal, at that listener: the one
    /// with the narrowest network.
    [[nodiscard]] std::optional<BoundDevice> find_device(std::string_view listener,
                                                         std::string_view address) const;
    /// Likewise; certificate_taken where any account is known by it already.
    [[nodiscard]] result<AccountPtr> add_certificate(std::string_view name,
                                                     const NewCertificate& certificate, Time now);
    /// no_credential where there is none. The first password has no name and is not meant: set()
    /// drops it.
    [[nodiscard]] result<AccountPtr> revoke_credential(std::string_view name,
                                                       std::string_view credential);
    /// The right (prepared) password of an imported hash: its verifier takes the hash's place, and
    /// what rests on it stands. `account` as it was read; changed_meanwhile where it is not so any
    /// more, store_locked while a long change is under way: the next login does it.
    [[nodiscard]] result<AccountPtr> adopt_password(const AccountRecord& account,
                                                    std::string_view credential,
                                                    std::string_view prepared);
    /// Again: the new reason and text replace the old ones.
    [[nodiscard]] result<AccountPtr> suspend(std::string_view name, const SuspensionRequest& why,
                                             Time now);
    enum class Released : std::uint8_t { released, was_not_suspended };
    /// Whether those who listen hear of the release of an account that is not suspended: its mail
    /// may be frozen all the same.
    enum class IfActive : std::uint8_t { nothing, tell };
    [[nodiscard]] result<Released> release(std::string_view name,
                                           IfActive if_active = IfActive::nothing);
    [[nodiscard]] result<void> remove(std::string_view name);

    // --- imports (import_reader.hpp) ---
    /// Makes verifiers of all cleartexts, on as many threads as there are cores, behind all others.
    /// False: broken off, for `stopping` (asked between two of them) said so.
    [[nodiscard]] bool derive(std::span<ImportedAccount> accounts,
                              const std::function<bool()>& stopping = {}) const;
    /// Adds a fault for each that is there already.
    [[nodiscard]] result<void> find_there(std::span<const ImportedAccount> accounts,
                                          ImportFaults& faults);
    /// All or, where there are faults afterwards, none; cleartexts have been derived. Other changes
    /// wait meanwhile, logins do not.
    [[nodiscard]] result<void> import_accounts(std::span<const ImportedAccount> accounts, Time now,
                                               ImportFaults& faults);

    // --- customers; a change of one changes all its accounts ---
    /// customer_not_found where there is none.
    [[nodiscard]] result<CustomerRecord> show_customer(std::string_view name);
    /// As list(); `names` empty: all.
    [[nodiscard]] result<CustomerPage> list_customers(const std::vector<std::string>& names,
                                                      std::string_view cursor, std::size_t limit);
    [[nodiscard]] result<CustomerRecord> add_customer(const std::string& name,
                                                      CustomerChange wanted, Time now);
    [[nodiscard]] result<CustomerRecord> set_customer(const std::string& name,
                                                      CustomerChange change);
    /// customer_in_use while it has accounts.
    [[nodiscard]] result<void> remove_customer(const std::string& name);

    // --- lists of suppressed recipients; those of a removed owner go with it ---
    /// Writes what bounced; what is there by hand stays as it is, and what has no owner any more is
    /// passed over.
    [[nodiscard]] result<void> note_suppressed(std::span<const SuppressedRow> rows);
    /// Puts one there by hand, in place of what was there. not_found, customer_not_found.
    [[nodiscard]] result<void> suppress(const SuppressedRow& row);
    /// Takes one recipient, or (unset) all of them, off a list; how many there were.
    [[nodiscard]] result<std::uint64_t> unsuppress(const ListOwner& owner,
                                                   std::optional<std::string_view> rcpt);
    /// Oldest first, behind `cursor`; `limit` 1 to 1000. Without those that have expired by `now`.
    [[nodiscard]] result<SuppressedPage> list_suppressed(const SuppressedFilter& filter,
                                                         std::string_view cursor, std::size_t limit,
                                                         Time now);
    /// All that have not expired by `now`. `see` must not call back into the store.
    [[nodiscard]] result<void> visit_suppressed(
        Time now, const std::function<void(const SuppressedRow&)>& see);
    /// Forgets those that have expired by `now`, `most` at most; how many.
    [[nodiscard]] result<std::uint64_t> expire_suppressed(Time now, std::size_t most);

    /// Called after each change of an account on the thread that made it, in the order of the
    /// changes of one account; must not call back into the store. Ends when the returned token
    /// goes.
    using Listener = std::function<void(std::string_view account, Change change)>;
    [[nodiscard]] std::shared_ptr<const Listener> subscribe(Listener listener);

    // --- logins ---
    /// *Memory*: notes a right login; written by flush().
    void record_login(std::string_view normalised, std::string_view credential,
                      std::string_view source, Time now);
    /// Writes what record_login noted, forgets pairs last seen before `forget_before`. What could
    /// not be written is kept.
    [[nodiscard]] result<void> flush(Time forget_before);
    /// What logged in since then, for the login guard at start; at most `limit`, newest first.
    [[nodiscard]] result<std::vector<KnownPair>> known_pairs(Time since,
                                                             std::size_t limit = 1'000'000);
    /// When each account logged in last, however long ago that is; as above.
    [[nodiscard]] result<std::vector<KnownPair>> last_logins(std::size_t limit = 1'000'000);

  private:
    class Impl;
    explicit AccountStore(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::auth
