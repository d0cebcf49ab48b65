#pragma once

#include <optional>
#include <string>
#include <vector>

#include "auth/account.hpp"

namespace postern::auth {

/// Whose list of suppressed recipients: a customer's, or an account's own. One of them is set.
struct ListOwner {
    std::string customer;
    std::string account;  ///< Normalised.
};

/// A recipient on a list.
struct SuppressedRow {
    ListOwner owner;
    std::string rcpt;  ///< Normalised.
    Time since;
    std::optional<Time> until;  ///< Unset: until it is taken off by hand.
    std::string enhanced;       ///< "5.1.1"; empty: put there by hand.
    std::string ref;            ///< Of the mail that bounced; empty: none.
};

/// ORed within a list; owners of either kind make one list. Empty: no condition.
struct SuppressedFilter {
    std::vector<std::string> customers;
    std::vector<std::string> accounts;  ///< Normalised.
    std::vector<std::string> rcpts;     ///< Normalised, or `@DOMAIN`.
};

struct SuppressedPage {
    std::vector<SuppressedRow> items;
    std::optional<std::string> next;  ///< The cursor for the next page; unset: this was the last.
};

}  // namespace postern::auth
