#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/customer.hpp"
#include "auth/sqlite.hpp"

namespace postern::auth {

/// Reads a customer with all that belongs to it; unset where there is none.
[[nodiscard]] result<std::optional<CustomerRecord>> read_customer(Database& database,
                                                                  std::string_view name);
/// In order of name, behind `cursor`.
[[nodiscard]] result<std::vector<std::string>> read_customer_names(Database& database,
                                                                   std::string_view cursor,
                                                                   std::size_t limit);

// Parts of a change, inside the caller's transaction. What comes in is checked and normalised.
[[nodiscard]] result<std::int64_t> insert_customer(Database& database, std::string_view name,
                                                   Time now);
/// domain_taken where another customer has one.
[[nodiscard]] boost::system::error_code write_customer_change(Database& database, std::int64_t id,
                                                              const CustomerChange& change);
[[nodiscard]] boost::system::error_code delete_customer(Database& database, std::int64_t id);
/// A new version for all accounts of it, so that nothing remembered of them holds any more.
[[nodiscard]] boost::system::error_code touch_accounts_of(Database& database, std::int64_t id,
                                                          std::int64_t version);

}  // namespace postern::auth
