// postern account credential ...
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <system_error>

#include "auth/certificate.hpp"
#include "relay/cli/commands.hpp"
#include "relay/cli/device_options.hpp"

namespace postern::relay::cli {
namespace {

struct WantedCredential {
    std::string account, name, kind = "password", plan, certificate;
    DeviceOptions device;
};

constexpr std::size_t longest_certificate = std::size_t{64} * 1024;

/// Puts the certificate into the body; false: it cannot be read, or is none, which is told.
bool add_certificate(const Context& c, const std::string& path, Json& body) {
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    std::string text(longest_certificate + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    const int why = errno;
    if (!file.is_open() || file.bad() || (text.empty() && why != 0)) {
        (void)c.out.fault(Exit::usage, fmt::format("--certificate {}", path),
                          std::generic_category().message(why == 0 ? EIO : why));
        return false;
    }
    const auto read = auth::read_certificate(text, std::chrono::system_clock::now());
    if (!read) {
        (void)c.out.fault(Exit::usage, fmt::format("--certificate {}", path),
                          fmt::format("it {}; name a file with the client's certificate (PEM)",
                                      read.error().text));
        return false;
    }
    body["certificate"] = read->pem;
    return true;
}

Exit add(const Context& c, const WantedCredential& w) {
    if (!is_address(c, w.account)) return Exit::usage;
    const bool is_certificate = w.kind == "certificate";
    if (is_certificate != !w.certificate.empty()) {
        return c.out.fault(Exit::usage, is_certificate ? "--kind certificate" : "--certificate",
                           is_certificate ? "name the file with it by --certificate"
                                          : "goes with --kind certificate alone");
    }
    Call call;
    call.method = "POST";
    call.path = {"account", w.account, "credential"};
    call.body = {{"credential", w.name}, {"kind", w.kind}};
    if (!w.plan.empty()) call.body["plan"] = w.plan;
    if (!w.device.put(c, w.kind, call.body)) return Exit::usage;
    if (is_certificate && !add_certificate(c, w.certificate, call.body)) return Exit::usage;
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

Exit revoke(const Context& c, const WantedCredential& w) {
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
        *command(account, "credential",
                 "Further passwords of an account, and certificates: apps, devices, API keys");
    const auto w = std::make_shared<WantedCredential>();
    const auto subject = [w](CLI::App& app) {
        app.add_option("ACCOUNT", w->account, "The login name, an address")->required();
    };
    const auto named = [w](CLI::App& app) {
        app.add_option("NAME", w->name, "Letters, digits, dots, underscores, hyphens")->required();
    };

    CLI::App& added =
        *command(credential, "add",
                 "Make one; a password is made and printed, once. It logs in as ACCOUNT, or "
                 "ACCOUNT+NAME.\nA certificate logs in by EXTERNAL. A device (a printer) has none: "
                 "it is known by its address, at a listener "
                 "for devices");
    subject(added);
    named(added);
    added.add_option("--kind", w->kind, "What it is")
        ->check(CLI::IsMember({"password", "certificate", "device"}))
        ->capture_default_str();
    added.add_option("--certificate", w->certificate,
                     "The client's certificate (PEM), of any authority or its own");
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
