// postern account credential ...
#include "relay/cli/commands.hpp"
#include "relay/cli/device_options.hpp"

namespace postern::relay::cli {
namespace {

struct Wanted {
    std::string account, name, kind = "password", plan;
    DeviceOptions device;
};

Exit add(const Context& c, const Wanted& w) {
    if (!is_address(c, w.account)) return Exit::usage;
    Call call;
    call.method = "POST";
    call.path = {"account", w.account, "credential"};
    call.body = {{"credential", w.name}, {"kind", w.kind}};
    if (!w.plan.empty()) call.body["plan"] = w.plan;
    if (!w.device.put(c, w.kind, call.body)) return Exit::usage;
    const Exit exit = c.perform(Way::files, config::Need::a_file, w.account, std::move(call),
                                [&](const Json& made) {
                                    w.device.warn(c);
                                    if (c.out.json) {
                                        c.out.line(made);
                                    } else if (made.contains("password")) {
                                        c.out.secret(shown(made, "password"));
                                    }
                                    return Exit::done;
                                });
    return w.kind == "password" ? warn_if_unasked(c, exit) : exit;
}

Exit list(const Context& c, const std::string& account) {
    if (!is_address(c, account)) return Exit::usage;
    Call call;
    call.path = {"account", account, "credential"};
    std::vector<std::vector<std::string>> rows;
    const Exit exit =
        c.each(Way::reading, config::Need::a_file, account, std::move(call), 0, [&](const Json& i) {
            if (c.out.json) return c.out.line(i);
            // A device's place stands where the others have their login name.
            const std::string login = shown(i, "source").empty()
                                          ? shown(i, "login")
                                          : shown(i, "source") + " at " + shown(i, "listener");
            rows.push_back({shown(i, "credential"), shown(i, "kind"), login, shown(i, "plan"),
                            shown_time(i, "created"), shown_time(i, "last_used"),
                            shown(i, "last_source")});
        });
    if (exit == Exit::done || !rows.empty())
        c.out.table({"CREDENTIAL", "KIND", "LOGIN", "PLAN", "MADE", "LAST USED", "FROM"}, rows);
    return exit;
}

Exit revoke(const Context& c, const Wanted& w) {
    if (!is_address(c, w.account)) return Exit::usage;
    Call call;
    call.method = "DELETE";
    call.path = {"account", w.account, "credential", w.name};
    return c.perform(Way::files, config::Need::a_file, w.account, std::move(call),
                     [&c](const Json& done) {
                         if (c.out.json) c.out.line(done);
                         return Exit::done;
                     });
}

}  // namespace

void add_credential_commands(CLI::App& account, Context& context) {
    CLI::App& credential =
        *command(account, "credential", "Further passwords of an account: apps, devices, API keys");
    const auto w = std::make_shared<Wanted>();
    const auto subject = [w](CLI::App& app) {
        app.add_option("ACCOUNT", w->account, "The login name, an address")->required();
    };
    const auto named = [w](CLI::App& app) {
        app.add_option("NAME", w->name, "Letters, digits, dots, underscores, hyphens")->required();
    };

    CLI::App& added = *command(
        credential, "add",
        "Make one; its password is made and printed, once. It logs in as ACCOUNT, or "
        "ACCOUNT+NAME.\nA device (a printer) has none: it is known by its address, at a listener "
        "for devices");
    subject(added);
    named(added);
    added.add_option("--kind", w->kind, "What it is")
        ->check(CLI::IsMember({"password", "device"}))
        ->capture_default_str();
    added.add_option("--plan", w->plan,
                     "A table of [limits] for it alone, beside those of the account; of a device "
                     "without one: device");
    w->device.add_to(added);
    added.callback([=, &context] { context.chosen = [=, &context] { return add(context, *w); }; });

    CLI::App& listed = *command(credential, "list", "All credentials of an account, and their use");
    subject(listed);
    listed.callback(
        [=, &context] { context.chosen = [=, &context] { return list(context, w->account); }; });

    CLI::App& revoked =
        *command(credential, "revoke", "Take one away; connections that logged in with it end");
    subject(revoked);
    named(revoked);
    revoked.callback(
        [=, &context] { context.chosen = [=, &context] { return revoke(context, *w); }; });
}

}  // namespace postern::relay::cli
