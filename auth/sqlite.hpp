#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "auth/error.hpp"
#include "auth/lru.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace postern::auth {

/// What a code of SQLite means for the caller: store_locked, store_damaged or store_io.
[[nodiscard]] AuthError store_error(int sqlite_code) noexcept;

/// A prepared statement in use; its owner is the Database. Goes back to it, reset and unbound, when
/// this ends. The first error sticks: later calls do nothing and ok() tells.
class Statement {
  public:
    enum class Owner : std::uint8_t { database, statement };
    Statement(sqlite3_stmt* statement, int code, Owner owner = Owner::database) noexcept;
    ~Statement();
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    /// Binds the next parameter.
    Statement& bind(std::int64_t value);
    Statement& bind(std::string_view text);
    Statement& bind_blob(std::string_view octets);
    Statement& bind_null();
    /// True: a row is there. False: no more rows, or an error.
    [[nodiscard]] bool row();
    /// Runs a statement that yields no rows, and makes it ready for the next set of parameters.
    Statement& run();

    [[nodiscard]] std::int64_t number(int column) const;
    [[nodiscard]] std::string text(int column) const;  ///< Text or blob.
    [[nodiscard]] bool null(int column) const;
    [[nodiscard]] bool ok() const noexcept;
    [[nodiscard]] boost::system::error_code error() const noexcept;

  private:
    sqlite3_stmt* statement_;
    int code_;
    int next_ = 1;
    Owner owner_;
};

/// One connection to a file, for one thread at a time.
class Database {
  public:
    enum class Access : std::uint8_t { write, read };
    /// Opens the file (it must be there), sets the busy time-out and foreign keys.
    [[nodiscard]] static result<std::unique_ptr<Database>> open(const std::filesystem::path& path,
                                                                std::chrono::milliseconds busy,
                                                                Access access = Access::write);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    [[nodiscard]] boost::system::error_code exec(const char* sql);
    /// The statement is kept for the next use of the same text; the same text must not be in use
    /// twice.
    [[nodiscard]] Statement prepare(std::string_view sql);
    /// For text that is made anew each time.
    [[nodiscard]] Statement prepare_once(std::string_view sql);
    /// The first column of the first row, 0 where there is none.
    [[nodiscard]] result<std::int64_t> number(std::string_view sql);
    [[nodiscard]] result<std::string> text(std::string_view sql);
    [[nodiscard]] std::int64_t last_insert_id() const noexcept;
    /// SQLite's own sentence on what went wrong last.
    [[nodiscard]] std::string message() const;

  private:
    friend boost::system::error_code copy_database(const std::filesystem::path& from,
                                                   const std::filesystem::path& to,
                                                   const std::function<bool()>& stopping);
    explicit Database(sqlite3* handle) noexcept : handle_(handle) {}
    sqlite3* handle_;
    std::unordered_map<std::string, sqlite3_stmt*, TextHash, std::equal_to<>> statements_;
};

/// A copy of a database as it stands at one moment, while others read and write it (SQLite's
/// online backup). `to`: an empty file. `stopping` (may be empty) is asked between pieces: store_io
/// then. What was written is not synced.
[[nodiscard]] boost::system::error_code copy_database(const std::filesystem::path& from,
                                                      const std::filesystem::path& to,
                                                      const std::function<bool()>& stopping);

/// Several reads see one moment, and lock the file once. A connection that reads only.
class ReadTransaction {
  public:
    explicit ReadTransaction(Database& database);
    ~ReadTransaction();
    ReadTransaction(const ReadTransaction&) = delete;
    ReadTransaction& operator=(const ReadTransaction&) = delete;

    [[nodiscard]] boost::system::error_code begun() const noexcept { return begun_; }

  private:
    Database& database_;
    boost::system::error_code begun_;
};

/// BEGIN IMMEDIATE; rolled back where commit() was not reached.
class Transaction {
  public:
    explicit Transaction(Database& database);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;

    [[nodiscard]] boost::system::error_code begun() const noexcept { return begun_; }
    [[nodiscard]] boost::system::error_code commit();

  private:
    Database& database_;
    boost::system::error_code begun_;
    bool open_ = false;
};

}  // namespace postern::auth
