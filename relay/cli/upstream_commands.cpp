// postern upstream ...
#include <fmt/format.h>

#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

std::string as_percent(const Json& item, const std::string& field) {
    const auto at = item.find(field);
    return at != item.end() && at->is_number() ? fmt::format("{:.1f}%", at->get<double>() * 100)
                                               : "";
}

std::string as_seconds(const Json& item, const std::string& field) {
    const auto at = item.find(field);
    return at != item.end() && at->is_number() ? fmt::format("{:.3f}", at->get<double>()) : "";
}

Exit list_upstreams(const Context& c) {
    Call call;
    call.path = {"upstream"};
    std::vector<std::vector<std::string>> rows;
    const Exit exit =
        c.each(Way::running, config::Need::a_file, "upstream list", std::move(call), 0,
               [&](const Json& i) {
                   if (c.out.json) return c.out.line(i);
                   rows.push_back({shown(i, "upstream"), shown(i, "role"), shown(i, "address"),
                                   shown(i, "breaker"), i.value("paused", false) ? "yes" : "",
                                   i.value("promoted", false) ? "yes" : "", shown_time(i, "until"),
                                   shown(i, "connections"), shown(i, "messages_today"),
                                   as_percent(i, "share"), as_seconds(i, "latency_s")});
               });
    c.out.table({"UPSTREAM", "ROLE", "ADDRESS", "BREAKER", "PAUSED", "PROMOTED", "UNTIL",
                 "CONNECTIONS", "TODAY", "SHARE", "SECONDS"},
                rows);
    return exit;
}

Exit change_upstream(const Context& c, const std::string& verb, const std::string& upstream,
                     const std::string& for_long) {
    Call call;
    call.method = "POST";
    call.path = {"upstream", upstream, verb};
    if (!for_long.empty()) call.body["for"] = for_long;
    return c.perform(Way::running, config::Need::a_file, upstream, std::move(call),
                     [&c](const Json& done) {
                         if (c.out.json) c.out.line(done);
                         return Exit::done;
                     });
}

}  // namespace

void add_upstream_commands(CLI::App& root, Context& context) {
    CLI::App& upstream = *command(root, "upstream", "The ways out for mail");
    const auto of = std::make_shared<std::string>();
    const auto for_long = std::make_shared<std::string>();

    CLI::App& listed = *command(upstream, "list", "How each of them is, and what it took today");
    listed.callback(
        [&context] { context.chosen = [&context] { return list_upstreams(context); }; });

    const auto verb = [&](const std::string& word, const std::string& description, bool bounded) {
        CLI::App& app = *command(upstream, word, description);
        app.add_option("U", *of, "Its name")->required();
        if (bounded) {
            app.add_option("--for", *for_long,
                           "Undone by itself after so long: 30s, 45m, 2h, 7d; else it holds until "
                           "it is undone, or the relay starts anew")
                ->check([](const std::string& text) {
                    return admin::parse_age(text) ? std::string()
                                                  : "write how long, like 30s, 45m, 2h or 7d";
                });
        }
        app.callback([=, &context] {
            context.chosen = [=, &context] {
                return change_upstream(context, word, *of, *for_long);
            };
        });
    };
    verb("pause", "Send no new mail by it; what is under way ends", true);
    verb("resume", "End a pause", false);
    verb("promote", "Let it count as a primary", true);
    verb("demote", "Let a promoted one be again what the configuration says", false);
}

}  // namespace postern::relay::cli
