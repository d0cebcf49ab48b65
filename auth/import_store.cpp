// The account store's imports.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <unordered_map>

#include <fmt/format.h>

#include "auth/account_store_impl.hpp"
#include "auth/import_reader.hpp"

namespace postern::auth {
namespace {

ImportWrong there_already(const std::string& name) {
    return {fmt::format("{} is there already", name),
            "take the line out, or the account: postern account remove"};
}

Credential first_password(const ImportedProof& proof) {
    Credential out;
    if (const auto* const verifier = std::get_if<Verifier>(&proof)) out.verifier = *verifier;
    if (const auto* const hash = std::get_if<HashProof>(&proof)) out.crypt = hash->crypt;
    return out;
}

/// Writes accounts in one transaction.
class Writer {
  public:
    Writer(Database& database, std::int64_t number, Time now)
        : database_(database), number_(number), now_(now) {}

    enum class Added : std::uint8_t { added, there_already };
    [[nodiscard]] result<Added> add(const ImportedAccount& account) {
        const auto customer = customer_of(account.customer);
        if (!customer) return customer.error();
        std::int64_t id = 0;
        {
            Statement insert = database_.prepare(
                "INSERT INTO account (name, customer_id, plan, version, created) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id");
            insert.bind(account.name);
            if (*customer != 0) {
                insert.bind(*customer);
            } else {
                insert.bind_null();
            }
            insert.bind(account.plan).bind(number_).bind(to_ms(now_));
            if (!insert.row()) {
                if (!insert.ok()) return insert.error();
                return Added::there_already;
            }
            id = insert.number(0);
        }
        if (const Outcome error = write_owned(database_, id, account.owned)) return error;
        if (!account.authzids.empty()) {
            if (const Outcome error = write_authzids(database_, id, account.authzids)) return error;
        }
        if (std::holds_alternative<LockedProof>(account.proof)) return Added::added;
        const Credential made = first_password(account.proof);
        if (const Outcome error = write_credential(database_, id, made, now_)) return error;
        return Added::added;
    }

  private:
    /// Made where there is none; 0: no customer is named.
    result<std::int64_t> customer_of(const std::string& name) {
        if (name.empty()) return std::int64_t{0};
        if (const auto at = customers_.find(name); at != customers_.end()) return at->second;
        const Outcome error =
            database_.prepare("INSERT OR IGNORE INTO customer (name, created) VALUES (?, ?)")
                .bind(name)
                .bind(to_ms(now_))
                .run()
                .error();
        if (error) return error;
        Statement row = database_.prepare("SELECT id FROM customer WHERE name = ?");
        row.bind(name);
        if (!row.row()) return row.ok() ? Outcome(AuthError::store_damaged) : row.error();
        return customers_.emplace(name, row.number(0)).first->second;
    }

    Database& database_;
    std::int64_t number_;
    Time now_;
    std::unordered_map<std::string, std::int64_t> customers_;
};

}  // namespace

result<std::uint64_t> AccountStore::count_bare_crypts(const std::filesystem::path& path) {
    constexpr std::chrono::milliseconds busy{2000};
    constexpr std::int64_t first_with_crypts = 4;
    if (::access(path.c_str(), F_OK) != 0) return std::uint64_t{0};
    const auto database = Database::open(path, busy, Database::Access::read);
    if (!database) return database.error();
    const auto schema = (*database)->number("PRAGMA user_version");
    if (!schema) return schema.error();
    if (*schema < first_with_crypts) return std::uint64_t{0};
    const auto count = (*database)->number(bare_crypts_sql);
    if (!count) return count.error();
    return static_cast<std::uint64_t>(*count);
}

bool AccountStore::derive(std::span<ImportedAccount> accounts,
                          const std::function<bool()>& stopping) const {
    struct Work {
        ImportedAccount* account;
        Impl::Salting with;
    };
    std::vector<Work> open;
    for (ImportedAccount& account : accounts) {
        if (std::holds_alternative<CleartextProof>(account.proof))
            open.push_back({&account, impl_->salting_of(nullptr, {})});
    }
    std::atomic<std::size_t> next{0};
    std::atomic<bool> broken_off{false};
    const auto work = [&] {
        // Whoever logs in meanwhile goes first.
        constexpr int behind_others = 10;
        (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), behind_others);
        for (std::size_t i = next++; i < open.size(); i = next++) {
            if (stopping && stopping()) {
                broken_off = true;
                return;
            }
            ImportedProof& proof = open[i].account->proof;
            proof = make_prepared_verifier(std::get<CleartextProof>(proof).prepared.reveal(),
                                           std::move(open[i].with.salt), open[i].with.iterations);
        }
    };
    {
        std::vector<std::jthread> threads;
        const std::size_t most = std::max(1U, std::thread::hardware_concurrency());
        for (std::size_t i = 0; i < std::min(most, open.size()); ++i) threads.emplace_back(work);
    }
    return !broken_off;
}

result<void> AccountStore::find_there(std::span<const ImportedAccount> accounts,
                                      ImportFaults& faults) {
    return impl_->find_there(accounts, faults);
}

result<void> AccountStore::import_accounts(std::span<const ImportedAccount> accounts, Time now,
                                           ImportFaults& faults) {
    return impl_->import_accounts(accounts, now, faults);
}

result<void> AccountStore::Impl::find_there(std::span<const ImportedAccount> accounts,
                                            ImportFaults& faults) {
    // In small parts: logins want the same connection.
    constexpr std::size_t part = 64;
    for (std::size_t i = 0; i < accounts.size(); i += part) {
        const std::scoped_lock lock(reader_mutex_);
        // One read transaction a part, for each costs more than the look-up.
        if (const Outcome error = reader_->exec("SAVEPOINT part")) return error;
        struct Release {
            Database& database;
            ~Release() { (void)database.exec("RELEASE part"); }
        } const release{*reader_};
        for (const ImportedAccount& account :
             accounts.subspan(i).first(std::min(part, accounts.size() - i))) {
            Statement row = reader_->prepare("SELECT 1 FROM account WHERE name = ?");
            row.bind(account.name);
            if (row.row()) faults.add(account.line, there_already(account.name));
            if (!row.ok()) return row.error();
        }
    }
    return {};
}

result<void> AccountStore::Impl::import_accounts(std::span<const ImportedAccount> accounts,
                                                 Time now, ImportFaults& faults) {
    const std::scoped_lock lock(writer_mutex_);
    std::int64_t number = 0;
    {
        Transaction transaction(*writer_);
        if (transaction.begun()) return transaction.begun();
        const auto next = next_change(*writer_);
        if (!next) return next.error();
        number = *next;
        Writer writer(*writer_, number, now);
        for (const ImportedAccount& account : accounts) {
            const auto added = writer.add(account);
            if (!added) return added.error();
            if (*added == Writer::Added::there_already)
                faults.add(account.line, there_already(account.name));
        }
        if (faults.count() > 0) return {};
        if (const Outcome error = transaction.commit()) return error;
    }
    std::vector<std::string> names;
    names.reserve(accounts.size());
    std::uint64_t crypts = 0;
    for (const ImportedAccount& account : accounts) {
        names.push_back(account.name);
        if (const auto* const verifier = std::get_if<Verifier>(&account.proof))
            ++counts_[FakeVerifiers::Shape(verifier->iterations, verifier->salt.size())];
        if (std::holds_alternative<HashProof>(account.proof)) ++crypts;
    }
    bare_crypts_.store(bare_crypts_.load() + crypts);
    publish_counts();
    cache_.many_added(names, static_cast<std::uint64_t>(number));
    for (const std::string& name : names) notify(name, Change::added);
    return {};
}

}  // namespace postern::auth
