#include "auth/account_store_impl.hpp"

#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "auth/saslprep.hpp"
#include "auth/scram_sha1.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

/// Longer than a change and its sync take; an import takes seconds.
constexpr std::chrono::milliseconds change_patience{100};

result<std::vector<std::string>> read_plans(Database& database) {
    std::vector<std::string> found;
    Statement rows = database.prepare(
        "SELECT plan FROM account WHERE plan <> '' UNION SELECT plan FROM customer WHERE plan <> "
        "'' "
        "UNION SELECT plan FROM credential WHERE plan <> '' ORDER BY 1");
    while (rows.row()) found.push_back(rows.text(0));
    if (!rows.ok()) return rows.error();
    return found;
}

}  // namespace

AccountStore::Impl::Impl(StoreSettings settings, std::unique_ptr<Database> writer,
                         std::unique_ptr<Database> reader)
    : settings_(std::move(settings)),
      iterations_(std::clamp(settings_.iterations, min_iterations, max_iterations)),
      scram_sha1_(settings_.scram_sha1),
      cache_(settings_.cached_accounts),
      logins_(settings_.pending_logins),
      writer_(std::move(writer)),
      reader_(std::move(reader)) {}

Outcome AccountStore::Impl::load() {
    const auto number = reader_->number("SELECT number FROM change");
    if (!number) return number.error();
    cache_.start_at(static_cast<std::uint64_t>(*number));
    Statement rows = reader_->prepare(
        "SELECT iterations, length(salt), count(DISTINCT account_id) FROM credential "
        "WHERE iterations IS NOT NULL GROUP BY 1, 2");
    while (rows.row()) {
        const FakeVerifiers::Shape shape(static_cast<unsigned>(rows.number(0)),
                                         static_cast<std::size_t>(rows.number(1)));
        counts_[shape] = static_cast<std::uint64_t>(rows.number(2));
    }
    if (!rows.ok()) return rows.error();
    publish_counts();
    const auto crypts = reader_->number(bare_crypts_sql);
    if (!crypts) return crypts.error();
    bare_crypts_.store(static_cast<std::uint64_t>(*crypts));
    return load_devices();
}

result<AccountPtr> AccountStore::Impl::find(std::string_view name) {
    const std::optional<std::string> normalised = normalised_login(name);
    if (!normalised) return AuthError::not_found;
    std::optional<AccountPtr> account = cache_.find(*normalised);
    if (!account) {
        const std::uint64_t read_at = cache_.generation();
        const std::scoped_lock lock(reader_mutex_);
        const ReadTransaction reading(*reader_);
        if (reading.begun()) return reading.begun();
        const auto read = read_account(*reader_, *normalised);
        if (!read) return read.error();
        // The time that it takes tells nobody who exists.
        if (*read == nullptr) {
            if (const Outcome error = read_in_vain(*reader_, *normalised)) return error;
        }
        account = *read;
        cache_.keep(*normalised, *read, read_at);
    }
    if (!*account) return AuthError::not_found;
    return *account;
}

result<AccountView> AccountStore::Impl::view(AccountPtr account) {
    AccountView out{std::move(account), std::nullopt, {}, {}};
    {
        const std::scoped_lock lock(reader_mutex_);
        auto read = read_last_logins(*reader_, out.account->id);
        if (!read) return read.error();
        out.used = std::move(*read);
    }
    for (auto& [credential, used] : logins_.latest(out.account->name))
        out.used.insert_or_assign(credential, std::move(used));
    for (const auto& [credential, used] : out.used) {
        if (out.last_login && *out.last_login > used.t) continue;
        out.last_login = used.t;
        out.last_source = used.source;
    }
    return out;
}

result<std::vector<std::string>> AccountStore::Impl::names(const AccountFilter& filter,
                                                           std::string_view cursor,
                                                           std::size_t limit) {
    std::string sql =
        "SELECT a.name FROM account a LEFT JOIN customer c ON c.id = a.customer_id "
        "LEFT JOIN suspension s ON s.account_id = a.id WHERE a.name > ?1";
    std::vector<std::string> values;
    // The parameter that the value just pushed will be bound to; ?1 is the cursor.
    const auto place = [&] { return values.size() + 1; };
    const auto any_of = [&](const std::vector<std::string>& wanted, const auto& condition) {
        if (wanted.empty()) return;
        sql += " AND (0";
        for (const std::string& value : wanted) sql.append(" OR ").append(condition(value));
        sql += ")";
    };
    any_of(filter.accounts, [&](const std::string& value) {
        if (value.starts_with('@')) {
            values.push_back("@" + proto::normalised_domain(std::string_view(value).substr(1)));
            return fmt::format("substr(a.name, -length(?{0})) = ?{0}", place());
        }
        values.push_back(normalised_login(value).value_or(std::string()));
        return fmt::format("a.name = ?{}", place());
    });
    any_of(filter.customers, [&](const std::string& value) {
        values.push_back(value);
        return fmt::format("c.name = ?{}", place());
    });
    any_of(filter.states, [](const std::string& value) -> std::string {
        if (value == "active") return "s.account_id IS NULL";
        return value == "suspended" ? "s.account_id IS NOT NULL" : "0";
    });
    sql += fmt::format(" ORDER BY a.name LIMIT {}", limit);

    std::vector<std::string> found;
    const std::scoped_lock lock(reader_mutex_);
    Statement rows = reader_->prepare_once(sql);
    rows.bind(cursor);
    for (const std::string& value : values) rows.bind(value);
    while (rows.row()) found.push_back(rows.text(0));
    if (!rows.ok()) return rows.error();
    return found;
}

bool AccountStore::Impl::readable() {
    const std::scoped_lock lock(reader_mutex_);
    return reader_->number("SELECT count(*) FROM (SELECT 1 FROM account LIMIT 1)").has_value();
}

result<std::uint64_t> AccountStore::Impl::count() {
    const std::scoped_lock lock(reader_mutex_);
    const auto number = reader_->number("SELECT count(*) FROM account");
    if (!number) return number.error();
    return static_cast<std::uint64_t>(*number);
}

result<std::vector<std::string>> AccountStore::Impl::plans() {
    const std::scoped_lock lock(reader_mutex_);
    return read_plans(*reader_);
}

result<std::vector<std::string>> AccountStore::stored_plans(const std::filesystem::path& path) {
    constexpr std::chrono::milliseconds busy{2000};
    if (::access(path.c_str(), F_OK) != 0) return std::vector<std::string>();
    const auto database = Database::open(path, busy, Database::Access::read);
    if (!database) return database.error();
    const auto schema = (*database)->number("PRAGMA user_version");
    if (!schema) return schema.error();
    constexpr std::int64_t first_with_all = 4;
    if (*schema < first_with_all) return std::vector<std::string>();
    return read_plans(**database);
}

result<std::vector<KnownPair>> AccountStore::Impl::known_pairs(Time since, std::size_t limit) {
    std::vector<KnownPair> pairs;
    const std::scoped_lock lock(reader_mutex_);
    Statement rows = reader_->prepare(
        "SELECT a.name, k.source, k.last_seen FROM known_source k JOIN account a ON a.id = "
        "k.account_id "
        "WHERE k.last_seen >= ? ORDER BY k.last_seen DESC LIMIT ?");
    rows.bind(to_ms(since)).bind(static_cast<std::int64_t>(limit));
    while (rows.row()) pairs.push_back({rows.text(0), rows.text(1), from_ms(rows.number(2))});
    if (!rows.ok()) return rows.error();
    return pairs;
}

result<std::vector<KnownPair>> AccountStore::Impl::last_logins(std::size_t limit) {
    std::vector<KnownPair> pairs;
    const std::scoped_lock lock(reader_mutex_);
    // SQLite takes the bare column from the row that has the maximum.
    Statement rows = reader_->prepare(
        "SELECT a.name, l.source, max(l.t) FROM last_login l JOIN account a ON a.id = l.account_id "
        "GROUP BY a.id ORDER BY 3 DESC LIMIT ?");
    rows.bind(static_cast<std::int64_t>(limit));
    while (rows.row()) pairs.push_back({rows.text(0), rows.text(1), from_ms(rows.number(2))});
    if (!rows.ok()) return rows.error();
    return pairs;
}

result<AccountPtr> AccountStore::Impl::change(const std::string& name, Change what,
                                              const Body& body) {
    const std::scoped_lock lock(writer_mutex_);
    return change_locked(name, what, body);
}

result<AccountPtr> AccountStore::Impl::try_change(const std::string& name, Change what,
                                                  const Body& body) {
    const std::unique_lock lock(writer_mutex_, change_patience);
    if (!lock) return AuthError::store_locked;
    return change_locked(name, what, body);
}

result<AccountPtr> AccountStore::Impl::change_locked(const std::string& name, Change what,
                                                     const Body& body) {
    AccountPtr before;
    AccountPtr after;
    std::int64_t number = 0;
    {
        Transaction transaction(*writer_);
        if (transaction.begun()) return transaction.begun();
        const auto old = read_account(*writer_, name);
        if (!old) return old.error();
        before = *old;
        if (!before && what != Change::added) return AuthError::not_found;
        const result<std::int64_t> id = body(*writer_, before);
        if (!id) return id.error();
        const auto next = next_change(*writer_);
        if (!next) return next.error();
        number = *next;
        if (*id != 0) {
            if (const Outcome error = write_version(*writer_, *id, number)) return error;
            const auto fresh = read_account(*writer_, name);
            if (!fresh) return fresh.error();
            after = *fresh;
            if (!after) return AuthError::store_damaged;
        }
        if (const Outcome error = transaction.commit()) return error;
    }
    cache_.changed(name, after, static_cast<std::uint64_t>(number));
    devices_.changed(name, after.get());
    // With the lock held, so that nobody hears of the second change before the first.
    notify(name, what);
    count(before, after);
    return after;
}

result<AccountPtr> AccountStore::Impl::change_with(const std::string& name, Change what,
                                                   const proto::Secret& password,
                                                   std::string_view credential,
                                                   const ProofBody& body) {
    constexpr int most_tries = 8;
    for (int tries = 1;; ++tries) {
        const auto seen = find(name);
        if (!seen) return seen.error();
        const auto proof = proof_of(password, seen->get(), credential);
        if (!proof) return proof.error();
        auto done = change(name, what,
                           [&](Database& db, const AccountPtr& account) -> result<std::int64_t> {
                               if (account->version != (*seen)->version)
                                   return AuthError::changed_meanwhile;
                               return body(db, account, *proof);
                           });
        if (done || done.error() != AuthError::changed_meanwhile || tries == most_tries)
            return done;
    }
}

Outcome AccountStore::Impl::flush(Time forget_before) {
    const std::scoped_lock lock(writer_mutex_);
    const Outcome error = logins_.write(*writer_, forget_before);
    if (!error) upkeep_waits_.store(false, std::memory_order_relaxed);
    return error;
}

result<AccountStore::Impl::Proof> AccountStore::Impl::proof_of(const proto::Secret& password,
                                                               const AccountRecord* account,
                                                               std::string_view credential) const {
    Salting with = salting_of(account, credential);
    auto verifier = make_verifier(password.reveal(), std::move(with.salt), with.iterations);
    if (!verifier) return verifier.error();
    Proof out{std::move(*verifier), {}};
    if (scram_sha1_.load(std::memory_order_relaxed) == ScramSha1::kept) {
        std::optional<std::string> prepared = saslprep(password.reveal(), PrepUse::stored);
        if (!prepared) return AuthError::invalid_password;
        out.scram_sha1 = scram_sha1_of(*prepared, out.verifier.salt, out.verifier.iterations);
        wipe(prepared->data(), prepared->size());
    }
    return out;
}

AccountStore::Impl::Salting AccountStore::Impl::salting_of(const AccountRecord* account,
                                                           std::string_view credential) const {
    if (account != nullptr) {
        for (const Credential& other : account->credentials) {
            if (other.name != credential && other.verifier)
                return {other.verifier->salt, other.verifier->iterations};
        }
    }
    std::string salt(salt_octets, '\0');
    settings_.random({reinterpret_cast<unsigned char*>(salt.data()), salt.size()});
    return {std::move(salt), iterations_.load(std::memory_order_relaxed)};
}

std::shared_ptr<const AccountStore::Listener> AccountStore::Impl::subscribe(Listener listener) {
    auto token = std::make_shared<const Listener>(std::move(listener));
    const std::scoped_lock lock(listeners_mutex_);
    listeners_.push_back(token);
    return token;
}

void AccountStore::Impl::notify(const std::string& name, Change what) {
    std::vector<std::shared_ptr<const Listener>> listeners;
    {
        const std::scoped_lock lock(listeners_mutex_);
        std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
        for (const auto& listener : listeners_) listeners.push_back(listener.lock());
    }
    for (const auto& listener : listeners) {
        if (listener) (*listener)(name, what);
    }
}

void AccountStore::Impl::count(const AccountPtr& before, const AccountPtr& after) {
    const auto each = [](const AccountPtr& account, const auto& act) {
        if (!account) return;
        if (const Verifier* const verifier = shared_verifier(*account))
            act(FakeVerifiers::Shape(verifier->iterations, verifier->salt.size()));
    };
    each(before, [&](const FakeVerifiers::Shape& shape) {
        const auto at = counts_.find(shape);
        if (at != counts_.end() && --at->second == 0) counts_.erase(at);
    });
    each(after, [&](const FakeVerifiers::Shape& shape) { ++counts_[shape]; });
    publish_counts();
    const std::uint64_t gone = before && has_bare_crypt(*before) ? 1 : 0;
    const std::uint64_t come = after && has_bare_crypt(*after) ? 1 : 0;
    bare_crypts_.store(bare_crypts_.load() - gone + come);
}

void AccountStore::Impl::publish_counts() {
    auto fresh = std::make_shared<const FakeVerifiers::Shares>(counts_.begin(), counts_.end());
    const std::scoped_lock lock(shares_mutex_);
    shares_ = std::move(fresh);
}

std::shared_ptr<const FakeVerifiers::Shares> AccountStore::Impl::shares() const {
    const std::scoped_lock lock(shares_mutex_);
    return shares_;
}

}  // namespace postern::auth
