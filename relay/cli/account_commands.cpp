// postern account ...
#include <fmt/format.h>

#include "auth/account.hpp"
#include "relay/cli/commands.hpp"
#include "relay/cli/secret_input.hpp"

namespace postern::relay::cli {
namespace {

/// What `add` and `set` take.
struct WantedAccount {
    std::string account;
    bool password_stdin = false;
    bool no_password = false;
    std::optional<std::string> customer, plan;
    std::vector<std::string> owns, authzids, rules;
};

class AccountCommands {
  public:
    explicit AccountCommands(Context& context) : c_(context) {}

    Exit add(const WantedAccount& w) {
        auto body = read(w);
        if (!body) return Exit::usage;
        (*body)["account"] = w.account;
        const Exit exit = change("POST", {"account"}, w.account, std::move(*body));
        return w.no_password ? exit : warn_if_unasked(c_, exit);
    }

    Exit set(const WantedAccount& w) {
        auto body = read(w);
        if (!body) return Exit::usage;
        if (body->empty())
            return c_.out.fault(Exit::usage, "account set",
                                "say what to set; see: postern account set --help");
        const Exit exit = change("PATCH", {"account", w.account}, w.account, std::move(*body));
        return w.password_stdin ? warn_if_unasked(c_, exit) : exit;
    }

    Exit passwd(const WantedAccount& w) {
        auto body = read(w);
        if (!body) return Exit::usage;
        return warn_if_unasked(
            c_, change("POST", {"account", w.account, "passwd"}, w.account, std::move(*body)));
    }

    Exit act(const std::string& account, const std::string& verb, Json body) {
        if (!is_address(c_, account)) return Exit::usage;
        const std::string method = verb == "remove" ? "DELETE" : "POST";
        std::vector<std::string> path = {"account", account};
        if (verb != "remove") path.push_back(verb);
        return change(method, std::move(path), account, std::move(body));
    }

    Exit show(const std::string& account) {
        if (!is_address(c_, account)) return Exit::usage;
        Call call;
        call.path = {"account", account};
        return c_.perform(Way::reading, config::Need::a_file, account, std::move(call),
                          [this](const Json& a) {
                              print(a);
                              return Exit::done;
                          });
    }

    Exit list(const SelectorOptions& selectors) {
        Call call;
        call.path = {"account"};
        selectors.add_to(call.query);
        std::vector<std::vector<std::string>> rows;
        const Exit exit = c_.each(
            Way::listing, config::Need::a_file, "account list", std::move(call), selectors.limit,
            [&](const Json& a) {
                if (c_.out.json) return c_.out.line(a);
                rows.push_back({shown(a, "account"), shown(a, "state"), shown(a, "customer"),
                                shown(a, "plan"), shown_time(a, "last_login"), shown(a, "owns")});
            });
        c_.out.table({"ACCOUNT", "STATE", "CUSTOMER", "PLAN", "LAST LOGIN", "OWNS"}, rows);
        return exit;
    }

  private:
    /// The request's body; empty where an argument is wrong, which is told.
    std::optional<Json> read(const WantedAccount& w) const {
        if (!is_address(c_, w.account)) return std::nullopt;
        Json body = Json::object();
        const auto owns = without_empty(w.owns);
        if (const auto owned = auth::parse_owned(owns); !owned) {
            (void)c_.out.fault(Exit::usage, "--owns", "write an address, a domain, or '*'");
            return std::nullopt;
        }
        if (!w.owns.empty()) body["owns"] = owns;
        const auto authzids = without_empty(w.authzids);
        for (const std::string& other : authzids) {
            if (!is_address(c_, other)) return std::nullopt;
        }
        if (!w.authzids.empty()) body["authzids"] = authzids;
        if (w.customer) body["customer"] = *w.customer;
        if (w.plan) body["plan"] = *w.plan;
        if (!add_rules(c_, w.rules, body)) return std::nullopt;
        if (w.no_password) body["no_password"] = true;
        if (w.password_stdin) {
            std::string error;
            const auto password = read_password(error);
            if (!password) {
                (void)c_.out.fault(Exit::usage, "--password-stdin", error);
                return std::nullopt;
            }
            body["password"] = password->reveal();
        }
        return body;
    }

    Exit change(const std::string& method, std::vector<std::string> path,
                const std::string& subject, Json body) {
        Call call;
        call.method = method;
        call.path = std::move(path);
        call.body = std::move(body);
        return c_.perform(
            Way::files, config::Need::a_file, subject, std::move(call), [this](const Json& done) {
                if (c_.out.json) {
                    c_.out.line(done);
                } else if (const auto password = done.find("password"); password != done.end()) {
                    c_.out.secret(password->get<std::string>());
                }
                return Exit::done;
            });
    }

    void print(const Json& a) const {
        if (c_.out.json) return c_.out.line(a);
        std::vector<std::pair<std::string, std::string>> fields = {
            {"account", shown(a, "account")},
            {"state", shown(a, "state")},
            {"customer", shown(a, "customer")},
            {"plan", shown(a, "plan")},
            {"owns", shown(a, "owns")},
            {"may act as", shown(a, "authzids")},
            {"rules", shown(a, "rules")},
            {"created", shown_time(a, "created")},
            {"last login", shown_time(a, "last_login")},
            {"last source", shown(a, "last_source")}};
        if (const auto limits = a.find("limits"); limits != a.end() && limits->is_object()) {
            for (const auto& [name, windows] : limits->items())
                fields.emplace_back(name, shown(*limits, name));
        }
        if (const auto credentials = a.find("credentials");
            credentials != a.end() && credentials->is_array()) {
            for (const Json& one : *credentials) {
                const std::string name = shown(one, "credential");
                fields.emplace_back("credential",
                                    fmt::format("{}{}, made {}, last used {}",
                                                name.empty() ? "" : fmt::format("\"{}\" ", name),
                                                shown(one, "kind"), shown_time(one, "created"),
                                                one.value("last_used", Json()).is_null()
                                                    ? "never"
                                                    : shown_time(one, "last_used")));
            }
        }
        if (const auto s = a.find("suspended"); s != a.end() && s->is_object()) {
            fields.emplace_back("suspended",
                                fmt::format("{} by {}", shown_time(*s, "t"), shown(*s, "by")));
            fields.emplace_back("reasons", shown(*s, "reasons"));
            fields.emplace_back("text", shown(*s, "text"));
        }
        c_.out.fields(fields);
    }

    Context& c_;
};

void password_options(CLI::App& app, WantedAccount& w, bool may_go_without) {
    auto* from_input =
        app.add_flag("--password-stdin", w.password_stdin,
                     "Read the password from standard input (one line; a terminal is asked twice)");
    if (may_go_without) {
        app.add_flag("--no-password", w.no_password, "No password: nobody can log in with one")
            ->excludes(from_input);
    }
}

void common_options(CLI::App& app, WantedAccount& w) {
    password_options(app, w, true);
    app.add_option("--customer", w.customer,
                   "The customer that the account belongs to, made where there is none; '': none");
    repeated(app, "--owns", w.owns,
             "An address, a domain or '*' that it may send as, beside its own address; may be "
             "repeated, `set` replaces what was there, and '' alone empties the list");
}

CLI::Option* account_argument(CLI::App& app, std::string& into) {
    return app.add_option("ACCOUNT", into, "The login name, an address")->required();
}

}  // namespace

void add_account_commands(CLI::App& root, Context& context) {
    CLI::App& account = *command(root, "account", "Who may log in");
    const auto commands = std::make_shared<AccountCommands>(context);
    const auto wanted = std::make_shared<WantedAccount>();
    const auto selectors = std::make_shared<SelectorOptions>();
    const auto text = std::make_shared<std::string>();

    CLI::App& add = *command(account, "add",
                             "Make an account; without an option its password is made and printed");
    account_argument(add, wanted->account);
    common_options(add, *wanted);
    add.callback([=, &context] { context.chosen = [=] { return commands->add(*wanted); }; });

    CLI::App& set = *command(account, "set", "Change an account");
    account_argument(set, wanted->account);
    common_options(set, *wanted);
    set.add_option("--plan", wanted->plan, "A table of [limits]; '': the customer's");
    repeated(set, "--rule", wanted->rules, "RULE=MODE; an empty MODE takes the exception back");
    repeated(
        set, "--authzid", wanted->authzids,
        "An account that it may act as; replaces what was there, and '' alone empties the list");
    set.callback([=, &context] { context.chosen = [=] { return commands->set(*wanted); }; });

    add_credential_commands(account, context);
    add_import_commands(account, context);

    CLI::App& passwd =
        *command(account, "passwd",
                 "Give an account another password; without an option it is made and printed");
    account_argument(passwd, wanted->account);
    password_options(passwd, *wanted, false);
    passwd.callback([=, &context] { context.chosen = [=] { return commands->passwd(*wanted); }; });

    CLI::App& list = *command(account, "list", "All accounts");
    repeated(list, "--account", selectors->accounts, "An account, or @DOMAIN");
    repeated(list, "--customer", selectors->customers, "Of this customer");
    repeated(list, "--state", selectors->states, "active or suspended");
    list.add_option("--limit", selectors->limit, "At most so many");
    list.callback([=, &context] { context.chosen = [=] { return commands->list(*selectors); }; });

    CLI::App& show = *command(account, "show", "All about one account");
    account_argument(show, wanted->account);
    show.callback(
        [=, &context] { context.chosen = [=] { return commands->show(wanted->account); }; });

    CLI::App& suspend = *command(
        account, "suspend", "Stop an account: its logins are refused, its queued mail freezes");
    account_argument(suspend, wanted->account);
    suspend.add_option("--text", *text, "What its owner is told");
    suspend.callback([=, &context] {
        context.chosen = [=] {
            Json body = Json::object();
            if (!text->empty()) body["text"] = *text;
            return commands->act(wanted->account, "suspend", std::move(body));
        };
    });

    CLI::App& release = *command(account, "release", "End a suspension");
    account_argument(release, wanted->account);
    release.callback([=, &context] {
        context.chosen = [=] { return commands->act(wanted->account, "release", Json::object()); };
    });

    CLI::App& remove = *command(account, "remove", "Take an account away");
    account_argument(remove, wanted->account);
    remove.callback([=, &context] {
        context.chosen = [=] { return commands->act(wanted->account, "remove", nullptr); };
    });
}

}  // namespace postern::relay::cli
