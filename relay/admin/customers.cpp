// /api/v1/customer: who owns accounts and domains.
#include <fmt/format.h>

#include "auth/account_store.hpp"
#include "relay/admin/account_parts.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/suppression/lists.hpp"

namespace postern::relay::admin {
namespace {

Json item(const auth::CustomerRecord& c) {
    Json out;
    out["customer"] = c.name;
    out["domains"] = c.domains;
    out["plan"] = text_or_null(c.plan);
    out["contact"] = text_or_null(c.contact);
    out["abuse_contact"] = text_or_null(c.abuse_contact);
    out["rules"] = c.rules;
    out["accounts"] = c.accounts;
    out["created"] = time_or_null(c.created);
    return out;
}

Checked<auth::CustomerChange> read_change(const Ports& ports, Fields& fields) {
    auth::CustomerChange change;
    auto domains = fields.texts("domains");
    if (!domains) return domains.error();
    change.domains = std::move(*domains);
    const std::pair<const char*, std::optional<std::string>*> texts[] = {
        {"plan", &change.plan},
        {"contact", &change.contact},
        {"abuse_contact", &change.abuse_contact}};
    for (const auto& [name, into] : texts) {
        auto text = fields.text(name);
        if (!text) return text.error();
        *into = std::move(*text);
    }
    auto rules = fields.pairs("rules");
    if (!rules) return rules.error();
    change.rules = std::move(*rules);
    if (const auto done = fields.done(); !done) return done.error();
    if (const auto known = check_plan(ports, change.plan.value_or("")); !known)
        return known.error();
    if (const auto known = check_rules(change.rules); !known) return known.error();
    return change;
}

/// What changed, for event `admin`.
std::vector<std::pair<std::string, std::string>> told(const auth::CustomerChange& c) {
    std::vector<std::pair<std::string, std::string>> out;
    if (c.domains) out.emplace_back("domains", joined(*c.domains));
    if (c.plan) out.emplace_back("plan", *c.plan);
    if (c.contact) out.emplace_back("contact", *c.contact);
    if (c.abuse_contact) out.emplace_back("abuse_contact", *c.abuse_contact);
    if (!c.rules.empty()) out.emplace_back("rule", joined(c.rules));
    return out;
}

class CustomerCall {
  public:
    CustomerCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), store_(*ports.accounts) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        const std::vector<std::string> names = s.texts("customer");
        const std::string cursor = s.text("cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const auto page = store_.list_customers(names, cursor, *limit);
        if (!page) return from_store(page.error());
        Json out;
        out["items"] = Json::array();
        for (const auth::CustomerRecord& c : page->items) out["items"].push_back(item(c));
        out["next"] = page->next ? Json(*page->next) : Json(nullptr);
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> show(const std::string& name) const {
        const auto found = store_.show_customer(name);
        if (!found) return from_store(found.error());
        return Answer{item(*found)};
    }

    [[nodiscard]] Checked<Answer> add() const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto name = fields->text("customer");
        if (!name) return name.error();
        if (!*name) return invalid("is missing; send a name", "customer");
        const auto wanted = read_change(ports_, *fields);
        if (!wanted) return wanted.error();
        const auto added = store_.add_customer(**name, *wanted, ports_.now());
        if (!added) return from_store(added.error());
        tell(ports_, request_, "customer_add", added->name, told(*wanted));
        return changed(*added);
    }

    [[nodiscard]] Checked<Answer> set(const std::string& name) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto wanted = read_change(ports_, *fields);
        if (!wanted) return wanted.error();
        const auto altered = store_.set_customer(name, *wanted);
        if (!altered) return from_store(altered.error());
        tell(ports_, request_, "customer_set", altered->name, told(*wanted));
        return changed(*altered);
    }

    [[nodiscard]] Checked<Answer> remove(const std::string& name) const {
        if (const auto removed = store_.remove_customer(name); !removed)
            return from_store(removed.error());
        // Its rows went with it.
        if (ports_.suppression != nullptr)
            ports_.suppression->forget({.customer = name, .account = {}});
        tell(ports_, request_, "customer_remove", name);
        return Answer{Json{{"matched", 1}, {"changed", 1}, {"failed", 0}}};
    }

  private:
    static Answer changed(const auth::CustomerRecord& customer) {
        Json out{{"matched", 1}, {"changed", 1}, {"failed", 0}};
        out.update(item(customer));
        return Answer{std::move(out)};
    }

    const Ports& ports_;
    const Request& request_;
    auth::AccountStore& store_;
};

}  // namespace

Checked<Answer> customer_endpoint(const Ports& ports, const Request& request,
                                  std::span<const std::string> rest) {
    if (ports.accounts == nullptr) return not_ready("the account store is not open");
    const CustomerCall call(ports, request);
    const std::string& method = request.method;
    if (rest.empty()) {
        if (method == "GET") return call.list();
        return method == "POST" ? call.add() : no_such_method(request);
    }
    if (rest.size() != 1) return no_such_path();
    if (method == "GET") return call.show(rest[0]);
    if (method == "PATCH") return call.set(rest[0]);
    return method == "DELETE" ? call.remove(rest[0]) : no_such_method(request);
}

}  // namespace postern::relay::admin
