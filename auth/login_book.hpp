#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "auth/account.hpp"
#include "auth/sqlite.hpp"

namespace postern::auth {

/// Right logins that wait to be written: one entry an (account, source, credential), however often
/// it logs in.
/// Bounded, thread-safe.
class LoginBook {
  public:
    struct Entry {
        std::string account;
        std::string source;
        std::string credential;
        Time t;
    };
    explicit LoginBook(std::size_t capacity) : capacity_(capacity) {}

    void note(Entry entry);
    using Used = std::map<std::string, AccountView::Used, std::less<>>;
    /// The latest login by credential, of those noted and not yet known to be written.
    [[nodiscard]] Used latest(std::string_view account) const;
    /// Writes all and forgets it; keeps it where writing failed.
    [[nodiscard]] boost::system::error_code write(Database& database, Time forget_before);

  private:
    using Pairs = std::map<std::tuple<std::string, std::string, std::string>, Entry>;
    std::size_t capacity_;
    mutable std::mutex mutex_;
    Pairs pairs_;  ///< Ordered by account: latest() reads a range.
    Pairs being_written_;
};

[[nodiscard]] result<LoginBook::Used> read_last_logins(Database& database, std::int64_t account_id);

}  // namespace postern::auth
