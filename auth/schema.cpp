#include "auth/schema.hpp"

#include <array>

#include <fmt/format.h>

namespace postern::auth {
namespace {

// Step N brings user_version from N to N + 1; a step that has shipped never changes. Times are
// milliseconds since 1970. Names, addresses and domains are stored normalised.
constexpr std::array<const char*, static_cast<std::size_t>(schema_version)> steps = {
    R"sql(
CREATE TABLE change (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
INSERT INTO change VALUES (1, 0);

CREATE TABLE customer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL DEFAULT '',
    created INTEGER NOT NULL);

CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    customer_id INTEGER REFERENCES customer (id),
    plan TEXT NOT NULL DEFAULT '',
    version INTEGER NOT NULL,
    created INTEGER NOT NULL);
CREATE INDEX account_customer ON account (customer_id);

CREATE TABLE owned (
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('everything', 'address', 'domain')),
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, kind, name)) WITHOUT ROWID;

CREATE TABLE account_rule (
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('enforce', 'observe', 'off')),
    PRIMARY KEY (account_id, rule)) WITHOUT ROWID;

CREATE TABLE account_authzid (
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (account_id, name)) WITHOUT ROWID;

CREATE TABLE credential (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    salt BLOB,
    iterations INTEGER,
    stored_key BLOB,
    server_key BLOB,
    created INTEGER NOT NULL,
    UNIQUE (account_id, name));

CREATE TABLE suspension (
    account_id INTEGER PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
    t INTEGER NOT NULL,
    rule TEXT NOT NULL,
    text TEXT NOT NULL,
    by_whom TEXT NOT NULL);

CREATE TABLE suspension_reason (
    account_id INTEGER NOT NULL REFERENCES suspension (account_id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (account_id, place)) WITHOUT ROWID;

CREATE TABLE last_login (
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    credential TEXT NOT NULL,
    t INTEGER NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (account_id, credential)) WITHOUT ROWID;

CREATE TABLE known_source (
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (account_id, source)) WITHOUT ROWID;
CREATE INDEX known_source_age ON known_source (last_seen);
)sql",
    R"sql(
ALTER TABLE credential ADD COLUMN plan TEXT NOT NULL DEFAULT '';
)sql",
    R"sql(
ALTER TABLE customer ADD COLUMN contact TEXT NOT NULL DEFAULT '';
ALTER TABLE customer ADD COLUMN abuse_contact TEXT NOT NULL DEFAULT '';

CREATE TABLE customer_domain (
    domain TEXT NOT NULL PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customer (id) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX customer_domain_owner ON customer_domain (customer_id);

CREATE TABLE customer_rule (
    customer_id INTEGER NOT NULL REFERENCES customer (id) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('enforce', 'observe', 'off')),
    PRIMARY KEY (customer_id, rule)) WITHOUT ROWID;
)sql",
    // rcpts: one a line.
    R"sql(
ALTER TABLE credential ADD COLUMN crypt TEXT NOT NULL DEFAULT '';
ALTER TABLE credential ADD COLUMN scram_sha1 TEXT NOT NULL DEFAULT '';
ALTER TABLE credential ADD COLUMN certificate TEXT NOT NULL DEFAULT '';
ALTER TABLE credential ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE credential ADD COLUMN listener TEXT NOT NULL DEFAULT '';
ALTER TABLE credential ADD COLUMN rcpts TEXT NOT NULL DEFAULT '';
CREATE INDEX credential_crypt ON credential (account_id) WHERE crypt <> '';
CREATE UNIQUE INDEX credential_certificate ON credential (certificate) WHERE certificate <> '';
CREATE INDEX credential_device ON credential (listener) WHERE kind = 'device';
)sql",
    // A list is a customer's or an account's. until: NULL until it is taken off by hand.
    R"sql(
CREATE TABLE suppression (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER REFERENCES customer (id) ON DELETE CASCADE,
    account_id INTEGER REFERENCES account (id) ON DELETE CASCADE,
    rcpt TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    enhanced TEXT NOT NULL DEFAULT '',
    ref TEXT NOT NULL DEFAULT '',
    CHECK ((customer_id IS NULL) <> (account_id IS NULL)));
CREATE UNIQUE INDEX suppression_customer ON suppression (customer_id, rcpt)
    WHERE customer_id IS NOT NULL;
CREATE UNIQUE INDEX suppression_account ON suppression (account_id, rcpt)
    WHERE account_id IS NOT NULL;
CREATE INDEX suppression_until ON suppression (until) WHERE until IS NOT NULL;
)sql"};

Fault fault(boost::system::error_code code, const std::filesystem::path& path,
            const Database& database) {
    return {code, fmt::format("{}: {} ({})", path.string(), code.message(), database.message())};
}

}  // namespace

started<void> prepare_schema(Database& database, const std::filesystem::path& path) {
    const auto version = database.number("PRAGMA user_version");
    if (!version) return fault(version.error(), path, database);
    if (*version > schema_version || *version < 0) {
        return Fault{
            AuthError::store_newer_schema,
            fmt::format(
                "{}: has schema {}, and this postern knows schemas up to {}: run the postern that "
                "made it, or a newer one",
                path.string(), *version, schema_version)};
    }
    const auto check = database.text("PRAGMA quick_check(1)");
    if (!check) return fault(check.error(), path, database);
    if (*check != "ok") {
        return Fault{
            AuthError::store_damaged,
            fmt::format("{}: is damaged ({}): put back a backup, or move it away to begin anew",
                        path.string(), *check)};
    }
    // WAL: readers never wait for the writer. FULL: what was answered is on the disk.
    const auto mode = database.text("PRAGMA journal_mode = WAL");
    if (!mode) return fault(mode.error(), path, database);
    if (const auto error = database.exec("PRAGMA synchronous = FULL"))
        return fault(error, path, database);

    for (std::int64_t step = *version; step < schema_version; ++step) {
        Transaction transaction(database);
        if (transaction.begun()) return fault(transaction.begun(), path, database);
        const std::string mark = fmt::format("PRAGMA user_version = {}", step + 1);
        if (const auto error = database.exec(steps[static_cast<std::size_t>(step)]))
            return fault(error, path, database);
        if (const auto error = database.exec(mark.c_str())) return fault(error, path, database);
        if (const auto error = transaction.commit()) return fault(error, path, database);
    }
    return {};
}

}  // namespace postern::auth
