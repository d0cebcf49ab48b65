// postern dkim ...
#include <fmt/format.h>

#include "proto/dkim.hpp"
#include "relay/cli/commands.hpp"

namespace postern::relay::cli {
namespace {

struct WantedDkim {
    std::string domain;
    std::vector<std::string> domains;
    std::size_t limit = 0;
};

class DkimCommands {
  public:
    explicit DkimCommands(const Context& context) : c_(context) {}

    Exit make(const std::string& domain) const {
        return change("POST", {"dkim", domain, "new"}, domain, [this](const Json& done) {
            bool waits = false;
            for (const Json& key : done.value("keys", Json::array())) {
                print_record(key);
                waits = waits || shown(key, "state") == "new";
            }
            c_.out.note(waits
                            ? "publish these records, then let the keys sign: postern dkim rotate "
                              "DOMAIN"
                            : "the keys sign from now on: publish these records");
        });
    }

    Exit rotate(const std::string& domain) const {
        return change("POST", {"dkim", domain, "rotate"}, domain, [](const Json&) {});
    }

    Exit remove(const std::string& domain) const {
        return change("DELETE", {"dkim", domain}, domain, [](const Json&) {});
    }

    Exit dns(const std::string& domain) const {
        Call call;
        call.path = {"dkim", domain, "dns"};
        return c_.perform(Way::reading, config::Need::a_file, domain, std::move(call),
                          [this](const Json& found) {
                              for (const Json& key : found.value("items", Json::array())) {
                                  if (c_.out.json) {
                                      c_.out.line(key);
                                  } else {
                                      print_record(key);
                                  }
                              }
                              return Exit::done;
                          });
    }

    Exit list(const WantedDkim& w) const {
        Call call;
        call.path = {"dkim"};
        for (const std::string& domain : w.domains) call.query.emplace("domain", domain);
        if (!w.domain.empty()) call.query.emplace("domain", w.domain);
        std::vector<std::vector<std::string>> rows;
        const Exit exit = c_.each(Way::listing, config::Need::a_file, "dkim list", std::move(call),
                                  w.limit, [&](const Json& key) {
                                      if (c_.out.json) return c_.out.line(key);
                                      rows.push_back({shown(key, "domain"), shown(key, "selector"),
                                                      shown(key, "algorithm"), shown(key, "state"),
                                                      shown_time(key, "created")});
                                  });
        c_.out.table({"DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "CREATED"}, rows);
        return exit;
    }

  private:
    Exit change(const std::string& method, std::vector<std::string> path,
                const std::string& subject, const std::function<void(const Json&)>& show) const {
        Call call;
        call.method = method;
        call.path = std::move(path);
        return c_.perform(Way::files, config::Need::a_file, subject, std::move(call),
                          [&](const Json& done) {
                              if (c_.out.json) {
                                  c_.out.line(done);
                              } else {
                                  show(done);
                              }
                              return Exit::done;
                          });
    }

    /// As a line of a zone.
    void print_record(const Json& key) const {
        c_.out.text(fmt::format("{}. IN TXT {}", shown(key, "name"),
                                proto::txt_strings(shown(key, "value"))));
    }

    const Context& c_;
};

}  // namespace

void add_dkim_commands(CLI::App& root, Context& context) {
    CLI::App& dkim = *command(root, "dkim", "The keys that mail is signed with");
    const auto commands = std::make_shared<DkimCommands>(context);
    const auto wanted = std::make_shared<WantedDkim>();
    const auto subject = [wanted](CLI::App& app) {
        return app.add_option("DOMAIN", wanted->domain, "The domain of From");
    };

    CLI::App& made = *command(dkim, "new",
                              "Make a key for each of dkim.algorithms and print the records to "
                              "publish; a domain's first keys sign at once");
    subject(made)->required();
    made.callback(
        [=, &context] { context.chosen = [=] { return commands->make(wanted->domain); }; });

    CLI::App& listed = *command(dkim, "list", "The keys of a domain, or of all");
    subject(listed);
    repeated(listed, "--domain", wanted->domains, "Of this one");
    listed.add_option("--limit", wanted->limit, "At most so many");
    listed.callback([=, &context] { context.chosen = [=] { return commands->list(*wanted); }; });

    CLI::App& shown_dns = *command(dkim, "dns", "The TXT records of a domain's keys");
    subject(shown_dns)->required();
    shown_dns.callback(
        [=, &context] { context.chosen = [=] { return commands->dns(wanted->domain); }; });

    CLI::App& rotated =
        *command(dkim, "rotate",
                 "Let a domain's new keys sign; those that did keep their records until the next "
                 "time");
    subject(rotated)->required();
    rotated.callback(
        [=, &context] { context.chosen = [=] { return commands->rotate(wanted->domain); }; });

    CLI::App& removed =
        *command(dkim, "remove", "Take all keys of a domain away: its mail goes unsigned");
    subject(removed)->required();
    removed.callback(
        [=, &context] { context.chosen = [=] { return commands->remove(wanted->domain); }; });
}

}  // namespace postern::relay::cli
