#include "auth/login_book.hpp"

#include "auth/account_rows.hpp"

namespace postern::auth {
namespace {

boost::system::error_code write_entry(Database& database, const LoginBook::Entry& entry) {
    std::int64_t id = 0;
    {
        Statement find = database.prepare("SELECT id FROM account WHERE name = ?");
        find.bind(entry.account);
        if (!find.row()) return find.error();  // Removed meanwhile: nothing to note.
        id = find.number(0);
    }
    const std::int64_t t = to_ms(entry.t);
    const auto last =
        database
            .prepare(
                "INSERT INTO last_login (account_id, credential, t, source) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET t = excluded.t, source = excluded.source "
                "WHERE excluded.t >= t")
            .bind(id)
            .bind(entry.credential)
            .bind(t)
            .bind(entry.source)
            .run()
            .error();
    if (last) return last;
    return database
        .prepare(
            "INSERT INTO known_source (account_id, source, last_seen) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)")
        .bind(id)
        .bind(entry.source)
        .bind(t)
        .run()
        .error();
}

}  // namespace

void LoginBook::note(Entry entry) {
    std::tuple<std::string, std::string, std::string> key(entry.account, entry.source,
                                                          entry.credential);
    const std::scoped_lock lock(mutex_);
    const auto at = pairs_.find(key);
    if (at != pairs_.end()) {
        if (at->second.t <= entry.t) at->second = std::move(entry);
    } else if (pairs_.size() < capacity_) {
        pairs_.emplace(std::move(key), std::move(entry));
    }
}

LoginBook::Used LoginBook::latest(std::string_view account) const {
    Used found;
    const std::scoped_lock lock(mutex_);
    for (const Pairs* const pairs : {&being_written_, &pairs_}) {
        for (auto at = pairs->lower_bound({std::string(account), {}, {}});
             at != pairs->end() && at->second.account == account; ++at) {
            const Entry& entry = at->second;
            const auto there = found.find(entry.credential);
            if (there == found.end() || there->second.t <= entry.t)
                found.insert_or_assign(entry.credential, AccountView::Used{entry.t, entry.source});
        }
    }
    return found;
}

boost::system::error_code LoginBook::write(Database& database, Time forget_before) {
    {
        const std::scoped_lock lock(mutex_);
        // What is noted while an earlier failure is tried again is newer and wins.
        for (auto& [key, entry] : being_written_) pairs_.try_emplace(key, std::move(entry));
        being_written_ = std::exchange(pairs_, {});
    }
    // Only write() changes being_written_, and the store calls it on one thread at a time: latest()
    // just reads.
    const auto write_all = [&]() -> boost::system::error_code {
        Transaction transaction(database);
        if (transaction.begun()) return transaction.begun();
        for (const auto& [key, entry] : being_written_) {
            if (const auto error = write_entry(database, entry)) return error;
        }
        const auto forgotten = database.prepare("DELETE FROM known_source WHERE last_seen < ?")
                                   .bind(to_ms(forget_before))
                                   .run()
                                   .error();
        if (forgotten) return forgotten;
        return transaction.commit();
    };
    if (const auto error = write_all()) return error;
    const std::scoped_lock lock(mutex_);
    being_written_.clear();
    return {};
}

result<LoginBook::Used> read_last_logins(Database& database, std::int64_t account_id) {
    LoginBook::Used found;
    Statement rows =
        database.prepare("SELECT credential, t, source FROM last_login WHERE account_id = ?");
    rows.bind(account_id);
    while (rows.row())
        found.emplace(rows.text(0), AccountView::Used{from_ms(rows.number(1)), rows.text(2)});
    if (!rows.ok()) return rows.error();
    return found;
}

}  // namespace postern::auth
