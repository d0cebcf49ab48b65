// postern suppression ...
#include <fmt/format.h>

#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

struct WantedSuppression {
    std::string owner, rcpt;
    std::vector<std::string> customers, accounts, rcpts;
    std::size_t limit = 0;
    bool all = false;
};

/// Accounts have an @, customers do not.
const char* kind_of_owner(const std::string& owner) {
    return owner.contains('@') ? "account" : "customer";
}

class SuppressionCommands {
  public:
    explicit SuppressionCommands(const Context& context) : c_(context) {}

    Exit list(const WantedSuppression& w) const {
        Call call;
        call.path = {"suppression"};
        if (!w.owner.empty()) call.query.emplace(kind_of_owner(w.owner), w.owner);
        if (!w.rcpt.empty()) call.query.emplace("rcpt", w.rcpt);
        for (const std::string& customer : w.customers) call.query.emplace("customer", customer);
        for (const std::string& account : w.accounts) call.query.emplace("account", account);
        for (const std::string& rcpt : w.rcpts) call.query.emplace("rcpt", rcpt);
        std::vector<std::vector<std::string>> rows;
        const Exit exit = c_.each(
            Way::listing, config::Need::a_file, w.owner.empty() ? "suppression list" : w.owner,
            std::move(call), w.limit, [&](const Json& one) {
                if (c_.out.json) return c_.out.line(one);
                const std::string customer = shown(one, "customer");
                rows.push_back({customer.empty() ? shown(one, "account") : customer,
                                shown(one, "rcpt"), shown_time(one, "since"),
                                shown_time(one, "until"), shown(one, "enhanced"),
                                shown(one, "ref")});
            });
        c_.out.table({"OWNER", "RCPT", "SINCE", "UNTIL", "CODE", "REF"}, rows);
        return exit;
    }

    Exit add(const WantedSuppression& w) const {
        if (!is_address(c_, w.rcpt)) return Exit::usage;
        Call call;
        call.method = "POST";
        call.path = {"suppression"};
        call.body = Json{{kind_of_owner(w.owner), w.owner}, {"rcpt", w.rcpt}};
        return change(w.rcpt, std::move(call));
    }

    Exit remove(const WantedSuppression& w) const {
        if (w.rcpt.empty() != w.all) {
            return c_.out.fault(Exit::usage, "suppression remove",
                                "name a recipient, or say --all for the whole list");
        }
        if (!w.rcpt.empty() && !is_address(c_, w.rcpt)) return Exit::usage;
        Call call;
        call.method = "DELETE";
        call.path = {"suppression", w.owner};
        if (w.all) {
            call.query.emplace("all", "true");
        } else {
            call.path.push_back(w.rcpt);
        }
        return change(w.all ? w.owner : w.rcpt, std::move(call));
    }

  private:
    Exit change(const std::string& subject, Call call) const {
        return c_.perform(Way::files, config::Need::a_file, subject, std::move(call),
                          [this](const Json& done) {
                              if (c_.out.json) c_.out.line(done);
                              return Exit::done;
                          });
    }

    const Context& c_;
};

}  // namespace

void add_suppression_commands(CLI::App& root, Context& context) {
    CLI::App& suppression =
        *command(root, "suppression", "Recipients that are refused because they bounced");
    const auto commands = std::make_shared<SuppressionCommands>(context);
    const auto wanted = std::make_shared<WantedSuppression>();
    const auto owner = [wanted](CLI::App& app) {
        return app.add_option("OWNER", wanted->owner,
                              "A customer, or an account (its customer's list, if it has one)");
    };
    const auto rcpt = [wanted](CLI::App& app) {
        return app.add_option("RCPT", wanted->rcpt, "The recipient");
    };

    CLI::App& listed = *command(suppression, "list", "Who is on that list, or on all");
    owner(listed);
    rcpt(listed);
    repeated(listed, "--customer", wanted->customers, "Of this customer");
    repeated(listed, "--account", wanted->accounts, "Of the list that holds for this account");
    repeated(listed, "--rcpt", wanted->rcpts, "This recipient, or @DOMAIN");
    listed.add_option("--limit", wanted->limit, "At most so many");
    listed.callback([=, &context] { context.chosen = [=] { return commands->list(*wanted); }; });

    CLI::App& added = *command(suppression, "add", "Refuse a recipient until it is removed");
    owner(added)->required();
    rcpt(added)->required();
    added.callback([=, &context] { context.chosen = [=] { return commands->add(*wanted); }; });

    CLI::App& removed = *command(suppression, "remove", "Let mail to a recipient pass again");
    owner(removed)->required();
    rcpt(removed);
    removed.add_flag("--all", wanted->all, "Everybody on the list");
    removed.callback([=, &context] { context.chosen = [=] { return commands->remove(*wanted); }; });
}

}  // namespace postern::relay::cli
