#include <fmt/format.h>
#include <unistd.h>

#include <optional>

#include "auth/account_store.hpp"
#include "relay/cli/channel.hpp"
#include "relay/dkim/key_store.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/json.hpp"
#include "relay/process/lock.hpp"
#include "relay/process/privileges.hpp"
#include "relay/process/version.hpp"
#include "relay/suppression/lists.hpp"

namespace postern::relay::cli {
namespace {

/// Writes events straight into the journal, as the relay would if it ran.
class JournalStream final : public event::Stream {
  public:
    explicit JournalStream(event::Journal journal)
        : journal_(std::move(journal)), seq_(journal_.next_seq()) {}

    void emit(event::Payload what) noexcept override {
        if (!event::is_written(what)) return;
        const auto now = std::chrono::system_clock::now();
        event::Event e{now, std::chrono::steady_clock::now(), seq_++, std::move(what)};
        std::string line;
        event::append_line(line, e);
        // The journal explains what was done; that it could not be written undoes nothing.
        (void)journal_.append(line, now);
    }

  private:
    event::Journal journal_;
    std::uint64_t seq_;
};

class FilesChannel final : public Channel {
  public:
    FilesChannel(process::StateLock lock, std::unique_ptr<auth::AccountStore> accounts,
                 std::optional<event::Journal> journal, const config::Config& config,
                 const Output& out, std::string who)
        : lock_(std::move(lock)),
          accounts_(std::move(accounts)),
          signing_keys_(*files_, config.server.state + "/dkim",
                        [&out](const std::string& file, const std::string& why) {
                            (void)out.fault(Exit::done, file, why);
                        }),
          who_(std::move(who)) {
        if (journal) stream_.emplace(std::move(*journal));
        // Nothing bounces here, and nothing is looked up: what is changed is the store.
        suppression_.emplace(
            *accounts_,
            suppression::Lists::Ports{.suppress_for = [] { return std::chrono::milliseconds(0); }},
            0);
        admin::Ports ports;
        ports.accounts = accounts_.get();
        ports.events = stream_ ? &*stream_ : nullptr;
        ports.journal = config.server.state + "/events";
        ports.tokens = config.server.state + "/trace";
        ports.trace_retention = [kept = config.message.trace_retention] { return kept; };
        ports.limits_of =
            [limits = config.limits](const std::string& plan) -> std::optional<policy::PlanLimits> {
            const auto it = limits.find(plan);
            return it == limits.end() ? std::nullopt : std::optional(it->second);
        };
        ports.suppression = &*suppression_;
        ports.dkim = &signing_keys_;
        ports.dkim_algorithms = [algorithms = config.dkim.algorithms] { return algorithms; };
        ports.device_listeners = [names = config::device_listeners(config)] { return names; };
        ports.separator = [c = config.auth.credential_separator.front()] { return c; };
        const auto maker = std::make_shared<backup::Maker>(
            backup::Source{.state = config.server.state,
                           .accounts = *accounts_,
                           .flush = {},
                           .stopping = {},
                           .version = std::string(process::version()),
                           .commit = std::string(process::commit())});
        ports.backup = [maker](const std::string& to) { return maker->make(to); };
        ports.version = process::version();
        ports.commit = process::commit();
        ports.built = process::built();
        api_.emplace(std::move(ports));
    }

    std::optional<admin::Response> send(const Call& call) override {
        admin::Request request;
        request.method = call.method;
        request.segments = {"api", "v1"};
        request.segments.insert(request.segments.end(), call.path.begin(), call.path.end());
        request.query = call.query;
        if (!call.body.is_null()) request.body = admin::dump(call.body);
        request.reason = call.reason;
        request.who = who_;
        return api_->handle(request);
    }

  private:
    process::StateLock lock_;
    std::unique_ptr<auth::AccountStore> accounts_;
    std::optional<suppression::Lists> suppression_;
    std::unique_ptr<FileSystem> files_ = posix_file_system();
    dkim::KeyStore signing_keys_;
    std::optional<JournalStream> stream_;
    std::string who_;
    std::optional<admin::Api> api_;
};

/// Becomes the user that `serve` becomes, so that what is made here is that user's.
bool take_rights(const config::Config& config, const Output& out, Exit& exit) {
    const std::string& state = config.server.state;
    const auto choice = process::choose_user(config.server.user, state);
    if (!choice) {
        exit = out.fault(Exit::failure, fmt::format("server.user {}", config.server.user),
                         choice.error().message());
        return false;
    }
    if (!choice->warning.empty()) (void)out.fault(Exit::done, "server.user", choice->warning);
    if (const auto handed = process::hand_over(state, choice->user); !handed) {
        exit = out.fault(Exit::failure,
                         fmt::format("cannot make {}: {}", state, handed.error().message()),
                         "run it as root, or set server.state to a folder of yours");
        return false;
    }
    if (const auto became = process::become(choice->user); !became) {
        exit = out.fault(Exit::failure, fmt::format("cannot become {}", choice->user.name),
                         became.error().message());
        return false;
    }
    return true;
}

}  // namespace

std::unique_ptr<Channel> open_files(const config::Config& config, const Output& out, Exit& exit) {
    const std::string& state = config.server.state;
    const std::string who = fmt::format("uid:{}", ::getuid());
    if (!take_rights(config, out, exit)) return nullptr;
    const auto now = std::chrono::system_clock::now();
    const process::Holder self{::getpid(), "", std::string(process::version()),
                               event::time_text(now)};
    auto lock = process::StateLock::take(state, self);
    if (!lock) {
        const bool held = lock.error() == boost::system::errc::resource_unavailable_try_again;
        exit = held ? out.fault(Exit::unreachable,
                                fmt::format("another process works on {}", state), "try again")
                    : out.fault(Exit::failure,
                                fmt::format("cannot lock {}: {}", state, lock.error().message()),
                                "run it as root or as the relay's user");
        return nullptr;
    }
    auth::StoreSettings settings;
    settings.path = state + "/accounts.db";
    settings.iterations = config.auth.scram_iterations;
    if (config.offers("SCRAM-SHA-1")) settings.scram_sha1 = auth::ScramSha1::kept;
    auto accounts = auth::AccountStore::open(std::move(settings));
    if (!accounts) {
        exit = out.fault(Exit::failure, "the account store does not open", accounts.error().text);
        return nullptr;
    }
    event::Journal::Settings kept;
    kept.folder = state + "/events";
    kept.retention = std::chrono::duration_cast<std::chrono::seconds>(config.log.event_retention);
    auto journal = event::Journal::open(kept, now);
    std::optional<event::Journal> writable;
    if (journal) writable.emplace(std::move(*journal));
    return std::make_unique<FilesChannel>(std::move(*lock), std::move(*accounts),
                                          std::move(writable), config, out, who);
}

}  // namespace postern::relay::cli
