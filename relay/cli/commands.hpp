#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "relay/cli/channel.hpp"
#include "relay/cli/cli.hpp"
#include "relay/cli/output.hpp"
#include "relay/config/load.hpp"

namespace postern::relay::cli {

/// What every command works with; lives as long as the parser.
struct Context {
    const Programs& programs;
    config::Surroundings around;
    Output out;
    std::string file_option;       ///< -c
    std::string reason;            ///< --reason
    std::function<Exit()> chosen;  ///< The command that the line names.

    /// The configuration, or null with its faults told (exit 2).
    [[nodiscard]] config::ConfigPtr load(config::Need need) const;
    [[nodiscard]] bool file_named() const;

    /// Opens the way that fits and lets `talk` speak there; faults are told.
    Exit converse(Way way, config::Need need, const std::function<Exit(Channel&)>& talk) const;
    /// Sends `call` on the way that fits and hands the answer's JSON to `show`; faults are told.
    Exit perform(Way way, config::Need need, const std::string& subject, Call call,
                 const std::function<Exit(const Json&)>& show) const;
    /// The answer's JSON; unset with the fault told and its code in `exit`.
    [[nodiscard]] std::optional<Json> ask(Channel& channel, Call call, const std::string& subject,
                                          Exit& exit) const;
    /// As `perform`, through all pages of a list (`limit` 0: the whole of it): `item` sees each.
    Exit each(Way way, config::Need need, const std::string& subject, Call call, std::size_t limit,
              const std::function<void(const Json&)>& item) const;
    /// The same where the way is open.
    Exit each(Channel& channel, const std::string& subject, Call call, std::size_t limit,
              const std::function<void(const Json&)>& item) const;
};

/// Selectors as options, by the JSON fields' names.
struct SelectorOptions {
    std::vector<std::string> accounts, customers, mail_from, rcpts, upstreams, states, sources,
        events, refs, sessions, rules;
    std::string since, until;
    std::size_t limit = 0;

    void add_to(admin::Query& query) const;
    [[nodiscard]] bool empty() const;
};

void add_account_commands(CLI::App& root, Context& context);
/// Below `account`.
void add_credential_commands(CLI::App& account, Context& context);
void add_import_commands(CLI::App& account, Context& context);
void add_backup_command(CLI::App& root, Context& context);
void add_customer_commands(CLI::App& root, Context& context);
void add_dkim_commands(CLI::App& root, Context& context);
void add_login_commands(CLI::App& root, Context& context);
void add_queue_commands(CLI::App& root, Context& context);
void add_suppression_commands(CLI::App& root, Context& context);
void add_upstream_commands(CLI::App& root, Context& context);
void add_journal_commands(CLI::App& root, Context& context);
void add_service_commands(CLI::App& root, Context& context);

/// An address, as accounts have them; else it is told (exit 2).
[[nodiscard]] bool is_address(const Context& context, const std::string& text);

/// A password was set in the store: says on stderr that nobody asks for it, where another back-end
/// is configured. Returns `exit`.
Exit warn_if_unasked(const Context& context, Exit exit);

/// `--rule RULE=MODE` as the body's `rules`; false: one is wrong, which is told.
[[nodiscard]] bool add_rules(const Context& context, const std::vector<std::string>& rules,
                             Json& body);
/// A list as an option gives it: '' alone is the empty list.
[[nodiscard]] std::vector<std::string> without_empty(std::vector<std::string> values);

/// A subcommand that passes what it does not know to its parents, so that -c, --json and --reason
/// stand anywhere.
CLI::App* command(CLI::App& parent, const std::string& name, const std::string& description);
/// An option that may be repeated and takes one value each time.
CLI::Option* repeated(CLI::App& app, const std::string& name, std::vector<std::string>& into,
                      const std::string& description);

}  // namespace postern::relay::cli
