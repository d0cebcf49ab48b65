// postern customer ...
#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

/// What `add` and `set` take.
struct WantedCustomer {
    std::string customer;
    std::optional<std::string> plan, contact, abuse_contact;
    std::vector<std::string> domains, rules;
};

class CustomerCommands {
  public:
    explicit CustomerCommands(Context& context) : c_(context) {}

    Exit add(const WantedCustomer& w) {
        auto body = read(w);
        if (!body) return Exit::usage;
        (*body)["customer"] = w.customer;
        return change("POST", {"customer"}, w.customer, std::move(*body));
    }

    Exit set(const WantedCustomer& w) {
        auto body = read(w);
        if (!body) return Exit::usage;
        if (body->empty())
            return c_.out.fault(Exit::usage, "customer set",
                                "say what to set; see: postern customer set --help");
        return change("PATCH", {"customer", w.customer}, w.customer, std::move(*body));
    }

    Exit remove(const std::string& customer) {
        return change("DELETE", {"customer", customer}, customer, nullptr);
    }

    Exit show(const std::string& customer) {
        Call call;
        call.path = {"customer", customer};
        return c_.perform(Way::reading, config::Need::a_file, customer, std::move(call),
                          [this](const Json& c) {
                              print(c);
                              return Exit::done;
                          });
    }

    Exit list(const SelectorOptions& selectors) {
        Call call;
        call.path = {"customer"};
        selectors.add_to(call.query);
        std::vector<std::vector<std::string>> rows;
        const Exit exit = c_.each(
            Way::listing, config::Need::a_file, "customer list", std::move(call), selectors.limit,
            [&](const Json& c) {
                if (c_.out.json) return c_.out.line(c);
                rows.push_back({shown(c, "customer"), shown(c, "plan"), shown(c, "accounts"),
                                shown(c, "contact"), shown(c, "domains")});
            });
        c_.out.table({"CUSTOMER", "PLAN", "ACCOUNTS", "CONTACT", "DOMAINS"}, rows);
        return exit;
    }

  private:
    /// The request's body; empty where an argument is wrong, which is told.
    std::optional<Json> read(const WantedCustomer& w) const {
        Json body = Json::object();
        if (!w.domains.empty()) body["domains"] = without_empty(w.domains);
        if (w.plan) body["plan"] = *w.plan;
        for (const auto& [name, contact] :
             {std::pair("contact", &w.contact), std::pair("abuse_contact", &w.abuse_contact)}) {
            if (!*contact) continue;
            if (!(*contact)->empty() && !is_address(c_, **contact)) return std::nullopt;
            body[name] = **contact;
        }
        if (!add_rules(c_, w.rules, body)) return std::nullopt;
        return body;
    }

    Exit change(const std::string& method, std::vector<std::string> path,
                const std::string& subject, Json body) {
        Call call;
        call.method = method;
        call.path = std::move(path);
        call.body = std::move(body);
        return c_.perform(Way::files, config::Need::a_file, subject, std::move(call),
                          [this](const Json& done) {
                              if (c_.out.json) c_.out.line(done);
                              return Exit::done;
                          });
    }

    void print(const Json& c) const {
        if (c_.out.json) return c_.out.line(c);
        c_.out.fields({{"customer", shown(c, "customer")},
                       {"domains", shown(c, "domains")},
                       {"plan", shown(c, "plan")},
                       {"contact", shown(c, "contact")},
                       {"abuse contact", shown(c, "abuse_contact")},
                       {"rules", shown(c, "rules")},
                       {"accounts", shown(c, "accounts")},
                       {"created", shown_time(c, "created")}});
    }

    Context& c_;
};

}  // namespace

void add_customer_commands(CLI::App& root, Context& context) {
    CLI::App& customer = *command(root, "customer", "Who owns accounts and domains");
    const auto commands = std::make_shared<CustomerCommands>(context);
    const auto wanted = std::make_shared<WantedCustomer>();
    const auto selectors = std::make_shared<SelectorOptions>();
    const auto subject = [wanted](CLI::App& app) {
        app.add_option("CUSTOMER", wanted->customer, "The name")->required();
    };
    const auto options = [wanted](CLI::App& app) {
        repeated(
            app, "--domain", wanted->domains,
            "A domain of it, for the record (what an account may send as is its --owns); may be "
            "repeated, `set` replaces what was there, and '' alone empties the list");
        app.add_option("--plan", wanted->plan,
                       "A table of [limits], for accounts without their own; '': none");
        app.add_option("--contact", wanted->contact, "Whom to write to");
        app.add_option("--abuse-contact", wanted->abuse_contact, "Who is told of abuse");
        repeated(app, "--rule", wanted->rules, "RULE=MODE; an empty MODE takes the exception back");
    };

    CLI::App& added = *command(customer, "add", "Make a customer");
    subject(added);
    options(added);
    added.callback([=, &context] { context.chosen = [=] { return commands->add(*wanted); }; });

    CLI::App& listed = *command(customer, "list", "All customers");
    repeated(listed, "--customer", selectors->customers, "This one");
    listed.add_option("--limit", selectors->limit, "At most so many");
    listed.callback([=, &context] { context.chosen = [=] { return commands->list(*selectors); }; });

    CLI::App& showed = *command(customer, "show", "All about one customer");
    subject(showed);
    showed.callback(
        [=, &context] { context.chosen = [=] { return commands->show(wanted->customer); }; });

    CLI::App& altered = *command(customer, "set", "Change a customer, and so its accounts");
    subject(altered);
    options(altered);
    altered.callback([=, &context] { context.chosen = [=] { return commands->set(*wanted); }; });

    CLI::App& removed = *command(customer, "remove", "Take a customer without accounts away");
    subject(removed);
    removed.callback(
        [=, &context] { context.chosen = [=] { return commands->remove(wanted->customer); }; });
}

}  // namespace postern::relay::cli
