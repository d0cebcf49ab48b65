// postern account import, account export, backup
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "proto/address.hpp"
#include "proto/base64.hpp"
#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

/// So much of a file goes with a request: in base64, and with what stands beside it, less than
/// 1 MiB.
constexpr std::size_t part_octets = std::size_t{720} * 1024;
constexpr std::chrono::seconds import_patience{600};
constexpr std::chrono::hours backup_patience{24};

struct ImportOptions {
    std::string file;
    std::string format;
    std::string domain;
    bool dry_run = false;
};

/// A file that was opened with the rights that the command began with.
class Source {
  public:
    /// False: errno tells.
    bool open(const std::string& path) {
        if (path == "-") {
            file_ = stdin;
            return true;
        }
        owned_.reset(std::fopen(path.c_str(), "rbe"));
        file_ = owned_.get();
        return file_ != nullptr;
    }
    /// Unset: it cannot be read. Empty: its end.
    std::optional<std::string> next() {
        std::string part(part_octets, '\0');
        part.resize(std::fread(part.data(), 1, part.size(), file_));
        if (part.size() < part_octets && std::ferror(file_) != 0) return std::nullopt;
        return part;
    }

  private:
    struct Close {
        void operator()(std::FILE* file) const noexcept { (void)std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> owned_;
    std::FILE* file_ = nullptr;
};

std::string counted(std::size_t count, std::string_view one, std::string_view many) {
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

Exit report(const Context& c, const ImportOptions& o, const Json& done) {
    if (c.out.json) {
        c.out.line(done);
        return Exit::done;
    }
    const auto number = [&](const char* name) { return done.value(name, std::size_t{0}); };
    c.out.text(fmt::format("{} {}: {}, {}, {}, {} locked", o.dry_run ? "would add" : "added",
                           counted(number("matched"), "account", "accounts"),
                           counted(number("crypt"), "crypt hash", "crypt hashes"),
                           counted(number("scram"), "SCRAM verifier", "SCRAM verifiers"),
                           counted(number("cleartext"), "password", "passwords"),
                           number("locked")));
    if (number("crypt") > 0) {
        c.out.note(
            "SCRAM is offered to nobody until each of those with a crypt hash has logged in once; "
            "see auth.scram_beside_crypt");
    }
    return Exit::done;
}

Exit import_file(const Context& c, const ImportOptions& o) {
    if (!o.domain.empty() && !proto::parse_mailbox("x@" + o.domain, true))
        return c.out.fault(Exit::usage, fmt::format("--domain {}", o.domain),
                           "write one like example.net");
    Source source;
    if (!source.open(o.file)) {
        const std::error_code code(errno, std::generic_category());
        return c.out.fault(Exit::usage, o.file, code.message());
    }
    const auto unreadable = [&] {
        const std::error_code code(errno, std::generic_category());
        return c.out.fault(Exit::failure, o.file, code.message());
    };
    return c.converse(Way::files, config::Need::a_file, [&](Channel& channel) {
        auto part = source.next();
        if (!part) return unreadable();
        std::optional<std::string> id;
        for (;;) {
            auto after = part->size() < part_octets ? std::string() : source.next();
            if (!after) return unreadable();
            const bool more = !after->empty();
            Call call;
            call.method = "POST";
            call.path = {"account", "import"};
            call.patience = import_patience;
            call.body = Json{{"data", proto::base64_encode(*part)}, {"more", more}};
            if (id) {
                call.body["import"] = *id;
            } else {
                call.body["format"] = o.format;
                call.body["dry_run"] = o.dry_run;
                if (!o.domain.empty()) call.body["domain"] = o.domain;
            }
            Exit exit = Exit::done;
            const auto answer = c.ask(channel, std::move(call), o.file, exit);
            if (!answer) return exit;
            if (!more) return report(c, o, *answer);
            id = answer->value("import", "");
            part = std::move(after);
        }
    });
}

/// The fields that `replay --accounts` reads; what is null is left out.
Json chosen(const Json& from, const std::vector<const char*>& names) {
    Json out = Json::object();
    for (const char* const name : names) {
        const auto at = from.find(name);
        if (at != from.end() && !at->is_null()) out[name] = *at;
    }
    return out;
}

Exit export_all(const Context& c) {
    // As it comes, so that a long list needs no memory.
    const auto list = [&](Channel& channel, const char* noun,
                          const std::vector<const char*>& fields) {
        Call call;
        call.path = {noun};
        bool first = true;
        return c.each(channel, "account export", std::move(call), 0, [&](const Json& item) {
            c.out.json_part(std::exchange(first, false) ? "\n" : ",\n", chosen(item, fields), "");
        });
    };
    bool begun = false;
    const Exit exit = c.converse(Way::listing, config::Need::a_file, [&](Channel& channel) {
        begun = true;
        c.out.json_part("{\"customers\":[", nullptr, "");
        const Exit customers =
            list(channel, "customer",
                 {"customer", "domains", "plan", "time_zone", "business_hours", "holidays", "aup"});
        if (customers != Exit::done) return customers;
        c.out.json_part("],\n\"accounts\":[", nullptr, "");
        const Exit accounts =
            list(channel, "account", {"account", "customer", "plan", "created", "owns"});
        if (accounts != Exit::done) return accounts;
        c.out.json_part("]}\n", nullptr, "");
        return Exit::done;
    });
    if (!begun && exit == Exit::done)
        c.out.json_part("{\"customers\":[],\n\"accounts\":[]}\n", nullptr, "");
    return exit;
}

Exit backup(const Context& c, const std::string& to) {
    std::error_code error;
    // The relay has a working directory of its own.
    const auto whole = std::filesystem::absolute(to, error).lexically_normal();
    if (to.empty() || error) return c.out.fault(Exit::usage, "--to", "name a folder");
    std::string path = whole.string();
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    Call call;
    call.method = "POST";
    call.path = {"backup"};
    call.patience = backup_patience;
    call.body = Json{{"to", path}};
    return c.perform(
        Way::reading, config::Need::a_file, "backup", std::move(call), [&](const Json& done) {
            if (c.out.json) {
                c.out.line(done);
            } else {
                c.out.text(
                    fmt::format("{}: {}, {} octets", path,
                                counted(done.value("files", std::size_t{0}), "file", "files"),
                                done.value("bytes", std::uint64_t{0})));
            }
            return Exit::done;
        });
}

}  // namespace

void add_import_commands(CLI::App& account, Context& context) {
    const auto o = std::make_shared<ImportOptions>();
    CLI::App& imported =
        *command(account, "import", "Add all accounts of a file, or where a line is wrong none");
    imported.add_option("FILE", o->file, "The file; - is standard input")->required();
    imported
        .add_option("--format", o->format,
                    "csv, dovecot (passwd-file), htpasswd, sasldb (what db_dump -p /etc/sasldb2 "
                    "prints), shadow")
        ->required()
        ->check(CLI::IsMember({"csv", "dovecot", "htpasswd", "sasldb", "shadow"}));
    imported.add_option("--domain", o->domain, "What is put behind names that are no addresses");
    imported.add_flag("--dry-run", o->dry_run, "Say what would be done, and do nothing");
    imported.footer(
        "Hashes that are taken as they are: {SHA512-CRYPT}, {SHA256-CRYPT}, {BLF-CRYPT} (with or "
        "without\nthe braces), {SCRAM-SHA-256}; {PLAIN} and a password become a SCRAM verifier; ! "
        "and * are accounts\nwithout a password. A csv file has a header line that names its "
        "columns: account, and password (as\nit is typed) or hash; beside them customer, plan, "
        "owns, authzids (the last two with spaces between).");
    imported.callback(
        [=, &context] { context.chosen = [=, &context] { return import_file(context, *o); }; });

    CLI::App& exported = *command(account, "export",
                                  "All customers and accounts as one JSON object, without "
                                  "secrets: the file of replay --accounts");
    exported.callback([&context] { context.chosen = [&context] { return export_all(context); }; });
}

void add_backup_command(CLI::App& root, Context& context) {
    const auto to = std::make_shared<std::string>();
    CLI::App& made = *command(root, "backup",
                              "A consistent copy of accounts, journal and keys, to put in the "
                              "state's place; not of the queue, which would be sent twice");
    made.add_option("--to", *to, "A folder that is empty or not there; the relay's user writes it")
        ->required();
    made.callback(
        [=, &context] { context.chosen = [=, &context] { return backup(context, *to); }; });
}

}  // namespace postern::relay::cli
