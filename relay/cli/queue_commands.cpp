// postern queue ...
#include <fmt/format.h>

#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

struct Chosen {
    std::vector<std::string> ids;
    SelectorOptions selectors;
    bool all = false;
    bool dsn = false;
};

void selector_options(CLI::App& app, Chosen& chosen) {
    app.add_option("ID", chosen.ids, "Entries by their reference");
    SelectorOptions& s = chosen.selectors;
    repeated(app, "--account", s.accounts, "Of this account");
    repeated(app, "--customer", s.customers, "Of this customer");
    repeated(app, "--mail-from", s.mail_from, "From this address, or @DOMAIN");
    repeated(app, "--rcpt", s.rcpts, "To this address, or @DOMAIN");
    repeated(app, "--upstream", s.upstreams, "Last tried with this upstream");
    repeated(app, "--state", s.states, "ready active deferred in_doubt held frozen damaged");
    app.add_option("--since", s.since, "Taken since: RFC 3339, or an age like 2h");
    app.add_option("--until", s.until, "Taken until");
    app.add_option("--limit", s.limit, "At most so many");
}

class QueueCommands {
  public:
    explicit QueueCommands(Context& context) : c_(context) {}

    Exit list(const Chosen& chosen) {
        Call call;
        call.path = {"queue"};
        chosen.selectors.add_to(call.query);
        for (const std::string& id : chosen.ids) call.query.emplace("id", id);
        std::vector<std::vector<std::string>> rows;
        const Exit exit =
            c_.each(Way::running, config::Need::a_file, "queue list", std::move(call),
                    chosen.selectors.limit, [&](const Json& e) {
                        if (c_.out.json) return c_.out.line(e);
                        rows.push_back({shown(e, "id"), shown(e, "state"), shown_time(e, "created"),
                                        shown(e, "attempts"), shown_time(e, "next_attempt"),
                                        shown(e, "bytes"), shown(e, "mail_from"), shown(e, "rcpts"),
                                        shown(e, "last_reply")});
                    });
        c_.out.table({"ID", "STATE", "TAKEN", "TRIED", "NEXT", "BYTES", "FROM", "TO", "LAST REPLY"},
                     rows);
        if (exit == Exit::done && rows.empty() && !c_.out.json) c_.out.note("nothing waits");
        return exit;
    }

    Exit show(const std::string& id) {
        Call call;
        call.path = {"queue", id};
        return c_.perform(Way::running, config::Need::a_file, id, std::move(call),
                          [this](const Json& e) {
                              if (c_.out.json) {
                                  c_.out.line(e);
                                  return Exit::done;
                              }
                              c_.out.fields({{"id", shown(e, "id")},
                                             {"message", shown(e, "ref")},
                                             {"state", shown(e, "state")},
                                             {"account", shown(e, "account")},
                                             {"customer", shown(e, "customer")},
                                             {"from", shown(e, "mail_from")},
                                             {"to", shown(e, "rcpts")},
                                             {"bytes", shown(e, "bytes")},
                                             {"taken", shown_time(e, "created")},
                                             {"tried", shown(e, "attempts")},
                                             {"next", shown_time(e, "next_attempt")},
                                             {"upstream", shown(e, "upstream")},
                                             {"last reply", shown(e, "last_reply")},
                                             {"reason", shown(e, "reason")}});
                              return Exit::done;
                          });
    }

    Exit change(const std::string& verb, const Chosen& chosen) {
        const std::string subject = "queue " + verb;
        if (chosen.ids.empty() && chosen.selectors.empty() && !chosen.all) {
            return c_.out.fault(Exit::usage, subject, "name entries, select some, or write --all");
        }
        Call call;
        call.method = "POST";
        call.path = {"queue", verb};
        call.body = body(chosen);
        return c_.perform(
            Way::running, config::Need::a_file, subject, std::move(call), [this](const Json& done) {
                if (c_.out.json) {
                    c_.out.line(done);
                } else {
                    c_.out.text(fmt::format("matched {}, changed {}, failed {}",
                                            shown(done, "matched"), shown(done, "changed"),
                                            shown(done, "failed")));
                }
                const bool some_failed = done.value("failed", 0) > 0;
                if (some_failed && !c_.out.json) {
                    c_.out.note(
                        "left alone were entries that are active, frozen (their account is "
                        "suspended), damaged, or in doubt (the upstream may have them)");
                }
                return some_failed ? Exit::refused : Exit::done;
            });
    }

  private:
    static Json body(const Chosen& chosen) {
        admin::Query query;
        chosen.selectors.add_to(query);
        for (const std::string& id : chosen.ids) query.emplace("id", id);
        Json out = Json::object();
        for (const auto& [name, value] : query) out[name].push_back(value);
        if (chosen.all) out["all"] = true;
        if (chosen.dsn) out["dsn"] = true;
        if (chosen.selectors.limit > 0) out["limit"] = chosen.selectors.limit;
        return out;
    }

    Context& c_;
};

}  // namespace

void add_queue_commands(CLI::App& root, Context& context) {
    CLI::App& queue = *command(root, "queue", "What waits to be delivered");
    const auto commands = std::make_shared<QueueCommands>(context);
    const auto chosen = std::make_shared<Chosen>();
    const auto id = std::make_shared<std::string>();

    CLI::App& list = *command(queue, "list", "What waits");
    selector_options(list, *chosen);
    list.callback([=, &context] { context.chosen = [=] { return commands->list(*chosen); }; });

    CLI::App& show = *command(queue, "show", "One entry");
    show.add_option("ID", *id, "Its reference")->required();
    show.callback([=, &context] { context.chosen = [=] { return commands->show(*id); }; });

    CLI::App& retry = *command(queue, "retry", "Try entries now");
    selector_options(retry, *chosen);
    retry.add_flag("--all", chosen->all, "All of them");
    retry.callback(
        [=, &context] { context.chosen = [=] { return commands->change("retry", *chosen); }; });

    CLI::App& drop =
        *command(queue, "drop",
                 "Take whole entries away unsent: for all their recipients, whatever selects them");
    selector_options(drop, *chosen);
    drop.add_flag("--all", chosen->all, "All of them");
    drop.add_flag("--dsn", chosen->dsn,
                  "Tell their senders that (not why: --reason is for the journal)");
    drop.callback(
        [=, &context] { context.chosen = [=] { return commands->change("drop", *chosen); }; });
}

}  // namespace postern::relay::cli
