// postern login ...
#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

Exit list(const Context& c) {
    Call call;
    call.path = {"login"};
    std::vector<std::vector<std::string>> rows;
    const Exit exit = c.each(
        Way::running, config::Need::a_file, "login list", std::move(call), 0, [&](const Json& i) {
            if (c.out.json) return c.out.line(i);
            rows.push_back({shown(i, "kind"), shown(i, "subject"), shown(i, "failures"),
                            shown(i, "delay_s"), i.value("refused", false) ? "yes" : "",
                            shown_time(i, "until"), i.value("allowed", false) ? "yes" : ""});
        });
    c.out.table({"KIND", "SUBJECT", "FAILURES", "DELAY", "REFUSED", "UNTIL", "ALLOWED"}, rows);
    if (exit == Exit::done && rows.empty() && !c.out.json)
        c.out.note("nobody is in penalty, and nobody is exempt");
    return exit;
}

Exit change(const Context& c, const std::string& verb, const std::vector<std::string>& words) {
    // A pair is two words, or one with a space.
    std::string subject = words.front();
    if (words.size() > 1) subject += " " + words.back();
    Call call;
    call.method = "POST";
    call.path = {"login", subject, verb};
    return c.perform(Way::running, config::Need::a_file, subject, std::move(call),
                     [&c](const Json& done) {
                         if (c.out.json) c.out.line(done);
                         return Exit::done;
                     });
}

}  // namespace

void add_login_commands(CLI::App& root, Context& context) {
    CLI::App& login = *command(root, "login", "Whose failed logins make whom wait");
    const auto words = std::make_shared<std::vector<std::string>>();
    const auto subject = [words](CLI::App& app) {
        app.add_option("SUBJECT", *words,
                       "192.0.2.7, 192.0.2.0/24, 2001:db8:0:1::/64, ann@example.net, or "
                       "ann@example.net 192.0.2.7")
            ->required()
            ->expected(1, 2);
    };

    CLI::App& listed = *command(
        login, "list", "Sources, accounts and pairs of both in penalty, and what is allowed");
    listed.callback([&context] { context.chosen = [&context] { return list(context); }; });

    CLI::App& forgotten =
        *command(login, "forget", "Drop what is counted against a subject, and its allowance");
    subject(forgotten);
    forgotten.callback([=, &context] {
        context.chosen = [=, &context] { return change(context, "forget", *words); };
    });

    CLI::App& allowed =
        *command(login, "allow",
                 "Exempt a subject from penalties until it is forgotten; kept over restarts");
    subject(allowed);
    allowed.callback([=, &context] {
        context.chosen = [=, &context] { return change(context, "allow", *words); };
    });
}

}  // namespace postern::relay::cli
