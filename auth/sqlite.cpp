#include "auth/sqlite.hpp"

#include <sqlite3.h>

namespace postern::auth {

AuthError store_error(int sqlite_code) noexcept {
    switch (sqlite_code & 0xFF) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            return AuthError::store_locked;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
        case SQLITE_FORMAT:
        case SQLITE_SCHEMA:
        case SQLITE_MISMATCH:
        case SQLITE_ERROR:  // A table or column that should be there is not.
            return AuthError::store_damaged;
        default:
            return AuthError::store_io;
    }
}

Statement::Statement(sqlite3_stmt* statement, int code, Owner owner) noexcept
    : statement_(statement), code_(code), owner_(owner) {}

Statement::~Statement() {
    if (owner_ == Owner::statement) {
        sqlite3_finalize(statement_);
        return;
    }
    if (statement_ == nullptr) return;
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
}

Statement& Statement::bind(std::int64_t value) {
    if (ok()) code_ = sqlite3_bind_int64(statement_, next_++, value);
    return *this;
}

Statement& Statement::bind(std::string_view text) {
    if (ok())
        code_ = sqlite3_bind_text64(statement_, next_++, text.data() != nullptr ? text.data() : "",
                                    text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    return *this;
}

Statement& Statement::bind_blob(std::string_view octets) {
    if (ok())
        code_ = sqlite3_bind_blob64(statement_, next_++, octets.data(), octets.size(),
                                    SQLITE_TRANSIENT);
    return *this;
}

Statement& Statement::bind_null() {
    if (ok()) code_ = sqlite3_bind_null(statement_, next_++);
    return *this;
}

bool Statement::row() {
    if (!ok()) return false;
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) code_ = code;
    return false;
}

Statement& Statement::run() {
    while (row()) {
    }
    if (ok()) {
        sqlite3_reset(statement_);
        next_ = 1;
    }
    return *this;
}

std::int64_t Statement::number(int column) const {
    return sqlite3_column_int64(statement_, column);
}

std::string Statement::text(int column) const {
    const void* const octets = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    if (octets == nullptr || size <= 0) return {};
    return {static_cast<const char*>(octets), static_cast<std::size_t>(size)};
}

bool Statement::null(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

bool Statement::ok() const noexcept {
    return code_ == SQLITE_OK;
}

boost::system::error_code Statement::error() const noexcept {
    if (ok()) return {};
    return store_error(code_);
}

result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path,
                                                 std::chrono::milliseconds busy, Access access) {
    sqlite3* handle = nullptr;
    const int mode = access == Access::read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    const int code = sqlite3_open_v2(path.c_str(), &handle, mode | SQLITE_OPEN_NOMUTEX, nullptr);
    std::unique_ptr<Database> database(new Database(handle));
    if (code != SQLITE_OK) return store_error(code);
    sqlite3_extended_result_codes(handle, 1);
    sqlite3_busy_timeout(handle, static_cast<int>(busy.count()));
    // A file that somebody else made must not run functions of its choice in our process.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    if (const auto error = database->exec("PRAGMA foreign_keys = ON")) return error;
    return database;
}

Database::~Database() {
    for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
    sqlite3_close_v2(handle_);
}

boost::system::error_code Database::exec(const char* sql) {
    const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return {};
    return store_error(code);
}

Statement Database::prepare(std::string_view sql) {
    if (const auto at = statements_.find(sql); at != statements_.end())
        return Statement(at->second, SQLITE_OK);
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code == SQLITE_OK) statements_.emplace(std::string(sql), statement);
    return Statement(statement, code);
}

Statement Database::prepare_once(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), 0,
                                        &statement, nullptr);
    return Statement(statement, code, Statement::Owner::statement);
}

result<std::int64_t> Database::number(std::string_view sql) {
    Statement statement = prepare(sql);
    const std::int64_t value = statement.row() ? statement.number(0) : 0;
    if (!statement.ok()) return statement.error();
    return value;
}

result<std::string> Database::text(std::string_view sql) {
    Statement statement = prepare(sql);
    std::string value = statement.row() ? statement.text(0) : std::string();
    if (!statement.ok()) return statement.error();
    return value;
}

std::int64_t Database::last_insert_id() const noexcept {
    return sqlite3_last_insert_rowid(handle_);
}

std::string Database::message() const {
    return sqlite3_errmsg(handle_);
}

boost::system::error_code copy_database(const std::filesystem::path& from,
                                        const std::filesystem::path& to,
                                        const std::function<bool()>& stopping) {
    constexpr std::chrono::milliseconds busy{5000};
    constexpr int pages = 256;  // A piece: 1 MiB
    const auto source = Database::open(from, busy);
    if (!source) return source.error();
    const auto target = Database::open(to, busy);
    if (!target) return target.error();
    // Within one read transaction: a change meanwhile would else begin the copy anew, time and
    // again.
    if (const auto error = (*source)->exec("BEGIN")) return error;
    if (const auto seen = (*source)->number("SELECT count(*) FROM sqlite_schema"); !seen)
        return seen.error();
    sqlite3_backup* const copy =
        sqlite3_backup_init((*target)->handle_, "main", (*source)->handle_, "main");
    if (copy == nullptr) return store_error(sqlite3_errcode((*target)->handle_));
    int code = SQLITE_OK;
    bool stopped = false;
    while (code == SQLITE_OK && !stopped) {
        code = sqlite3_backup_step(copy, pages);
        stopped = stopping && stopping();
    }
    (void)sqlite3_backup_finish(copy);
    if (code != SQLITE_DONE) return stopped ? AuthError::store_io : store_error(code);
    return (*source)->exec("COMMIT");
}

ReadTransaction::ReadTransaction(Database& database)
    : database_(database), begun_(database.prepare("BEGIN").run().error()) {}

ReadTransaction::~ReadTransaction() {
    // It wrote nothing: there is nothing that could fail to be kept.
    if (!begun_) (void)database_.prepare("COMMIT").run().error();
}

Transaction::Transaction(Database& database)
    : database_(database), begun_(database.exec("BEGIN IMMEDIATE")) {
    open_ = !begun_;
}

Transaction::~Transaction() {
    // Where SQLite rolled back by itself this fails, which changes nothing.
    if (open_) (void)database_.exec("ROLLBACK");
}

boost::system::error_code Transaction::commit() {
    const boost::system::error_code error = database_.exec("COMMIT");
    if (!error) open_ = false;
    return error;
}

}  // namespace postern::auth
