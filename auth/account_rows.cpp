#include "auth/account_rows.hpp"

#include <algorithm>

namespace postern::auth {
namespace {

Outcome read_owned(Database& database, AccountRecord& account) {
    Statement rows =
        database.prepare("SELECT kind, name FROM owned WHERE account_id = ? ORDER BY kind, name");
    rows.bind(account.id);
    while (rows.row()) {
        const std::string kind = rows.text(0);
        if (kind == "everything") {
            account.owned.everything = true;
        } else {
            (kind == "domain" ? account.owned.domains : account.owned.addresses)
                .push_back(rows.text(1));
        }
    }
    return rows.error();
}

Outcome read_rules(Database& database, AccountRecord& account) {
    Statement rows = database.prepare("SELECT rule, mode FROM account_rule WHERE account_id = ?");
    rows.bind(account.id);
    while (rows.row()) account.rules.emplace(rows.text(0), rows.text(1));
    return rows.error();
}

Outcome read_authzids(Database& database, AccountRecord& account) {
    Statement rows =
        database.prepare("SELECT name FROM account_authzid WHERE account_id = ? ORDER BY name");
    rows.bind(account.id);
    while (rows.row()) account.authzids.push_back(rows.text(0));
    return rows.error();
}

std::optional<Verifier> verifier_in(const Statement& row, int first) {
    const std::string stored_key = row.text(first + 2);
    const std::string server_key = row.text(first + 3);
    const std::int64_t iterations = row.number(first + 1);
    Verifier verifier;
    verifier.salt = row.text(first);
    if (stored_key.size() != verifier.stored_key.size() ||
        server_key.size() != verifier.server_key.size() || verifier.salt.empty() ||
        iterations < min_iterations || iterations > max_iterations)
        return std::nullopt;
    verifier.iterations = static_cast<unsigned>(iterations);
    std::ranges::copy(stored_key, verifier.stored_key.begin());
    std::ranges::copy(server_key, verifier.server_key.begin());
    return verifier;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

Outcome read_credentials(Database& database, AccountRecord& account) {
    Statement rows = database.prepare(
        "SELECT id, name, kind, created, plan, salt, iterations, stored_key, server_key, "
        "crypt, scram_sha1, certificate, source, listener, rcpts "
        "FROM credential WHERE account_id = ? ORDER BY name");
    rows.bind(account.id);
    while (rows.row()) {
        Credential credential;
        credential.id = rows.number(0);
        credential.name = rows.text(1);
        credential.kind = rows.text(2);
        credential.created = from_ms(rows.number(3));
        credential.plan = rows.text(4);
        if (!rows.null(5)) {
            credential.verifier = verifier_in(rows, 5);
            if (!credential.verifier) return AuthError::store_damaged;
        }
        credential.crypt = rows.text(9);
        credential.scram_sha1 = rows.text(10);
        credential.certificate = rows.text(11);
        credential.source = rows.text(12);
        credential.listener = rows.text(13);
        credential.rcpts = lines_of(rows.text(14));
        account.credentials.push_back(std::move(credential));
    }
    return rows.error();
}

Outcome read_suspension(Database& database, AccountRecord& account) {
    {
        Statement row =
            database.prepare("SELECT t, rule, text, by_whom FROM suspension WHERE account_id = ?");
        row.bind(account.id);
        if (!row.row()) return row.error();
        account.suspended =
            Suspension{from_ms(row.number(0)), row.text(1), {}, row.text(2), row.text(3)};
    }
    Statement reasons =
        database.prepare("SELECT text FROM suspension_reason WHERE account_id = ? ORDER BY place");
    reasons.bind(account.id);
    while (reasons.row()) account.suspended->reasons.push_back(reasons.text(0));
    return reasons.error();
}

Outcome run_for(Database& database, std::string_view sql, std::int64_t id) {
    return database.prepare(sql).bind(id).run().error();
}

Outcome insert_owned(Database& database, std::int64_t id, std::string_view kind,
                     std::string_view name) {
    return database.prepare("INSERT INTO owned (account_id, kind, name) VALUES (?, ?, ?)")
        .bind(id)
        .bind(kind)
        .bind(name)
        .run()
        .error();
}

/// By a statement that finds an account by one text and yields the columns read here.
result<AccountPtr> read_by(Database& database, std::string_view sql, std::string_view text) {
    auto account = std::make_shared<AccountRecord>();
    std::optional<std::int64_t> customer;
    {
        Statement row = database.prepare(sql);
        row.bind(text);
        if (!row.row()) {
            if (!row.ok()) return row.error();
            return AccountPtr();
        }
        account->id = row.number(0);
        account->version = static_cast<std::uint64_t>(row.number(1));
        account->name = row.text(7);
        account->created = from_ms(row.number(2));
        account->customer = row.text(4);
        account->plan = row.text(3);
        if (account->plan.empty()) account->plan = row.text(5);
        if (account->plan.empty()) account->plan = default_plan;
        if (!row.null(6)) customer = row.number(6);
    }
    if (customer) {
        auto rules = read_customer_rules(database, *customer);
        if (!rules) return rules.error();
        account->customer_rules = std::move(*rules);
    }
    for (const auto read :
         {read_owned, read_rules, read_authzids, read_credentials, read_suspension}) {
        if (const Outcome error = read(database, *account)) return error;
    }
    return AccountPtr(std::move(account));
}

}  // namespace

result<AccountPtr> read_account(Database& database, std::string_view normalised) {
    return read_by(database,
                   "SELECT a.id, a.version, a.created, a.plan, c.name, c.plan, c.id, a.name "
                   "FROM account a LEFT JOIN customer c ON c.id = a.customer_id WHERE a.name = ?",
                   normalised);
}

Outcome read_in_vain(Database& database, std::string_view normalised) {
    // The next one in the order of names; behind the last one nobody is.
    const auto other =
        read_by(database,
                "SELECT a.id, a.version, a.created, a.plan, c.name, c.plan, c.id, a.name "
                "FROM account a LEFT JOIN customer c ON c.id = a.customer_id WHERE a.name >= ? "
                "ORDER BY a.name LIMIT 1",
                normalised);
    return other ? Outcome() : other.error();
}

result<std::map<std::string, std::string>> read_customer_rules(Database& database,
                                                               std::int64_t id) {
    std::map<std::string, std::string> rules;
    Statement rows = database.prepare("SELECT rule, mode FROM customer_rule WHERE customer_id = ?");
    rows.bind(id);
    while (rows.row()) rules.emplace(rows.text(0), rows.text(1));
    if (!rows.ok()) return rows.error();
    return rules;
}

result<std::int64_t> next_change(Database& database) {
    Statement row = database.prepare("UPDATE change SET number = number + 1 RETURNING number");
    const std::int64_t number = row.row() ? row.number(0) : 0;
    if (!row.ok()) return row.error();
    if (number == 0) return AuthError::store_damaged;
    return number;
}

result<std::int64_t> insert_account(Database& database, std::string_view normalised, Time now) {
    {
        Statement there = database.prepare("SELECT 1 FROM account WHERE name = ?");
        there.bind(normalised);
        if (there.row()) return AuthError::already_exists;
        if (!there.ok()) return there.error();
    }
    const Outcome error =
        database.prepare("INSERT INTO account (name, version, created) VALUES (?, 0, ?)")
            .bind(normalised)
            .bind(to_ms(now))
            .run()
            .error();
    if (error) return error;
    return database.last_insert_id();
}

Outcome write_version(Database& database, std::int64_t id, std::int64_t version) {
    return database.prepare("UPDATE account SET version = ? WHERE id = ?")
        .bind(version)
        .bind(id)
        .run()
        .error();
}

Outcome write_customer(Database& database, std::int64_t id, std::string_view customer, Time now) {
    if (customer.empty())
        return run_for(database, "UPDATE account SET customer_id = NULL WHERE id = ?", id);
    const Outcome error =
        database.prepare("INSERT OR IGNORE INTO customer (name, created) VALUES (?, ?)")
            .bind(customer)
            .bind(to_ms(now))
            .run()
            .error();
    if (error) return error;
    return database
        .prepare(
            "UPDATE account SET customer_id = (SELECT id FROM customer WHERE name = ?) WHERE id = "
            "?")
        .bind(customer)
        .bind(id)
        .run()
        .error();
}

Outcome write_plan(Database& database, std::int64_t id, std::string_view plan) {
    return database.prepare("UPDATE account SET plan = ? WHERE id = ?")
        .bind(plan)
        .bind(id)
        .run()
        .error();
}

Outcome write_owned(Database& database, std::int64_t id, const Owned& owned) {
    if (const Outcome error = run_for(database, "DELETE FROM owned WHERE account_id = ?", id))
        return error;
    if (owned.everything) {
        if (const Outcome error = insert_owned(database, id, "everything", "*")) return error;
    }
    for (const std::string& name : owned.addresses) {
        if (const Outcome error = insert_owned(database, id, "address", name)) return error;
    }
    for (const std::string& name : owned.domains) {
        if (const Outcome error = insert_owned(database, id, "domain", name)) return error;
    }
    return {};
}

Outcome write_rules(Database& database, std::int64_t id,
                    const std::map<std::string, std::string>& rules) {
    for (const auto& [rule, mode] : rules) {
        const Outcome error =
            mode.empty()
                ? database.prepare("DELETE FROM account_rule WHERE account_id = ? AND rule = ?")
                      .bind(id)
                      .bind(rule)
                      .run()
                      .error()
                : database
                      .prepare(
                          "INSERT OR REPLACE INTO account_rule (account_id, rule, mode) "
                          "VALUES (?, ?, ?)")
                      .bind(id)
                      .bind(rule)
                      .bind(mode)
                      .run()
                      .error();
        if (error) return error;
    }
    return {};
}

Outcome write_authzids(Database& database, std::int64_t id, const std::vector<std::string>& names) {
    if (const Outcome error =
            run_for(database, "DELETE FROM account_authzid WHERE account_id = ?", id))
        return error;
    for (const std::string& name : names) {
        const Outcome error =
            database
                .prepare("INSERT OR IGNORE INTO account_authzid (account_id, name) VALUES (?, ?)")
                .bind(id)
                .bind(name)
                .run()
                .error();
        if (error) return error;
    }
    return {};
}

Outcome write_credential(Database& database, std::int64_t id, const Credential& credential,
                         Time now) {
    std::string rcpts;
    for (const std::string& rcpt : credential.rcpts) rcpts += rcpt + '\n';
    Statement insert = database.prepare(
        "INSERT OR REPLACE INTO credential (account_id, name, kind, plan, created, crypt, "
        "scram_sha1, certificate, source, listener, rcpts, salt, iterations, stored_key, "
        "server_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(id)
        .bind(credential.name)
        .bind(credential.kind)
        .bind(credential.plan)
        .bind(to_ms(now))
        .bind(credential.crypt)
        .bind(credential.scram_sha1)
        .bind(credential.certificate)
        .bind(credential.source)
        .bind(credential.listener)
        .bind(rcpts);
    // What is not bound is NULL.
    if (const auto& verifier = credential.verifier) {
        insert.bind_blob(verifier->salt)
            .bind(std::int64_t{verifier->iterations})
            .bind_blob(view(verifier->stored_key))
            .bind_blob(view(verifier->server_key));
    }
    return insert.run().error();
}

Outcome write_adopted(Database& database, std::int64_t id, std::string_view name,
                      const Verifier& verifier) {
    return database
        .prepare(
            "UPDATE credential SET crypt = '', salt = ?, iterations = ?, stored_key = ?, "
            "server_key = ? WHERE account_id = ? AND name = ?")
        .bind_blob(verifier.salt)
        .bind(std::int64_t{verifier.iterations})
        .bind_blob(view(verifier.stored_key))
        .bind_blob(view(verifier.server_key))
        .bind(id)
        .bind(name)
        .run()
        .error();
}

Outcome write_scram_sha1(Database& database, std::int64_t credential_id, std::string_view text) {
    return database.prepare("UPDATE credential SET scram_sha1 = ? WHERE id = ?")
        .bind(text)
        .bind(credential_id)
        .run()
        .error();
}

Outcome delete_credential(Database& database, std::int64_t id, std::string_view name) {
    return database.prepare("DELETE FROM credential WHERE account_id = ? AND name = ?")
        .bind(id)
        .bind(name)
        .run()
        .error();
}

Outcome write_suspension(Database& database, std::int64_t id, const SuspensionRequest& why,
                         Time now) {
    if (const Outcome error = delete_suspension(database, id)) return error;
    const Outcome error = database
                              .prepare(
                                  "INSERT INTO suspension (account_id, t, rule, text, by_whom) "
                                  "VALUES (?, ?, ?, ?, ?)")
                              .bind(id)
                              .bind(to_ms(now))
                              .bind(why.rule)
                              .bind(why.text)
                              .bind(why.by)
                              .run()
                              .error();
    if (error) return error;
    std::int64_t place = 0;
    for (const std::string& reason : why.reasons) {
        const Outcome written =
            database
                .prepare("INSERT INTO suspension_reason (account_id, place, text) VALUES (?, ?, ?)")
                .bind(id)
                .bind(place++)
                .bind(reason)
                .run()
                .error();
        if (written) return written;
    }
    return {};
}

Outcome delete_suspension(Database& database, std::int64_t id) {
    return run_for(database, "DELETE FROM suspension WHERE account_id = ?", id);
}

Outcome delete_account(Database& database, std::int64_t id) {
    return run_for(database, "DELETE FROM account WHERE id = ?", id);
}

}  // namespace postern::auth
