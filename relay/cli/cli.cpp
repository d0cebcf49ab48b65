#include "relay/cli/cli.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "relay/cli/commands.hpp"
#include "relay/config/reading.hpp"
#include "relay/process/privileges.hpp"

namespace postern::relay::cli {
namespace {

/// The deepest command that the line names.
const CLI::App& deepest(const CLI::App& app) {
    const auto parsed = app.get_subcommands();
    return parsed.empty() ? app : deepest(*parsed.front());
}

std::string path_of(const CLI::App& app) {
    const CLI::App* parent = app.get_parent();
    if (parent == nullptr) return "";
    const std::string above = path_of(*parent);
    return above.empty() ? app.get_name() : above + " " + app.get_name();
}

std::vector<std::string> names_below(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; })) {
        names.push_back(one->get_name());
    }
    return names;
}

std::string help_hint(const CLI::App& app) {
    const std::string path = path_of(app);
    return fmt::format("see: postern {}{}--help", path, path.empty() ? "" : " ");
}

/// A word that no command knows.
Exit unexpected(const CLI::App& root, const std::vector<std::string>& rest, const Output& out) {
    const CLI::App& at = deepest(root);
    const std::string word = rest.empty() ? "" : rest.front();
    const std::string path = path_of(at);
    const std::string what = path.empty() ? word : fmt::format("{} {}", path, word);
    const auto names = names_below(at);
    if (word.starts_with("-") || names.empty()) {
        return out.fault(Exit::usage, fmt::format("{}: not expected here", what), help_hint(at));
    }
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view near = config::nearest(word, views);
    return out.fault(Exit::usage, fmt::format("{}: no such command", what),
                     near.empty() ? help_hint(at) : fmt::format("did you mean {}?", near));
}

/// The line ends before a command does.
Exit unfinished(const CLI::App& root, const Output& out) {
    const CLI::App& at = deepest(root);
    std::string names;
    for (const std::string& name : names_below(at)) names += (names.empty() ? "" : ", ") + name;
    const std::string path = path_of(at);
    return out.fault(
        Exit::usage,
        path.empty() ? "a command is missing" : fmt::format("{}: a command is missing", path),
        fmt::format("write one of: {}", names));
}

Exit parse_and_run(int argc, const char* const* argv, const Programs& programs) {
    Context context{programs, config::Surroundings::of_process(), {}, "", "", {}};
    CLI::App root("Postern: an authenticated SMTP submission relay", "postern");
    root.set_help_flag("--help", "Say what the command does");
    root.add_option("-c", context.file_option,
                    "The configuration (else POSTERN_CONFIG, else /etc/postern/postern.toml)");
    root.add_flag("--json", context.out.json, "Results and faults as JSON, an object a line");
    root.add_option("--reason", context.reason, "Why a change is made; kept in the journal");
    add_service_commands(root, context);
    add_account_commands(root, context);
    add_customer_commands(root, context);
    add_dkim_commands(root, context);
    add_login_commands(root, context);
    add_queue_commands(root, context);
    add_suppression_commands(root, context);
    add_upstream_commands(root, context);
    add_journal_commands(root, context);
    add_backup_command(root, context);
    try {
        root.parse(argc, argv);
    } catch (const CLI::CallForHelp& e) {
        return static_cast<Exit>(root.exit(e));
    } catch (const CLI::ExtrasError&) {
        return unexpected(root, root.remaining(true), context.out);
    } catch (const CLI::ParseError& e) {
        // The parser stops before it has seen every flag.
        context.out.json = context.out.json || std::any_of(argv, argv + argc, [](const char* a) {
                               return std::string_view(a) == "--json";
                           });
        const std::string path = path_of(deepest(root));
        const std::string what = path.empty() ? e.what() : fmt::format("{}: {}", path, e.what());
        return context.out.fault(Exit::usage, what, help_hint(deepest(root)));
    }
    if (!context.chosen) return unfinished(root, context.out);
    return context.chosen();
}

}  // namespace

int run(int argc, const char* const* argv, const Programs& programs) {
    process::harden();
    try {
        return static_cast<int>(parse_and_run(argc, argv, programs));
    } catch (const std::exception& e) {
        return static_cast<int>(Output{}.fault(Exit::failure, "an error of our own", e.what()));
    }
}

}  // namespace postern::relay::cli
