#include "relay/cli/commands.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "proto/address.hpp"
#include "relay/config/backend.hpp"

namespace postern::relay::cli {

bool Context::file_named() const {
    return !file_option.empty() || std::ranges::any_of(around.environment, [](const auto& v) {
        return v.first == "POSTERN_CONFIG" && !v.second.empty();
    });
}

config::ConfigPtr Context::load(config::Need need) const {
    const config::Loaded loaded =
        config::load(config::choose_file(file_option, around), file_named(), around, need);
    for (const config::Fault& fault : loaded.faults) {
        const std::string what =
            fault.key.empty() ? fault.where : fmt::format("{}: {}", fault.where, fault.key);
        (void)out.fault(Exit::usage, what, fault.text);
    }
    return loaded.config;
}

Exit Context::converse(Way way, config::Need need,
                       const std::function<Exit(Channel&)>& talk) const {
    const auto config = load(need);
    if (!config) return Exit::usage;
    Exit exit = Exit::done;
    const auto channel = open_channel(*config, way, out, exit);
    return channel ? talk(*channel) : exit;
}

std::optional<Json> Context::ask(Channel& channel, Call call, const std::string& subject,
                                 Exit& exit) const {
    call.reason = reason;
    const auto answer = channel.send(call);
    if (!answer) {
        exit = out.fault(Exit::unreachable, "the relay did not answer",
                         "see its log, and whether it still runs");
        return std::nullopt;
    }
    Json parsed = Json::parse(answer->body, nullptr, false);
    if (answer->status >= 400) {
        exit = out.problem(subject, parsed.is_object() ? parsed : Json::object());
        return std::nullopt;
    }
    if (!parsed.is_object()) {
        exit = out.fault(Exit::failure, subject, "the relay's answer was no JSON object");
        return std::nullopt;
    }
    return parsed;
}

Exit Context::perform(Way way, config::Need need, const std::string& subject, Call call,
                      const std::function<Exit(const Json&)>& show) const {
    return converse(way, need, [&](Channel& channel) {
        Exit exit = Exit::done;
        const auto answer = ask(channel, std::move(call), subject, exit);
        return answer ? show(*answer) : exit;
    });
}

Exit Context::each(Way way, config::Need need, const std::string& subject, Call call,
                   std::size_t limit, const std::function<void(const Json&)>& item) const {
    return converse(way, need, [&](Channel& channel) {
        return each(channel, subject, std::move(call), limit, item);
    });
}

Exit Context::each(Channel& channel, const std::string& subject, Call call, std::size_t limit,
                   const std::function<void(const Json&)>& item) const {
    constexpr std::size_t page = 1000;
    std::size_t seen = 0;
    while (true) {
        call.query.erase("limit");
        call.query.emplace("limit",
                           std::to_string(limit == 0 ? page : std::min(page, limit - seen)));
        Exit exit = Exit::done;
        const auto answer = ask(channel, call, subject, exit);
        if (!answer) return exit;
        for (const Json& one : answer->value("items", Json::array())) item(one);
        seen += answer->value("items", Json::array()).size();
        const auto next = answer->find("next");
        if (next == answer->end() || !next->is_string() || (limit != 0 && seen >= limit))
            return Exit::done;
        call.query.erase("cursor");
        call.query.emplace("cursor", next->get<std::string>());
    }
}

void SelectorOptions::add_to(admin::Query& query) const {
    const auto add = [&](const char* name, const std::vector<std::string>& values) {
        for (const std::string& value : values) query.emplace(name, value);
    };
    add("account", accounts);
    add("customer", customers);
    add("mail_from", mail_from);
    add("rcpt", rcpts);
    add("upstream", upstreams);
    add("state", states);
    add("source", sources);
    add("event", events);
    add("ref", refs);
    add("session", sessions);
    add("rule", rules);
    if (!since.empty()) query.emplace("since", since);
    if (!until.empty()) query.emplace("until", until);
}

bool SelectorOptions::empty() const {
    admin::Query query;
    add_to(query);
    return query.empty();
}

CLI::App* command(CLI::App& parent, const std::string& name, const std::string& description) {
    CLI::App* app = parent.add_subcommand(name, description);
    app->fallthrough();
    app->set_help_flag("--help", "Say what the command does");
    return app;
}

CLI::Option* repeated(CLI::App& app, const std::string& name, std::vector<std::string>& into,
                      const std::string& description) {
    return app.add_option(name, into, description)->allow_extra_args(false);
}

bool is_address(const Context& context, const std::string& text) {
    if (proto::parse_mailbox(text, true)) return true;
    (void)context.out.fault(Exit::usage, fmt::format("\"{}\" is no address", text),
                            "write one like ann@example.net");
    return false;
}

Exit warn_if_unasked(const Context& context, Exit exit) {
    if (exit != Exit::done) return exit;
    const config::ConfigPtr config = context.load(config::Need::a_file);
    if (config && config->auth.backend != config::AuthBackend::embedded) {
        context.out.note(
            fmt::format("postern: auth.backend is {}: this password is kept and never asked for; "
                        "set it in the back-end",
                        config::name(config->auth.backend)));
    }
    return exit;
}

bool add_rules(const Context& context, const std::vector<std::string>& rules, Json& body) {
    for (const std::string& rule : rules) {
        const auto equals = rule.find('=');
        if (equals == std::string::npos) {
            (void)context.out.fault(Exit::usage, fmt::format("--rule {}", rule),
                                    "write RULE=MODE, like limits=observe");
            return false;
        }
        body["rules"][rule.substr(0, equals)] = rule.substr(equals + 1);
    }
    return true;
}

std::vector<std::string> without_empty(std::vector<std::string> values) {
    if (values.size() == 1 && values.front().empty()) values.clear();
    return values;
}

}  // namespace postern::relay::cli
