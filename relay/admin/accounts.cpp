// /api/v1/account: who may log in.
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <memory>

#include "auth/account_store.hpp"
#include "auth/random.hpp"
#include "auth/saslprep.hpp"
#include "relay/admin/account_parts.hpp"
#include "relay/admin/credentials.hpp"
#include "relay/admin/endpoints.hpp"
#include "relay/admin/imports.hpp"
#include "relay/admin/selectors.hpp"
#include "relay/event/event.hpp"

namespace postern::relay::admin {
namespace {

using auth::AccountRecord;
using auth::AccountStore;

Json list_item(const auth::AccountView& view) {
    const AccountRecord& a = *view.account;
    Json out;
    out["account"] = a.name;
    out["customer"] = text_or_null(a.customer);
    out["plan"] = a.plan;
    out["owns"] = a.owned.texts();
    out["state"] = a.state();
    out["created"] = time_or_null(a.created);
    out["last_login"] = time_or_null(view.last_login);
    out["last_source"] = text_or_null(view.last_source);
    return out;
}

Json limits_of(const Ports& ports, const std::string& plan) {
    Json out = Json::object();
    auto limits = ports.limits_of ? ports.limits_of(plan) : std::nullopt;
    // What holds where the configuration does not know the plan any more.
    if (!limits && ports.limits_of) limits = ports.limits_of(std::string(auth::default_plan));
    if (!limits) return out;
    const auto texts = [](const std::vector<policy::Window>& windows) {
        Json list = Json::array();
        for (const policy::Window& w : windows) list.push_back(w.text());
        return list;
    };
    out["messages"] = texts(limits->messages);
    out["recipients"] = texts(limits->recipients);
    return out;
}

Json whole(const Ports& ports, const auth::AccountView& view) {
    const AccountRecord& a = *view.account;
    Json out = list_item(view);
    out["authzids"] = a.authzids;
    out["credentials"] = credentials_of(ports, view);
    out["limits"] = limits_of(ports, a.plan);
    out["rules"] = a.rules;
    out["suspended"] = nullptr;
    if (a.suspended) {
        out["suspended"] = {{"t", time_or_null(a.suspended->t)},
                            {"rule", a.suspended->rule},
                            {"reasons", a.suspended->reasons},
                            {"text", a.suspended->text},
                            {"by", a.suspended->by}};
    }
    return out;
}

/// What `add` and `set` take alike.
struct Wanted {
    std::optional<proto::Secret> password;
    bool no_password = false;
    std::optional<std::string> customer, plan;
    std::optional<std::vector<std::string>> owns, authzids;
    std::map<std::string, std::string> rules;
};

Checked<void> check(const Ports& ports, const Wanted& w) {
    if (w.password && w.no_password)
        return invalid("contradicts no_password; send one of them", "password");
    constexpr std::size_t longest = 64;
    const bool bad_customer =
        w.customer && (w.customer->size() > longest || std::ranges::any_of(*w.customer, [](char c) {
                           return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
                       }));
    if (bad_customer) return invalid("must be at most 64 characters without spaces", "customer");
    if (const auto known = check_plan(ports, w.plan.value_or("")); !known) return known.error();
    return check_rules(w.rules);
}

Checked<Wanted> read_wanted(const Ports& ports, Fields& fields) {
    Wanted w;
    const auto password = fields.text("password");
    if (!password) return password.error();
    if (*password) w.password = proto::Secret(**password);
    const auto no_password = fields.flag("no_password");
    if (!no_password) return no_password.error();
    w.no_password = no_password->value_or(false);
    auto customer = fields.text("customer");
    if (!customer) return customer.error();
    w.customer = std::move(*customer);
    auto plan = fields.text("plan");
    if (!plan) return plan.error();
    w.plan = std::move(*plan);
    auto owns = fields.texts("owns");
    if (!owns) return owns.error();
    w.owns = std::move(*owns);
    auto authzids = fields.texts("authzids");
    if (!authzids) return authzids.error();
    w.authzids = std::move(*authzids);
    auto rules = fields.pairs("rules");
    if (!rules) return rules.error();
    w.rules = std::move(*rules);
    if (const auto done = fields.done(); !done) return done.error();
    if (const auto good = check(ports, w); !good) return good.error();
    return w;
}

/// What changed, for event `admin`; a secret only by its being there.
std::vector<std::pair<std::string, std::string>> told(const Wanted& w) {
    std::vector<std::pair<std::string, std::string>> out;
    if (w.password) out.emplace_back("password", "set");
    if (w.no_password) out.emplace_back("password", "none");
    if (w.customer) out.emplace_back("customer", *w.customer);
    if (w.plan) out.emplace_back("plan", *w.plan);
    if (w.owns) out.emplace_back("owns", joined(*w.owns));
    if (w.authzids) out.emplace_back("authzids", joined(*w.authzids));
    if (!w.rules.empty()) out.emplace_back("rule", joined(w.rules));
    return out;
}

class AccountCall {
  public:
    AccountCall(const Ports& ports, const Request& request)
        : ports_(ports), request_(request), store_(*ports.accounts) {}

    [[nodiscard]] Checked<Answer> list() const {
        Selectors s(request_.query, ports_.now());
        auth::AccountFilter filter{s.texts("account"), s.texts("customer"), s.texts("state")};
        for (const std::string& state : filter.states) {
            if (state != "active" && state != "suspended")
                return invalid("is active or suspended", "state");
        }
        const std::string cursor = s.text("cursor");
        const auto limit = s.number("limit", default_page, largest_page);
        if (!limit) return limit.error();
        if (const auto done = s.done(); !done) return done.error();
        const auto page = store_.list(filter, cursor, *limit);
        if (!page) return from_store(page.error());
        Json out;
        out["items"] = Json::array();
        for (const auth::AccountView& view : page->items) out["items"].push_back(list_item(view));
        out["next"] = page->next ? Json(*page->next) : Json(nullptr);
        return Answer{std::move(out)};
    }

    [[nodiscard]] Checked<Answer> show(const std::string& name) const {
        const auto view = store_.show(name);
        if (!view) return from_store(view.error());
        return Answer{whole(ports_, *view)};
    }

    [[nodiscard]] Checked<Answer> add() const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto name = fields->text("account");
        if (!name) return name.error();
        if (!*name) return invalid("is missing; send an address", "account");
        auto wanted = read_wanted(ports_, *fields);
        if (!wanted) return wanted.error();
        const bool generate = !wanted->password && !wanted->no_password;
        if (generate) wanted->password = auth::generate_password(auth::system_random());
        auth::NewAccount account;
        account.name = **name;
        account.password = wanted->password;
        account.customer = wanted->customer.value_or("");
        account.plan = wanted->plan.value_or("");
        account.owns = wanted->owns.value_or(std::vector<std::string>());
        account.rules = wanted->rules;
        account.authzids = wanted->authzids.value_or(std::vector<std::string>());
        if (const auto free = no_frozen_mail(account.name); !free) return free.error();
        const auto added = store_.add(account, ports_.now());
        if (!added) return from_store(added.error());
        tell(ports_, request_, "account_add", (*added)->name, told(*wanted));
        return changed((*added)->name, generate ? wanted->password : std::nullopt);
    }

    [[nodiscard]] Checked<Answer> set(const std::string& name) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        auto wanted = read_wanted(ports_, *fields);
        if (!wanted) return wanted.error();
        auth::AccountChange change;
        change.password = wanted->password;
        change.drop_password = wanted->no_password;
        change.customer = wanted->customer;
        change.plan = wanted->plan;
        change.owns = wanted->owns;
        change.rules = wanted->rules;
        change.authzids = wanted->authzids;
        const auto altered = store_.set(name, change, ports_.now());
        if (!altered) return from_store(altered.error());
        tell(ports_, request_, "account_set", (*altered)->name, told(*wanted));
        if (wanted->password) tell_password((*altered)->name);
        return changed((*altered)->name);
    }

    [[nodiscard]] Checked<Answer> passwd(const std::string& name) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto given = fields->text("password");
        if (!given) return given.error();
        if (const auto done = fields->done(); !done) return done.error();
        const proto::Secret password =
            *given ? proto::Secret(**given) : auth::generate_password(auth::system_random());
        const auto altered = store_.passwd(name, password, ports_.now());
        if (!altered) return from_store(altered.error());
        tell(ports_, request_, "account_passwd", (*altered)->name);
        tell_password((*altered)->name);
        return changed((*altered)->name, *given ? std::nullopt : std::optional(password));
    }

    [[nodiscard]] Checked<Answer> suspend(const std::string& name) const {
        auto fields = Fields::parse(request_.body);
        if (!fields) return fields.error();
        const auto text = fields->text("text");
        if (!text) return text.error();
        if (const auto done = fields->done(); !done) return done.error();
        auth::SuspensionRequest why;
        why.text = text->value_or("");
        why.by = request_.who;
        if (!request_.reason.empty()) why.reasons.push_back(request_.reason);
        const auto altered = store_.suspend(name, why, ports_.now());
        if (!altered) return from_store(altered.error());
        std::vector<std::pair<std::string, std::string>> told;
        if (!why.text.empty()) told.emplace_back("text", why.text);
        tell(ports_, request_, "account_suspend", (*altered)->name, std::move(told));
        if (const auto frozen = freezing_recorded(); !frozen) return frozen.error();
        return changed((*altered)->name);
    }

    [[nodiscard]] Checked<Answer> release(const std::string& name) const {
        const auto found = store_.find(name);
        if (!found) return from_store(found.error());
        const std::string account = (*found)->name;
        // Mail may be frozen without a suspension: an account of that name was removed with one.
        const bool was_frozen = frozen(account);
        const auto released = store_.release(
            account, was_frozen ? AccountStore::IfActive::tell : AccountStore::IfActive::nothing);
        if (!released) return from_store(released.error());
        if (*released == AccountStore::Released::was_not_suspended && !was_frozen) {
            return Problem{409, "conflict", "the account is not suspended", "account"};
        }
        tell(ports_, request_, "account_release", account);
        if (ports_.events != nullptr) ports_.events->emit(event::Release{account});
        if (const auto thawed = freezing_recorded(); !thawed) return thawed.error();
        return changed(account);
    }

    [[nodiscard]] Checked<Answer> remove(const std::string& name) const {
        const auto found = store_.find(name);
        if (!found) return from_store(found.error());
        if (const auto removed = store_.remove(name); !removed) return from_store(removed.error());
        tell(ports_, request_, "account_remove", (*found)->name);
        return Answer{Json{{"matched", 1}, {"changed", 1}, {"failed", 0}}};
    }

  private:
    /// What a change answers with: how many it met, the account as it is now, and a password that
    /// was made.
    Checked<Answer> changed(const std::string& name,
                            const std::optional<proto::Secret>& generated = {}) const {
        const auto view = store_.show(name);
        if (!view) return from_store(view.error());
        Json out{{"matched", 1}, {"changed", 1}, {"failed", 0}};
        out.update(whole(ports_, *view));
        if (generated) out["password"] = generated->reveal();
        return Answer{std::move(out)};
    }

    void tell_password(const std::string& account) const {
        if (ports_.events != nullptr) ports_.events->emit(event::Password{account});
    }

    /// Whoever hears of the store's changes has frozen or thawed the mail by now, in their order:
    /// to do it here once more might be out of order. Without a spool (a stopped relay) `serve`
    /// does it when it starts.
    Checked<void> freezing_recorded() const {
        if (ports_.spool == nullptr) return {};
        const auto done = std::make_shared<std::promise<boost::system::result<void>>>();
        auto outcome = done->get_future();
        ports_.spool->record_frozen([done](boost::system::result<void> r) { done->set_value(r); });
        const auto result = outcome.get();
        if (result) return {};
        return internal(fmt::format("the account is changed, but the queue could not record it: {}",
                                    result.error().message()));
    }

    bool frozen(const std::string& account) const {
        if (ports_.spool == nullptr) return false;
        return std::ranges::binary_search(ports_.spool->frozen_accounts(), account);
    }

    /// Mail of an account that was removed while it was suspended is nobody's to send: it stays
    /// frozen, and would hold back the mail of a new account of that name, too.
    Checked<void> no_frozen_mail(const std::string& given) const {
        const std::string account = auth::normalised_login(given).value_or("");
        if (!frozen(account) || store_.find(account)) return {};
        EntrySelector left;
        left.accounts = {account};
        left.states = {EntryState::frozen, EntryState::active};
        std::size_t count = 0;
        std::string after;
        for (;;) {
            const auto page = ports_.spool->list(left, largest_page, after);
            count += page.size();
            if (page.size() < largest_page) break;
            after = page.back().id;
        }
        if (count == 0) return {};
        return Problem{409, "conflict",
                       fmt::format("{} message{} of a suspended account of that name that was "
                                   "removed {} frozen; take {} out first: postern queue drop "
                                   "--account {}",
                                   count, count == 1 ? "" : "s", count == 1 ? "is" : "are",
                                   count == 1 ? "it" : "them", account),
                       "account"};
    }

    const Ports& ports_;
    const Request& request_;
    AccountStore& store_;
};

}  // namespace

Checked<Answer> account_endpoint(const Ports& ports, const Request& request,
                                 std::span<const std::string> rest) {
    if (ports.accounts == nullptr) return not_ready("the account store is not open");
    ports.imports->expire(ports.now());
    const AccountCall call(ports, request);
    const std::string& method = request.method;
    if (rest.empty()) {
        if (method == "GET") return call.list();
        return method == "POST" ? call.add() : no_such_method(request);
    }
    const std::string& name = rest[0];
    if (rest.size() == 1) {
        // No account has such a name: it is no address.
        if (name == "import")
            return method == "POST" ? import_endpoint(ports, request) : no_such_method(request);
        if (method == "GET") return call.show(name);
        if (method == "PATCH") return call.set(name);
        return method == "DELETE" ? call.remove(name) : no_such_method(request);
    }
    if (rest[1] == "credential") return credential_endpoint(ports, request, name, rest.subspan(2));
    if (rest.size() != 2) return no_such_path();
    const bool known = rest[1] == "passwd" || rest[1] == "suspend" || rest[1] == "release";
    if (!known) return no_such_path();
    if (method != "POST") return no_such_method(request);
    if (rest[1] == "passwd") return call.passwd(name);
    return rest[1] == "suspend" ? call.suspend(name) : call.release(name);
}

}  // namespace postern::relay::admin
