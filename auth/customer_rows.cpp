#include "auth/customer_rows.hpp"

#include <utility>

#include "auth/account_rows.hpp"

namespace postern::auth {
namespace {

Outcome write_domains(Database& database, std::int64_t id,
                      const std::vector<std::string>& domains) {
    const Outcome gone = database.prepare("DELETE FROM customer_domain WHERE customer_id = ?")
                             .bind(id)
                             .run()
                             .error();
    if (gone) return gone;
    for (const std::string& domain : domains) {
        {
            Statement taken = database.prepare("SELECT 1 FROM customer_domain WHERE domain = ?");
            taken.bind(domain);
            if (taken.row()) return AuthError::domain_taken;
            if (!taken.ok()) return taken.error();
        }
        const Outcome error =
            database.prepare("INSERT INTO customer_domain (domain, customer_id) VALUES (?, ?)")
                .bind(domain)
                .bind(id)
                .run()
                .error();
        if (error) return error;
    }
    return {};
}

Outcome write_modes(Database& database, std::int64_t id,
                    const std::map<std::string, std::string>& rules) {
    for (const auto& [rule, mode] : rules) {
        const Outcome gone =
            database.prepare("DELETE FROM customer_rule WHERE customer_id = ? AND rule = ?")
                .bind(id)
                .bind(rule)
                .run()
                .error();
        if (gone) return gone;
        if (mode.empty()) continue;
        const Outcome error =
            database.prepare("INSERT INTO customer_rule (customer_id, rule, mode) VALUES (?, ?, ?)")
                .bind(id)
                .bind(rule)
                .bind(mode)
                .run()
                .error();
        if (error) return error;
    }
    return {};
}

}  // namespace

result<std::optional<CustomerRecord>> read_customer(Database& database, std::string_view name) {
    CustomerRecord customer;
    {
        Statement row = database.prepare(
            "SELECT id, plan, contact, abuse_contact, created, "
            "(SELECT count(*) FROM account a WHERE a.customer_id = c.id) FROM customer c "
            "WHERE name = ?");
        row.bind(name);
        if (!row.row()) {
            if (!row.ok()) return row.error();
            return std::optional<CustomerRecord>();
        }
        customer.id = row.number(0);
        customer.name = name;
        customer.plan = row.text(1);
        customer.contact = row.text(2);
        customer.abuse_contact = row.text(3);
        customer.created = from_ms(row.number(4));
        customer.accounts = static_cast<std::uint64_t>(row.number(5));
    }
    {
        Statement rows = database.prepare(
            "SELECT domain FROM customer_domain WHERE customer_id = ? ORDER BY domain");
        rows.bind(customer.id);
        while (rows.row()) customer.domains.push_back(rows.text(0));
        if (!rows.ok()) return rows.error();
    }
    auto rules = read_customer_rules(database, customer.id);
    if (!rules) return rules.error();
    customer.rules = std::move(*rules);
    return std::optional<CustomerRecord>(std::move(customer));
}

result<std::vector<std::string>> read_customer_names(Database& database, std::string_view cursor,
                                                     std::size_t limit) {
    std::vector<std::string> found;
    Statement rows =
        database.prepare("SELECT name FROM customer WHERE name > ? ORDER BY name LIMIT ?");
    rows.bind(cursor).bind(static_cast<std::int64_t>(limit));
    while (rows.row()) found.push_back(rows.text(0));
    if (!rows.ok()) return rows.error();
    return found;
}

result<std::int64_t> insert_customer(Database& database, std::string_view name, Time now) {
    const Outcome error = database.prepare("INSERT INTO customer (name, created) VALUES (?, ?)")
                              .bind(name)
                              .bind(to_ms(now))
                              .run()
                              .error();
    if (error) return error;
    return database.last_insert_id();
}

boost::system::error_code write_customer_change(Database& database, std::int64_t id,
                                                const CustomerChange& change) {
    const std::pair<const char*, const std::optional<std::string>*> texts[] = {
        {"UPDATE customer SET plan = ? WHERE id = ?", &change.plan},
        {"UPDATE customer SET contact = ? WHERE id = ?", &change.contact},
        {"UPDATE customer SET abuse_contact = ? WHERE id = ?", &change.abuse_contact}};
    for (const auto& [sql, text] : texts) {
        if (!*text) continue;
        if (const Outcome error = database.prepare(sql).bind(**text).bind(id).run().error())
            return error;
    }
    if (change.domains) {
        if (const Outcome error = write_domains(database, id, *change.domains)) return error;
    }
    return write_modes(database, id, change.rules);
}

boost::system::error_code delete_customer(Database& database, std::int64_t id) {
    return database.prepare("DELETE FROM customer WHERE id = ?").bind(id).run().error();
}

boost::system::error_code touch_accounts_of(Database& database, std::int64_t id,
                                            std::int64_t version) {
    return database.prepare("UPDATE account SET version = ? WHERE customer_id = ?")
        .bind(version)
        .bind(id)
        .run()
        .error();
}

}  // namespace postern::auth
