// The account store's customers.
#include <algorithm>
#include <iterator>

#include "auth/account_store_impl.hpp"
#include "auth/customer_rows.hpp"
#include "proto/address.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t longest_name = 64;

bool valid_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= longest_name && std::ranges::none_of(name, [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
    });
}

/// Checks and normalises what was asked for.
Outcome prepare(CustomerChange& change) {
    for (const auto* contact : {&change.contact, &change.abuse_contact}) {
        if (*contact && !(*contact)->empty() && !proto::parse_mailbox(**contact, true))
            return AuthError::invalid_contact;
    }
    for (const auto& [rule, mode] : change.rules) {
        const bool known = mode.empty() || mode == "enforce" || mode == "observe" || mode == "off";
        if (rule.empty() || !known) return AuthError::invalid_rule;
    }
    if (!change.domains) return {};
    for (std::string& domain : *change.domains) {
        if (!proto::parse_mailbox("x@" + domain, true)) return AuthError::invalid_domain;
        domain = proto::normalised_domain(domain);
    }
    std::ranges::sort(*change.domains);
    const auto twice = std::ranges::unique(*change.domains);
    change.domains->erase(twice.begin(), twice.end());
    return {};
}

}  // namespace

result<std::optional<CustomerRecord>> AccountStore::Impl::customer(std::string_view name) {
    const std::scoped_lock lock(reader_mutex_);
    return read_customer(*reader_, name);
}

result<std::vector<std::string>> AccountStore::Impl::customer_names(std::string_view cursor,
                                                                    std::size_t limit) {
    const std::scoped_lock lock(reader_mutex_);
    return read_customer_names(*reader_, cursor, limit);
}

result<std::optional<CustomerRecord>> AccountStore::Impl::change_customer(
    const std::string& name, const CustomerBody& body) {
    const std::scoped_lock lock(writer_mutex_);
    Transaction transaction(*writer_);
    if (transaction.begun()) return transaction.begun();
    const auto before = read_customer(*writer_, name);
    if (!before) return before.error();
    if (const Outcome error = body(*writer_, *before)) return error;
    const auto number = next_change(*writer_);
    if (!number) return number.error();
    auto after = read_customer(*writer_, name);
    if (!after) return after.error();
    if (*after) {
        if (const Outcome error = touch_accounts_of(*writer_, (*after)->id, *number)) return error;
    }
    if (const Outcome error = transaction.commit()) return error;
    cache_.customer_changed(name, static_cast<std::uint64_t>(*number));
    return after;
}

result<CustomerRecord> AccountStore::show_customer(std::string_view name) {
    auto found = impl_->customer(name);
    if (!found) return found.error();
    if (!*found) return AuthError::customer_not_found;
    return std::move(**found);
}

result<CustomerPage> AccountStore::list_customers(const std::vector<std::string>& names,
                                                  std::string_view cursor, std::size_t limit) {
    const std::size_t wanted = std::clamp<std::size_t>(limit, 1, max_page);
    CustomerPage page;
    std::vector<std::string> found;
    if (names.empty()) {
        auto read = impl_->customer_names(cursor, wanted + 1);
        if (!read) return read.error();
        found = std::move(*read);
    } else {
        std::ranges::copy_if(names, std::back_inserter(found),
                             [&](const std::string& name) { return name > cursor; });
        std::ranges::sort(found);
        const auto twice = std::ranges::unique(found);
        found.erase(twice.begin(), twice.end());
    }
    if (found.size() > wanted) {
        found.resize(wanted);
        page.next = found.back();
    }
    for (const std::string& name : found) {
        auto customer = show_customer(name);
        if (!customer && customer.error() == AuthError::customer_not_found) continue;
        if (!customer) return customer.error();
        page.items.push_back(std::move(*customer));
    }
    return page;
}

result<CustomerRecord> AccountStore::add_customer(const std::string& name, CustomerChange wanted,
                                                  Time now) {
    if (!valid_name(name)) return AuthError::invalid_customer;
    if (const Outcome error = prepare(wanted)) return error;
    auto added = impl_->change_customer(
        name, [&](Database& db, const std::optional<CustomerRecord>& there) -> Outcome {
            if (there) return AuthError::customer_exists;
            const auto id = insert_customer(db, name, now);
            if (!id) return id.error();
            return write_customer_change(db, *id, wanted);
        });
    if (!added) return added.error();
    return std::move(**added);
}

result<CustomerRecord> AccountStore::set_customer(const std::string& name, CustomerChange change) {
    if (const Outcome error = prepare(change)) return error;
    auto altered = impl_->change_customer(
        name, [&](Database& db, const std::optional<CustomerRecord>& there) -> Outcome {
            if (!there) return AuthError::customer_not_found;
            return write_customer_change(db, there->id, change);
        });
    if (!altered) return altered.error();
    return std::move(**altered);
}

result<void> AccountStore::remove_customer(const std::string& name) {
    const auto removed = impl_->change_customer(
        name, [&](Database& db, const std::optional<CustomerRecord>& there) -> Outcome {
            if (!there) return AuthError::customer_not_found;
            if (there->accounts > 0) return AuthError::customer_in_use;
            return delete_customer(db, there->id);
        });
    if (!removed) return removed.error();
    return {};
}

}  // namespace postern::auth
