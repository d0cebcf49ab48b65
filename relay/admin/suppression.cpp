// /api/v1/suppression: recipients that are refused because they bounced, or by hand.
#include <algorithm>

#include <fmt/format.h>

#include "auth/account_store.hpp"
#include "proto/address.hpp"
#include "relay/admin/account_parts.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/suppression/lists.hpp"

namespace postern::relay::admin {
namespace {

using suppression::Owner;

Json suppressed_item(const auth::SuppressedRow& row) {
    Json out;
    out["customer"] = text_or_null(row.owner.customer);
    out["account"] = text_or_null(row.owner.account);
    out["rcpt"] = row.rcpt;
    out["since"] = time_or_null(row.since);
    out["until"] = time_or_null(row.until);
    out["enhanced"] = text_or_null(row.enhanced);
    out["ref"] = text_or_null(row.ref);
    return out;
}

const std::string& owner_name(const Owner& owner) {
    return owner.customer.empty() ? owner.account : owner.customer;
}

/// An address in its form, or `@DOMAIN`.
std::string rcpt_selector(const std::string& text) {
    if (text.starts_with('@')) return "@" + proto::normalised_domain(text.substr(1));
    return proto::normalised_address(text);
}

class SuppressionCall {
  public:
    SuppressionCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), lists_(*ports.suppression), store_(*ports.accounts) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        const std::vector<std::string> customers = s.texts("customer");
        const std::vector<std::string> accounts = s.texts("account");
        auth::SuppressedFilter filter;
        for (const std::string& rcpt : s.texts("rcpt")) filter.rcpts.push_back(rcpt_selector(rcpt));
        const std::string cursor = s.text("cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        filter.customers = customers;
        if (!accounts.empty()) {
            filter.customers.clear();
            for (const std::string& account : accounts) {
                const auto owner = holding_for(account);
                if (!owner) return owner.error();
                const bool wanted =
                    customers.empty() ||
                    std::ranges::find(customers, owner->customer) != customers.end();
                if (!wanted) continue;
                if (owner->customer.empty()) {
                    filter.accounts.push_back(owner->account);
                } else {
                    filter.customers.push_back(owner->customer);
                }
            }
            if (filter.customers.empty() && filter.accounts.empty()) return listed({});
        }
        const auto page = lists_.list(filter, cursor, *limit, ports_.now());
        if (!page) return from_store(page.error());
        return listed(*page);
    }

    [[nodiscard]] Checked<Answer> add() const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto customer = fields->text("customer");
        if (!customer) return customer.error();
        const auto account = fields->text("account");
        if (!account) return account.error();
        const auto rcpt = fields->text("rcpt");
        if (!rcpt) return rcpt.error();
        if (const auto done = fields->done(); !done) return done.error();
        if (customer->has_value() == account->has_value())
            return invalid("send the one or the other", "customer");
        const auto owner = *account ? holding_for(**account)
                                    : Checked<Owner>(Owner{.customer = **customer, .account = {}});
        if (!owner) return owner.error();
        const auto normalised = address(rcpt->value_or(""));
        if (!normalised) return normalised.error();
        const auto added = lists_.add(*owner, *normalised, ports_.now());
        if (!added) return from_store(added.error());
        tell(ports_, request_, "suppression_add", owner_name(*owner), {{"rcpt", *normalised}});
        Json out{{"matched", 1}, {"changed", 1}, {"failed", 0}};
        auth::SuppressedRow row{.owner = {},
                                .rcpt = *normalised,
                                .since = added->since,
                                .until = added->until,
                                .enhanced = added->enhanced,
                                .ref = added->ref};
        row.owner.customer = owner->customer;
        if (owner->customer.empty()) row.owner.account = owner->account;
        out.update(suppressed_item(row));
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> remove(const std::string& name, const std::string& rcpt) const {
        Selectors s(request_.query, ports_.now());
        if (const auto done = s.done(); !done) return done.error();
        const auto owner = named(name);
        if (!owner) return owner.error();
        const auto normalised = address(rcpt);
        if (!normalised) return normalised.error();
        const auto gone = lists_.remove(*owner, *normalised);
        if (!gone) return from_store(gone.error());
        if (*gone == 0)
            return not_found(
                fmt::format("the recipient is not on the list of {}", owner_name(*owner)));
        tell(ports_, request_, "suppression_remove", owner_name(*owner), {{"rcpt", *normalised}});
        return changed(*gone);
    }

    [[nodiscard]] Checked<Answer> remove_all(const std::string& name) const {
        Selectors s(request_.query, ports_.now());
        const bool all = s.flag("all");
        if (const auto done = s.done(); !done) return done.error();
        if (!all) return invalid("name a recipient, or say all=true", "all");
        const auto owner = named(name);
        if (!owner) return owner.error();
        if (!owner->account.empty() && !owner->customer.empty()) {
            return Problem(
                409, "conflict",
                fmt::format("the account's list is that of its customer: name {}", owner->customer),
                "account");
        }
        const auto gone = lists_.remove(*owner, std::nullopt);
        if (!gone) return from_store(gone.error());
        tell(ports_, request_, "suppression_remove", owner_name(*owner),
             {{"removed", std::to_string(*gone)}});
        return changed(*gone);
    }

  private:
    /// Whose list holds for that account: its customer's, which is then named beside it.
    [[nodiscard]] Checked<Owner> holding_for(const std::string& name) const {
        const auto account = store_.find(name);
        if (!account) return from_store(account.error());
        return Owner{.customer = (*account)->customer, .account = (*account)->name};
    }

    /// Accounts have an @, customers do not.
    [[nodiscard]] Checked<Owner> named(const std::string& name) const {
        if (name.contains('@')) return holding_for(name);
        return Owner{.customer = name, .account = {}};
    }

    [[nodiscard]] static Checked<std::string> address(const std::string& rcpt) {
        std::string normalised = suppression::normalised_rcpt(rcpt);
        if (normalised.empty())
            return invalid("is no address; write one like \"bob@example.org\"", "rcpt");
        return Checked<std::string>(boost::system::in_place_value, std::move(normalised));
    }

    [[nodiscard]] static Answer listed(const auth::SuppressedPage& page) {
        Json out;
        out["items"] = Json::array();
        for (const auth::SuppressedRow& row : page.items)
            out["items"].push_back(suppressed_item(row));
        out["next"] = page.next ? Json(*page.next) : Json(nullptr);
        return Answer{std::move(out)};
    }

    [[nodiscard]] static Answer changed(std::uint64_t count) {
        return Answer{Json{{"matched", count}, {"changed", count}, {"failed", 0}}};
    }

    const Ports& ports_;
    const Request& request_;
    suppression::Lists& lists_;
    auth::AccountStore& store_;
};

}  // namespace

Checked<Answer> suppression_endpoint(const Ports& ports, const Request& request,
                                     std::span<const std::string> rest) {
    if (ports.suppression == nullptr || ports.accounts == nullptr)
        return not_ready("the account store is not open");
    const SuppressionCall call(ports, request);
    const std::string& method = request.method;
    if (rest.empty()) {
        if (method == "GET") return call.list();
        return method == "POST" ? call.add() : no_such_method(request);
    }
    if (rest.size() > 2) return no_such_path();
    if (method != "DELETE") return no_such_method(request);
    return rest.size() == 1 ? call.remove_all(rest[0]) : call.remove(rest[0], rest[1]);
}

}  // namespace postern::relay::admin
