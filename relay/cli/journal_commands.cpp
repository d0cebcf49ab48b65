// postern trace, postern events
#include <fmt/format.h>

#include "relay/admin/selectors.hpp"
#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

/// What the client heard at the end of the message.
std::string answered(const Json& t) {
    const auto found = t.find("answered");
    if (found == t.end() || !found->is_object()) return "";
    return fmt::format("{} {}", shown(*found, "code"), shown(*found, "text"));
}

Exit trace(Context& c, const std::string& id) {
    Call call;
    call.path = {"trace", id};
    return c.perform(Way::reading, config::Need::nothing, id, std::move(call), [&c](const Json& t) {
        if (c.out.json) {
            c.out.line(t);
            return Exit::done;
        }
        c.out.fields({{"message", shown(t, "ref")},
                      {"token", shown(t, "token")},
                      {"taken", shown_time(t, "t")},
                      {"policy", shown(t, "outcome")},
                      {"rule", shown(t, "rule")},
                      {"answered", answered(t)},
                      {"account", shown(t, "account")},
                      {"credential", shown(t, "credential")},
                      {"customer", shown(t, "customer")},
                      {"source", shown(t, "source")},
                      {"from", shown(t, "mail_from")},
                      {"header from", shown(t, "header_from")},
                      {"message-id", shown(t, "message_id")},
                      {"bytes", shown(t, "bytes")},
                      {"queued", shown(t, "queued")},
                      {"text", shown(t, "text")}});
        std::vector<std::vector<std::string>> rows;
        if (const auto rcpts = t.find("rcpts"); rcpts != t.end() && rcpts->is_array()) {
            for (const Json& r : *rcpts) {
                if (!r.is_object()) continue;
                rows.push_back({shown(r, "rcpt"), shown(r, "state"), shown_time(r, "t"),
                                shown(r, "upstream"), shown(r, "code"), shown(r, "enhanced"),
                                shown(r, "text")});
            }
        }
        c.out.table({"RECIPIENT", "STATE", "WHEN", "UPSTREAM", "CODE", "ENHANCED", "TEXT"}, rows);
        std::vector<std::vector<std::string>> refusals;
        for (const Json& r : t.value("refusals", Json::array())) {
            if (!r.is_object()) continue;
            refusals.push_back({shown(r, "command"), shown(r, "rcpt"), shown_time(r, "t"),
                                shown(r, "code"), shown(r, "enhanced"), shown(r, "text")});
        }
        c.out.table({"REFUSED", "RECIPIENT", "WHEN", "CODE", "ENHANCED", "TEXT"}, refusals);
        std::vector<std::vector<std::string>> notices;
        for (const Json& n : t.value("notices", Json::array())) {
            if (!n.is_object()) continue;
            notices.push_back({shown(n, "rcpt"), shown(n, "action"), shown_time(n, "t")});
        }
        c.out.table({"SENDER TOLD OF", "THAT IT WAS", "WHEN"}, notices);
        return Exit::done;
    });
}

Exit events(Context& c, const SelectorOptions& selectors) {
    for (const std::string& name : selectors.events) {
        if (const auto right = admin::instead_of_event(name))
            return c.out.fault(Exit::usage, fmt::format("--event {}", name), *right);
    }
    Call call;
    call.path = {"events"};
    selectors.add_to(call.query);
    const auto print = [&c](const Json& event) { c.out.line(event); };
    if (selectors.limit == 0)
        return c.each(Way::listing, config::Need::a_file, "events", std::move(call), 0, print);
    // So many means the latest so many.
    call.query.emplace("latest", std::to_string(selectors.limit));
    return c.perform(Way::listing, config::Need::a_file, "events", std::move(call),
                     [&](const Json& answer) {
                         for (const Json& event : answer.value("items", Json::array()))
                             print(event);
                         return Exit::done;
                     });
}

}  // namespace

void add_journal_commands(CLI::App& root, Context& context) {
    const auto id = std::make_shared<std::string>();
    CLI::App& traced = *command(root, "trace", "Whence a message came and what became of it");
    traced.add_option("REF", *id, "Its reference, the token in its X-Abuse, or its Message-ID")
        ->required();
    traced.callback(
        [=, &context] { context.chosen = [=, &context] { return trace(context, *id); }; });

    const auto s = std::make_shared<SelectorOptions>();
    CLI::App& listed = *command(root, "events", "The journal, a JSON object a line");
    repeated(listed, "--event", s->events, "Events of this name");
    repeated(listed, "--ref", s->refs, "Of this message");
    repeated(listed, "--session", s->sessions, "Of this connection");
    repeated(listed, "--rule", s->rules, "That this rule decided");
    repeated(listed, "--account", s->accounts,
             "Of this account, or @DOMAIN; alerts about it, and what operators did to it, too");
    repeated(listed, "--customer", s->customers, "Of this customer");
    repeated(listed, "--source", s->sources, "From this client address or network");
    repeated(listed, "--mail-from", s->mail_from, "From this address, or @DOMAIN");
    repeated(listed, "--rcpt", s->rcpts, "To this address, or @DOMAIN");
    repeated(listed, "--upstream", s->upstreams, "Of this upstream");
    listed.add_option("--since", s->since, "Since: RFC 3339, or an age like 2h");
    listed.add_option("--until", s->until, "Until");
    listed.add_option("--limit", s->limit, "The latest so many");
    listed.callback(
        [=, &context] { context.chosen = [=, &context] { return events(context, *s); }; });
}

}  // namespace postern::relay::cli
