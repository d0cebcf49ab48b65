#pragma once

#include <chrono>
#include <string_view>

#include "auth/account.hpp"
#include "auth/account_store.hpp"
#include "auth/sqlite.hpp"

namespace postern::auth {

[[nodiscard]] inline std::int64_t to_ms(Time t) noexcept {
    return std::chrono::duration_cast<std::chrono::milliseconds>(t.time_since_epoch()).count();
}
[[nodiscard]] inline Time from_ms(std::int64_t ms) noexcept {
    return Time(std::chrono::milliseconds(ms));
}

/// Reads the account with all that belongs to it; null where there is none. store_damaged where a
/// row makes no sense.
[[nodiscard]] result<AccountPtr> read_account(Database& database, std::string_view normalised);

/// As long as `read_account` takes with an account that is there, where `normalised` is not: reads
/// what is kept of another one.
[[nodiscard]] boost::system::error_code read_in_vain(Database& database,
                                                     std::string_view normalised);

/// A customer's modes of rules.
[[nodiscard]] result<std::map<std::string, std::string>> read_customer_rules(Database& database,
                                                                             std::int64_t id);

// Parts of a change, inside the caller's transaction.
using Outcome = boost::system::error_code;
[[nodiscard]] result<std::int64_t> next_change(Database& database);
[[nodiscard]] result<std::int64_t> insert_account(Database& database, std::string_view normalised,
                                                  Time now);
[[nodiscard]] Outcome write_version(Database& database, std::int64_t id, std::int64_t version);
[[nodiscard]] Outcome write_customer(Database& database, std::int64_t id, std::string_view customer,
                                     Time now);
[[nodiscard]] Outcome write_plan(Database& database, std::int64_t id, std::string_view plan);
[[nodiscard]] Outcome write_owned(Database& database, std::int64_t id, const Owned& owned);
[[nodiscard]] Outcome write_rules(Database& database, std::int64_t id,
                                  const std::map<std::string, std::string>& rules);
[[nodiscard]] Outcome write_authzids(Database& database, std::int64_t id,
                                     const std::vector<std::string>& names);
/// In place of one of that name; `id` and `created` of the credential are not read.
[[nodiscard]] Outcome write_credential(Database& database, std::int64_t id,
                                       const Credential& credential, Time now);
/// Puts a verifier in the place of its hash: the row, and so the proof, stays the same one.
[[nodiscard]] Outcome write_adopted(Database& database, std::int64_t id, std::string_view name,
                                    const Verifier& verifier);
/// Of the credential with that number.
[[nodiscard]] Outcome write_scram_sha1(Database& database, std::int64_t credential_id,
                                       std::string_view text);
/// What is known of its use stays: it is asked for just then.
[[nodiscard]] Outcome delete_credential(Database& database, std::int64_t id, std::string_view name);
[[nodiscard]] Outcome write_suspension(Database& database, std::int64_t id,
                                       const SuspensionRequest& why, Time now);
[[nodiscard]] Outcome delete_suspension(Database& database, std::int64_t id);
[[nodiscard]] Outcome delete_account(Database& database, std::int64_t id);

}  // namespace postern::auth
