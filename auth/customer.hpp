#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "auth/account.hpp"

namespace postern::auth {

/// Who owns accounts and domains, and shares a plan and modes of rules among them.
struct CustomerRecord {
    std::int64_t id = 0;
    std::string name;
    std::vector<std::string> domains;  ///< Normalised, sorted; no two customers have the same.
    std::string plan;           ///< Of accounts without one of their own; empty: default_plan.
    std::string contact;        ///< An address; empty: none.
    std::string abuse_contact;  ///< Likewise.
    std::map<std::string, std::string> rules;  ///< rule -> enforce observe off
    Time created;
    std::uint64_t accounts = 0;  ///< How many it has.
};

/// What is unset stays as it is (of a new customer: empty).
struct CustomerChange {
    std::optional<std::vector<std::string>> domains;  ///< The whole new list.
    std::optional<std::string> plan;
    std::optional<std::string> contact;
    std::optional<std::string> abuse_contact;
    std::map<std::string, std::string> rules;  ///< Merged; an empty mode takes the exception back.
};

struct CustomerPage {
    std::vector<CustomerRecord> items;
    std::optional<std::string> next;  ///< The cursor for the next page; unset: this was the last.
};

}  // namespace postern::auth
