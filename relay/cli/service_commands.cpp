// postern serve, check, reload, version, sink
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "relay/cli/commands.hpp"
#include "relay/process/privileges.hpp"
#include "relay/process/version.hpp"

namespace postern::relay::cli {
namespace {

Exit serve(Context& c) {
    ServeOptions options;
    options.file = config::choose_file(c.file_option, c.around);
    options.file_named = c.file_named();
    options.around = c.around;
    options.loaded =
        config::load(options.file, options.file_named, c.around, config::Need::everything);
    for (const config::Fault& fault : options.loaded.faults) {
        const std::string what =
            fault.key.empty() ? fault.where : fmt::format("{}: {}", fault.where, fault.key);
        (void)c.out.fault(Exit::usage, what, fault.text);
    }
    if (!options.loaded.config) return Exit::usage;
    return static_cast<Exit>(c.programs.serve(std::move(options)));
}

void print(const Output& out, const config::Finding& f) {
    if (out.json) {
        Json line{{"check", f.check}, {"status", name(f.status)}, {"text", f.text}};
        line["fix"] = admin::text_or_null(f.fix);
        return out.line(line);
    }
    out.text(fmt::format("{:<4}  {:<11}  {}", name(f.status), f.check, f.text));
    if (!f.fix.empty()) out.text(fmt::format("      {:<11}  {}", "", f.fix));
}

Exit check(Context& c, bool offline) {
    const std::string file = config::choose_file(c.file_option, c.around);
    const auto loaded = config::load(file, c.file_named(), c.around, config::Need::everything);
    config::CheckOptions options;
    options.offline = offline;
    options.upstreams = c.programs.check_upstreams;
    options.listeners = c.programs.check_listeners;
    options.token_keys = c.programs.check_token_keys;
    options.logins = c.programs.check_logins;
    options.backend = c.programs.check_backend;
    if (loaded.config) {
        const auto& server = loaded.config->server;
        if (const auto choice = process::choose_user(server.user, server.state)) {
            const process::User& u = choice->user;
            options.user = {u.name, u.uid, u.gid, {u.groups.begin(), u.groups.end()}};
            options.user_warning = choice->warning;
        } else {
            options.user_fault = choice.error().message();
        }
    }
    auto findings = config::check(loaded, options);
    // Last, for as root it becomes the user that `serve` becomes.
    if (loaded.config && options.user_fault.empty()) {
        const auto& server = loaded.config->server;
        const auto choice = process::choose_user(server.user, server.state);
        if (choice && process::become(choice->user)) {
            std::ranges::move(c.programs.check_accounts(*loaded.config),
                              std::back_inserter(findings));
        } else {
            findings.push_back({"accounts", config::Status::warn,
                                "were not looked at: cannot become the user that serve becomes",
                                "run it as root or as that user"});
        }
    }
    for (const config::Finding& finding : findings) print(c.out, finding);
    return config::any_failed(findings) ? Exit::refused : Exit::done;
}

Exit reload(Context& c) {
    Call call;
    call.method = "POST";
    call.path = {"reload"};
    return c.perform(Way::running, config::Need::a_file, "reload", std::move(call),
                     [&c](const Json& done) {
                         if (c.out.json) {
                             c.out.line(done);
                         } else if (const auto keys = done.find("keys");
                                    keys != done.end() && keys->is_array()) {
                             for (const Json& key : *keys)
                                 c.out.text(key.is_string() ? key.get<std::string>() : "");
                         }
                         return Exit::done;
                     });
}

Exit version(const Context& c) {
    if (c.out.json) {
        c.out.line({{"version", process::version()},
                    {"commit", process::commit()},
                    {"built", process::built()}});
    } else {
        c.out.text(process::version());
    }
    return Exit::done;
}

struct SinkArguments {
    sink::SinkOptions options;
    std::string tls;
};

Exit run_sink(const Context& c, SinkArguments a) {
    if (!a.tls.empty()) {
        const auto comma = a.tls.find(',');
        if (comma == std::string::npos)
            return c.out.fault(Exit::usage, "--tls", "write CERTIFICATE,KEY");
        a.options.certificate = a.tls.substr(0, comma);
        a.options.key = a.tls.substr(comma + 1);
    }
    for (const std::string& fault : a.options.faults) {
        if (const auto wrong = sink::check_fault(fault)) {
            return c.out.fault(Exit::usage, fmt::format("--fault {}", fault), *wrong);
        }
    }
    return static_cast<Exit>(c.programs.sink(a.options));
}

}  // namespace

void add_service_commands(CLI::App& root, Context& context) {
    CLI::App& served =
        *command(root, "serve", "Run the relay in the foreground. TERM, INT: drain; HUP: reload");
    served.callback([&context] { context.chosen = [&context] { return serve(context); }; });

    const auto offline = std::make_shared<bool>(false);
    CLI::App& checked =
        *command(root, "check", "Say what is wrong with the configuration and what it names");
    checked.add_flag("--offline", *offline, "Ask no DNS and no upstream");
    checked.callback(
        [=, &context] { context.chosen = [=, &context] { return check(context, *offline); }; });

    CLI::App& reloaded =
        *command(root, "reload", "Re-read configuration and certificates, all or nothing");
    reloaded.callback([&context] { context.chosen = [&context] { return reload(context); }; });

    CLI::App& versioned = *command(root, "version", "Print the version");
    versioned.callback([&context] { context.chosen = [&context] { return version(context); }; });

    const auto a = std::make_shared<SinkArguments>();
    CLI::App& sunk =
        *command(root, "sink", "Take mail and write it to files: for trials and tests");
    sunk.add_option("--listen", a->options.listen, "ADDRESS:PORT")->capture_default_str();
    sunk.add_option("--dir", a->options.dir, "Folder that gets N.eml and N.json");
    sunk.add_option("--tls", a->tls, "CERTIFICATE,KEY: offer STARTTLS");
    sunk.add_flag("--implicit-tls", a->options.implicit_tls, "TLS from the first octet");
    repeated(sunk, "--fault", a->options.faults, "STAGE:ACTION[:RCPT]: misbehave, see below");
    sunk.add_flag("--discard", a->options.discard, "Count mail, keep none");
    sunk.add_flag("--require-auth", a->options.require_auth, "Refuse MAIL before AUTH");
    const auto without = [&](const char* flag, const char* what,
                             bool sink::SinkOptions::* offered) {
        sunk.add_flag_callback(flag, [a, offered] { a->options.*offered = false; }, what);
    };
    without("--no-pipelining", "Do not offer PIPELINING", &sink::SinkOptions::pipelining);
    without("--no-8bitmime", "Do not offer 8BITMIME", &sink::SinkOptions::eight_bit_mime);
    without("--no-smtputf8", "Do not offer SMTPUTF8", &sink::SinkOptions::smtputf8);
    without("--no-dsn", "Do not offer DSN", &sink::SinkOptions::dsn);
    sunk.add_option("--size", a->options.size, "Octets of the largest mail; 0: no bound");
    sunk.add_option("--hostname", a->options.hostname, "Name in greeting and EHLO")
        ->capture_default_str();
    sunk.footer(
        "Faults: STAGE is connect, ehlo, starttls, auth, mail, rcpt, data, body or dot. ACTION is "
        "a "
        "reply\n(451, \"550 5.1.1 no such user\"), hang, drop, slow[=SECONDS], drip[=SECONDS] or, "
        "at "
        "dot,\nlose (the mail is kept, its answer is not). With RCPT only where that recipient "
        "is.\n"
        "Example: --fault 'rcpt:550 5.1.1 no such user:bob@example.org'");
    sunk.callback(
        [=, &context] { context.chosen = [=, &context] { return run_sink(context, *a); }; });
}

}  // namespace postern::relay::cli
