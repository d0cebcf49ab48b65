// postern queue ...
#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string_view>

#include "proto/base64.hpp"
#include "relay/cli/commands.hpp"
#include "relay/cli/export_folder.hpp"

namespace postern::relay::cli {
namespace {

/// For a change of everything that waits, and for a message of any size.
constexpr std::chrono::hours queue_patience{24};
/// As many as a change's answer has.
constexpr std::size_t admin_failures = ChangeOutcome::failures_kept;

struct Chosen {
    std::vector<std::string> ids;
    SelectorOptions selectors;
    bool all = false;
    bool dsn = false;
    std::string to;         ///< Of reroute.
    std::string directory;  ///< Of export.
};

void selector_options(CLI::App& app, Chosen& chosen) {
    app.add_option("ID", chosen.ids, "Entries by their reference");
    SelectorOptions& s = chosen.selectors;
    repeated(app, "--account", s.accounts, "Of this account");
    repeated(app, "--customer", s.customers, "Of this customer");
    repeated(app, "--mail-from", s.mail_from, "From this address, or @DOMAIN");
    repeated(app, "--rcpt", s.rcpts, "To this address, or @DOMAIN");
    repeated(app, "--source", s.sources, "Taken from this address or network");
    repeated(app, "--upstream", s.upstreams, "Last tried with this upstream, or rerouted to it");
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
        if (exit == Exit::done && rows.empty() && !c_.out.json) {
            const bool all = chosen.ids.empty() && chosen.selectors.empty();
            c_.out.note(all ? "nothing waits" : "nothing that you chose waits");
        }
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
                                             {"source", shown(e, "source")},
                                             {"from", shown(e, "mail_from")},
                                             {"to", shown(e, "rcpts")},
                                             {"bytes", shown(e, "bytes")},
                                             {"taken", shown_time(e, "created")},
                                             {"tried", shown(e, "attempts")},
                                             {"next", shown_time(e, "next_attempt")},
                                             {"upstream", upstream_of(e)},
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
        call.patience = queue_patience;
        return c_.perform(Way::running, config::Need::a_file, subject, std::move(call),
                          [this](const Json& done) { return told(done, "changed"); });
    }

    Exit take_out(const Chosen& chosen) {
        auto folder = ExportFolder::open(chosen.directory);
        if (!folder) {
            return c_.out.fault(
                Exit::failure, chosen.directory,
                fmt::format("no files can be made there ({})", folder.error().message()));
        }
        return c_.converse(Way::running, config::Need::a_file,
                           [&](Channel& channel) { return take_out(chosen, *folder, channel); });
    }

  private:
    /// What a change came to; of what failed, why, as far as the relay tells.
    Exit told(const Json& done, std::string_view verb) {
        const bool some_failed = done.value("failed", std::size_t{0}) > 0;
        if (c_.out.json) {
            c_.out.line(done);
            return some_failed ? Exit::refused : Exit::done;
        }
        c_.out.text(fmt::format("matched {}, {} {}, failed {}", shown(done, "matched"), verb,
                                shown(done, "changed"), shown(done, "failed")));
        for (const Json& failure : done.value("failures", Json::array())) {
            c_.out.note(fmt::format("{}: {}", shown(failure, "id"), shown(failure, "why")));
        }
        return some_failed ? Exit::refused : Exit::done;
    }

    Exit take_out(const Chosen& chosen, const ExportFolder& folder, Channel& channel) {
        Call call;
        call.path = {"queue"};
        chosen.selectors.add_to(call.query);
        for (const std::string& id : chosen.ids) call.query.emplace("id", id);
        Json done{{"matched", 0}, {"changed", 0}, {"failed", 0}};
        std::size_t matched = 0;
        std::size_t written = 0;
        Json failures = Json::array();
        const Exit listed = c_.each(channel, "queue export", std::move(call),
                                    chosen.selectors.limit, [&](const Json& e) {
                                        ++matched;
                                        const std::string id = shown(e, "id");
                                        const std::string why = take_out(id, folder, channel);
                                        if (why.empty()) {
                                            ++written;
                                        } else if (failures.size() < admin_failures) {
                                            failures.push_back(Json{{"id", id}, {"why", why}});
                                        }
                                    });
        if (listed != Exit::done) return listed;
        if (matched == 0 && !chosen.ids.empty())
            return c_.out.fault(Exit::refused, "queue export",
                                "there is no such entry in the queue");
        done["matched"] = matched;
        done["changed"] = written;
        done["failed"] = matched - written;
        if (!failures.empty()) done["failures"] = std::move(failures);
        return told(done, "written");
    }

    /// One message into its file; why not, or empty.
    std::string take_out(const std::string& id, const ExportFolder& folder, Channel& channel) {
        std::optional<ExportFolder::NewFile> file;
        std::size_t offset = 0;
        for (;;) {
            Call call;
            call.method = "POST";
            call.path = {"queue", id, "export"};
            call.reason = c_.reason;
            call.patience = queue_patience;
            if (offset > 0) call.body = Json{{"offset", offset}};
            const auto answer = channel.send(call);
            if (!answer) return "the relay did not answer";
            const Json part = Json::parse(answer->body, nullptr, false);
            if (!part.is_object()) return "the relay's answer was no JSON object";
            if (answer->status >= 400) return part.value("detail", "the relay refused");
            const auto octets = proto::base64_decode(part.value("data", ""));
            if (!octets) return "the relay's answer was no message";
            if (!file) {
                auto made = folder.make(id + ".eml");
                if (!made) return made.error().message();
                file.emplace(std::move(*made));
            }
            if (const auto error = file->write(*octets)) return error.message();
            const auto next = part.find("next");
            if (next == part.end() || !next->is_number_unsigned()) break;
            if (next->get<std::size_t>() <= offset) return "the relay's answer went nowhere";
            offset = next->get<std::size_t>();
        }
        const auto error = file->finish();
        return error ? error.message() : "";
    }

    static std::string upstream_of(const Json& e) {
        const std::string name = shown(e, "upstream");
        return e.value("rerouted", false) ? name + " (rerouted)" : name;
    }

    static Json body(const Chosen& chosen) {
        admin::Query query;
        chosen.selectors.add_to(query);
        for (const std::string& id : chosen.ids) query.emplace("id", id);
        Json out = Json::object();
        for (const auto& [name, value] : query) out[name].push_back(value);
        if (chosen.all) out["all"] = true;
        if (chosen.dsn) out["dsn"] = true;
        if (!chosen.to.empty()) out["to"] = chosen.to;
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

    CLI::App& hold = *command(queue, "hold", "Stop entries until their release");
    selector_options(hold, *chosen);
    hold.add_flag("--all", chosen->all, "All of them");
    hold.callback(
        [=, &context] { context.chosen = [=] { return commands->change("hold", *chosen); }; });

    CLI::App& release = *command(queue, "release", "Let held entries go, now");
    selector_options(release, *chosen);
    release.add_flag("--all", chosen->all, "All that are held");
    release.callback(
        [=, &context] { context.chosen = [=] { return commands->change("release", *chosen); }; });

    CLI::App& reroute =
        *command(queue, "reroute", "Send entries by one upstream, whatever would be chosen");
    selector_options(reroute, *chosen);
    reroute.add_flag("--all", chosen->all, "All of them");
    reroute.add_option("--to", chosen->to, "The upstream's name")->required();
    reroute.callback(
        [=, &context] { context.chosen = [=] { return commands->change("reroute", *chosen); }; });

    CLI::App& take_out = *command(
        queue, "export", "Write messages as files, as they would be sent; they stay queued");
    selector_options(take_out, *chosen);
    take_out.add_flag("--all", chosen->all, "All of them, as without any selector");
    take_out.add_option("--dir", chosen->directory, "The folder; made where it is missing")
        ->required();
    take_out.callback(
        [=, &context] { context.chosen = [=] { return commands->take_out(*chosen); }; });

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
