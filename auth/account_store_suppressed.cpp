// The account store's lists of suppressed recipients.

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "auth/account_store_impl.hpp"
#include "auth/suppressed.hpp"

namespace postern::auth {
namespace {

constexpr std::string_view suppressed_columns =
    "SELECT s.id, c.name, a.name, s.rcpt, s.since, s.until, s.enhanced, s.ref FROM suppression s "
    "LEFT JOIN customer c ON c.id = s.customer_id LEFT JOIN account a ON a.id = s.account_id ";

SuppressedRow suppressed_row(const Statement& row) {
    SuppressedRow out;
    out.owner.customer = row.text(1);
    out.owner.account = row.text(2);
    out.rcpt = row.text(3);
    out.since = from_ms(row.number(4));
    if (!row.null(5)) out.until = from_ms(row.number(5));
    out.enhanced = row.text(6);
    out.ref = row.text(7);
    return out;
}

/// The owner's number; 0: there is none.
result<std::int64_t> list_owner_id(Database& database, const ListOwner& owner) {
    const bool customers = !owner.customer.empty();
    Statement row = database.prepare(customers ? "SELECT id FROM customer WHERE name = ?"
                                               : "SELECT id FROM account WHERE name = ?");
    row.bind(customers ? owner.customer : owner.account);
    const std::int64_t id = row.row() ? row.number(0) : 0;
    if (!row.ok()) return row.error();
    return id;
}

enum class Over : std::uint8_t { bounced_ones, all };

Outcome put_suppressed(Database& database, std::int64_t owner_id, const SuppressedRow& row,
                       Over over) {
    const std::string_view column = row.owner.customer.empty() ? "account_id" : "customer_id";
    const std::string sql = fmt::format(
        "INSERT INTO suppression ({0}, rcpt, since, until, enhanced, ref) VALUES (?, ?, ?, ?, ?, "
        "?) ON CONFLICT ({0}, rcpt) WHERE {0} IS NOT NULL DO UPDATE SET since = excluded.since, "
        "until = excluded.until, enhanced = excluded.enhanced, ref = excluded.ref{1}",
        column, over == Over::all ? "" : " WHERE suppression.until IS NOT NULL");
    Statement insert = database.prepare(sql);
    insert.bind(owner_id).bind(row.rcpt).bind(to_ms(row.since));
    if (row.until) {
        insert.bind(to_ms(*row.until));
    } else {
        insert.bind_null();
    }
    return insert.bind(row.enhanced).bind(row.ref).run().error();
}

/// How many rows the last statement changed.
result<std::uint64_t> changed_rows(Database& database) {
    const auto count = database.number("SELECT changes()");
    if (!count) return count.error();
    return static_cast<std::uint64_t>(*count);
}

}  // namespace

Outcome AccountStore::Impl::write_aside(const std::function<Outcome(Database& database)>& body) {
    const std::scoped_lock lock(writer_mutex_);
    Transaction transaction(*writer_);
    if (transaction.begun()) return transaction.begun();
    if (const Outcome error = body(*writer_)) return error;
    return transaction.commit();
}

Outcome AccountStore::Impl::read_aside(const std::function<Outcome(Database& database)>& body) {
    const std::scoped_lock lock(reader_mutex_);
    return body(*reader_);
}

result<void> AccountStore::note_suppressed(std::span<const SuppressedRow> rows) {
    if (rows.empty()) return {};
    const Outcome error = impl_->write_aside([&](Database& db) -> Outcome {
        for (const SuppressedRow& row : rows) {
            const auto id = list_owner_id(db, row.owner);
            if (!id) return id.error();
            if (*id == 0) continue;
            if (const Outcome failed = put_suppressed(db, *id, row, Over::bounced_ones))
                return failed;
        }
        return {};
    });
    if (error) return error;
    return {};
}

result<void> AccountStore::suppress(const SuppressedRow& row) {
    const Outcome error = impl_->write_aside([&](Database& db) -> Outcome {
        const auto id = list_owner_id(db, row.owner);
        if (!id) return id.error();
        if (*id == 0) {
            return row.owner.customer.empty() ? AuthError::not_found
                                              : AuthError::customer_not_found;
        }
        return put_suppressed(db, *id, row, Over::all);
    });
    if (error) return error;
    return {};
}

result<std::uint64_t> AccountStore::unsuppress(const ListOwner& owner,
                                               std::optional<std::string_view> rcpt) {
    std::uint64_t gone = 0;
    const Outcome error = impl_->write_aside([&](Database& db) -> Outcome {
        const auto id = list_owner_id(db, owner);
        if (!id) return id.error();
        if (*id == 0) {
            return owner.customer.empty() ? AuthError::not_found : AuthError::customer_not_found;
        }
        Statement rows = db.prepare_once(fmt::format(
            "DELETE FROM suppression WHERE {} = ?{}",
            owner.customer.empty() ? "account_id" : "customer_id", rcpt ? " AND rcpt = ?" : ""));
        rows.bind(*id);
        if (rcpt) rows.bind(*rcpt);
        if (const Outcome failed = rows.run().error()) return failed;
        const auto count = changed_rows(db);
        if (!count) return count.error();
        gone = *count;
        return {};
    });
    if (error) return error;
    return gone;
}

result<SuppressedPage> AccountStore::list_suppressed(const SuppressedFilter& filter,
                                                     std::string_view cursor, std::size_t limit,
                                                     Time now) {
    const std::size_t wanted = std::clamp<std::size_t>(limit, 1, max_page);
    std::int64_t after = 0;
    // A cursor that is none begins at the start.
    (void)std::from_chars(cursor.data(), cursor.data() + cursor.size(), after);
    std::string sql(suppressed_columns);
    sql += "WHERE s.id > ? AND (s.until IS NULL OR s.until > ?)";
    std::vector<std::string_view> values;
    const auto any_of = [&](const std::vector<std::string>& wanted_ones, std::string_view what) {
        for (const std::string& value : wanted_ones) {
            sql.append(" OR ").append(what);
            values.push_back(value);
        }
    };
    if (!filter.customers.empty() || !filter.accounts.empty()) {
        sql += " AND (0";
        any_of(filter.customers, "s.customer_id = (SELECT id FROM customer WHERE name = ?)");
        any_of(filter.accounts, "s.account_id = (SELECT id FROM account WHERE name = ?)");
        sql += ")";
    }
    if (!filter.rcpts.empty()) {
        sql += " AND (0";
        for (const std::string& rcpt : filter.rcpts) {
            const std::string placed = fmt::format("?{}", values.size() + 3);
            sql += rcpt.starts_with('@')
                       ? fmt::format(" OR substr(s.rcpt, -length({0})) = {0}", placed)
                       : fmt::format(" OR s.rcpt = {}", placed);
            values.push_back(rcpt);
        }
        sql += ")";
    }
    sql += fmt::format(" ORDER BY s.id LIMIT {}", wanted + 1);

    SuppressedPage page;
    std::int64_t last = 0;
    const Outcome error = impl_->read_aside([&](Database& db) -> Outcome {
        Statement rows = db.prepare_once(sql);
        rows.bind(after).bind(to_ms(now));
        for (const std::string_view value : values) rows.bind(value);
        while (rows.row()) {
            if (page.items.size() == wanted) {
                page.next = std::to_string(last);
                break;
            }
            last = rows.number(0);
            page.items.push_back(suppressed_row(rows));
        }
        return rows.error();
    });
    if (error) return error;
    return page;
}

result<void> AccountStore::visit_suppressed(Time now,
                                            const std::function<void(const SuppressedRow&)>& see) {
    const Outcome error = impl_->read_aside([&](Database& db) -> Outcome {
        Statement rows = db.prepare_once(std::string(suppressed_columns) +
                                         "WHERE s.until IS NULL OR s.until > ?");
        rows.bind(to_ms(now));
        while (rows.row()) see(suppressed_row(rows));
        return rows.error();
    });
    if (error) return error;
    return {};
}

result<std::uint64_t> AccountStore::expire_suppressed(Time now, std::size_t most) {
    std::uint64_t gone = 0;
    const Outcome error = impl_->write_aside([&](Database& db) -> Outcome {
        Statement rows = db.prepare(
            "DELETE FROM suppression WHERE id IN (SELECT id FROM suppression WHERE until <= ? "
            "LIMIT ?)");
        rows.bind(to_ms(now)).bind(static_cast<std::int64_t>(most));
        if (const Outcome failed = rows.run().error()) return failed;
        const auto count = changed_rows(db);
        if (!count) return count.error();
        gone = *count;
        return {};
    });
    if (error) return error;
    return gone;
}

}  // namespace postern::auth
