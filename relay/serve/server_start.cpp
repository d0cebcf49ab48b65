// From a loaded configuration to a process that serves: binding, giving up rights, opening what is
// kept.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <set>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "auth/error.hpp"
#include "auth/key_file.hpp"
#include "relay/config/backend.hpp"
#include "relay/net/offload.hpp"
#include "relay/process/privileges.hpp"
#include "relay/process/version.hpp"
#include "relay/serve/elsewhere.hpp"
#include "relay/serve/randomness.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

namespace {

using Started = boost::system::result<void, std::string>;

std::size_t threads_of(const config::Config& config) {
    if (config.server.threads > 0) return config.server.threads;
    return std::max(1U, std::thread::hardware_concurrency());
}

/// A folder of lines by their day: the journal, the token map.
boost::system::result<event::Journal, std::string> open_lines(const std::string& folder,
                                                              config::Duration retention,
                                                              std::uint64_t keep_free) {
    event::Journal::Settings settings;
    settings.folder = folder;
    settings.retention = std::chrono::duration_cast<std::chrono::seconds>(retention);
    settings.keep_free = keep_free;
    auto opened = event::Journal::open(std::move(settings), std::chrono::system_clock::now());
    if (!opened) return fmt::format("{}: {}", folder, opened.error().message());
    return std::move(*opened);
}

}  // namespace

auth::ScramSha1 scram_sha1_of(const config::Config& config) {
    return config.offers("SCRAM-SHA-1") ? auth::ScramSha1::kept : auth::ScramSha1::left_out;
}

event::LogTarget log_target(const config::LogTarget& target) {
    event::LogTarget out;
    out.path = target.path;
    switch (target.kind) {
        case config::LogKind::standard_output:
            out.kind = event::LogTarget::Kind::stdout_stream;
            break;
        case config::LogKind::journald:
            out.kind = event::LogTarget::Kind::journald;
            break;
        case config::LogKind::file:
            out.kind = event::LogTarget::Kind::file;
            break;
    }
    return out;
}

Server::Server(ServeOptions options, process::Notifier notifier)
    : options_(std::move(options)),
      notifier_(std::move(notifier)),
      config_(options_.loaded.config),
      guard_({}, {}, random_seed()),
      tickets_(net::make_ticket_keys()) {}

Server::~Server() = default;

Started Server::start() {
    auth::bound_waiting(elsewhere_settings(*config_));
    // As many descriptors as we may have: each connection takes one.
    if (rlimit files{};
        ::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)::setrlimit(RLIMIT_NOFILE, &files);
    }
    if (auto done = bind_and_drop(); !done) return done;
    if (auto done = open_events(); !done) return done;
    if (auto done = open_accounts(); !done) return done;
    if (auto done = open_spool(); !done) return done;
    if (auto done = load_suppression(); !done) return done;

    const std::size_t threads = threads_of(*config_);
    SnapshotParts parts;
    parts.tickets = tickets_;
    parts.tls = first_tls_;
    parts.events = events_.get();
    parts.compute = &compute_;
    parts.path_freed = [this] {
        for (const auto& thread : threads_)
            thread->post([&pool = thread->upstreams()] { pool.wake_waiters(); });
        if (runner_) runner_->wake();
    };
    auto snapshot = make_snapshot(config_, parts);
    if (!snapshot) return snapshot.error();
    current_.set(*snapshot);
    came_into_force(**snapshot, nullptr);
    warn_of_plans(**snapshot);
    load_watch((*snapshot)->geo);
    make_signing();
    make_services();
    make_desk();
    for (std::size_t i = 0; i < threads; ++i) {
        threads_.push_back(
            std::make_unique<NetworkThread>(i, threads, config_->dns.resolvers, *events_));
    }
    for (const auto& thread : threads_) {
        thread->upstreams().ask_others = [this, self = thread.get()] {
            for (const auto& other : threads_) {
                if (other.get() != self) other->post([&pool = other->upstreams()] { pool.shed(); });
            }
        };
        workers_.push_back(thread->dealt());
    }
    std::vector<QueueRunner::Lane> lanes;
    for (const auto& thread : threads_) {
        lanes.emplace_back([this, self = thread.get()](std::string id) {
            self->post([this, self, id = std::move(id)]() mutable {
                self->tasks().spawn(
                    [](Server& server, NetworkThread& on, std::string entry) -> awaitable<void> {
                        // Also where it ends by an exception: the runner counts them.
                        struct Done {
                            QueueRunner& runner;
                            ~Done() { runner.done(); }
                        };
                        const Done done{*server.runner_};
                        co_await server.delivery_->run_entry(on.upstreams(), std::move(entry));
                    }(*this, *self, std::move(id)));
            });
        });
    }
    runner_ = std::make_unique<QueueRunner>(
        house_, *spool_, *delivery_, [this] { return current_.get()->paths; }, std::move(lanes),
        QueueRunner::Pace{});
    runner_ready_.store(runner_.get());
    register_gauges();
    return {};
}

Started Server::bind_and_drop() {
    const auto user = process::choose_user(config_->server.user, config_->server.state);
    if (!user) return fmt::format("server.user: {}", user.error().message());
    // The lock comes first: whoever starts a second relay is told so, and not that a port is taken.
    process::Holder holder{
        .pid = ::getpid(),
        .admin = config_->admin_socket(),
        .version = std::string(process::version()),
        .started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)))};
    auto lock = process::StateLock::take(config_->server.state, holder);
    if (!lock) {
        if (lock.error() == boost::system::errc::resource_unavailable_try_again) {
            const auto other = process::StateLock::holder(config_->server.state);
            return fmt::format(
                "{}: another postern (pid {}) serves this state; stop it, or use another "
                "server.state",
                config_->server.state, other ? other->pid : 0);
        }
        return fmt::format("{}/lock: {}", config_->server.state, lock.error().message());
    }
    lock_ = std::move(*lock);
    auto tls = load_tls(*config_, tickets_);
    if (!tls) return tls.error();
    first_tls_ = *tls;
    std::vector<process::PassedSocket> passed = process::passed_sockets();
    for (const config::Listen& listen : config_->server.listen) {
        const auto it = std::ranges::find_if(passed, [&](const process::PassedSocket& socket) {
            return socket.descriptor >= 0 && socket.port == listen.port &&
                   socket.address == listen.address;
        });
        if (it != passed.end()) {
            bound_.listeners.push_back(std::exchange(it->descriptor, -1));
            continue;
        }
        const auto fd = net::open_listening_socket(listen.place());
        if (!fd) {
            return fmt::format("server.listen: cannot listen on {}: {}", listen.place(),
                               fd.error().message());
        }
        bound_.listeners.push_back(*fd);
    }
    if (auto done = bind_intake(); !done) return done;
    admin::ServerSettings settings;
    settings.listen = config_->server.admin;
    settings.hostname = config_->server.hostname;
    settings.metrics_from = [this] { return current_.get()->config->server.metrics_from; };
    for (const config::AdminListen& place : config_->server.admin) {
        for (process::PassedSocket& socket : passed) {
            const bool same = place.path.empty()
                                  ? socket.address == place.address && socket.port == place.port
                                  : socket.address == place.path;
            if (socket.descriptor >= 0 && same) {
                settings.inherited.push_back({place, std::exchange(socket.descriptor, -1)});
            }
        }
    }
    for (const process::PassedSocket& unused : passed) {
        if (unused.descriptor >= 0) ::close(unused.descriptor);
    }
    // Only what nobody else serves, and the lock itself with it.
    if (const auto handed = process::hand_over(config_->server.state, user->user); !handed) {
        return fmt::format("{}: {}", config_->server.state, handed.error().message());
    }
    admin_ = std::make_unique<admin::Server>(
        house_.get_executor(), std::move(settings),
        [this](std::function<admin::Response()> work) -> awaitable<admin::Response> {
            return net::offload(offload_, std::move(work));
        });
    for (const auto& failure : admin_->open(user->user.uid, user->user.gid)) {
        return fmt::format("server.admin: cannot listen on {}: {}", failure.place,
                           failure.error.message());
    }
    // The log file may stand where only root may make it.
    event::LineWriter::Settings log;
    log.target = log_target(config_->log.target);
    log.level = config_->log.level;
    if (::geteuid() == 0) log.owner = {.uid = user->user.uid, .gid = user->user.gid};
    auto writer = event::LineWriter::open(std::move(log));
    if (!writer) {
        return fmt::format("log.target: {}: {}", config_->log.target.path,
                           writer.error().message());
    }
    log_ = std::move(*writer);
    if (const auto dropped = process::become(user->user); !dropped) {
        return fmt::format("cannot become user {}: {}", user->user.name, dropped.error().message());
    }
    if (!user->warning.empty()) options_.loaded.notices.push_back(user->warning);
    return {};
}

Started Server::open_events() {
    metrics_ = std::make_unique<event::Metrics>(std::string(process::version()));
    auto journal = open_lines(config_->server.state + "/events", config_->log.event_retention,
                              journal_floor(config_->spool.reserve));
    if (!journal) return journal.error();
    auto tokens = open_lines(config_->server.state + "/trace", config_->message.trace_retention,
                             token_floor(config_->spool.reserve));
    if (!tokens) return tokens.error();
    const std::uint64_t seq = journal->next_seq();
    recorder_ = std::make_unique<event::Recorder>(std::move(*journal), log_.get(),
                                                  event::Recorder::Settings{}, std::move(*tokens));
    delivered_by_ = std::make_unique<intake::DeliveredBy>();
    events_ = std::make_unique<event::FanOut>(
        seq, std::vector<event::Reader*>{metrics_.get(), delivered_by_.get()}, recorder_.get());
    for (const std::string& notice : options_.loaded.notices) {
        events_->log(event::Level::warning, "configuration", notice);
    }
    return {};
}

Started Server::open_accounts() {
    const std::filesystem::path state(config_->server.state);
    auth::StoreSettings settings;
    settings.path = state / "accounts.db";
    settings.iterations = config_->auth.scram_iterations;
    settings.scram_sha1 = scram_sha1_of(*config_);
    auto store = auth::AccountStore::open(std::move(settings));
    if (!store) return store.error().text;
    accounts_ = std::move(*store);
    auto key = auth::load_or_make_key(state / "keys" / "fake_salt.key", auth::system_random());
    if (!key) return key.error().text;
    auto naming = auth::load_or_make_key(state / "keys" / "pseudonym.key", auth::system_random());
    if (!naming) return naming.error().text;
    pseudonyms_.emplace(std::move(*naming));
    passwords_ = std::make_unique<auth::PasswordMemory>();
    auth::SaslSettings sasl_settings;
    sasl_settings.elsewhere = elsewhere_settings(*config_);
    auto sasl = auth::SaslServer::start(std::move(sasl_settings), *accounts_, *passwords_,
                                        auth::FakeVerifiers(std::move(*key)));
    if (!sasl) return sasl.error().text;
    sasl_ = std::move(*sasl);
    auth_pool_ =
        std::make_unique<auth::AuthPool>(auth::AuthPool::Settings{.one_for_the_known = true});
    if (sasl_->passwords() != nullptr) {
        backend_ = std::make_unique<BackendDesk>(
            BackendDesk::Settings{.backend = std::string(config::name(config_->auth.backend)),
                                  .timeout = config_->auth.options.timeout,
                                  .connections = config_->auth.options.connections},
            *events_);
    }

    const auto now = std::chrono::system_clock::now();
    guard_.set(guard_settings(*config_));
    if (const auto pairs = accounts_->known_pairs(known_since())) {
        for (const auth::KnownPair& pair : *pairs) {
            guard_.load_known(
                pair.source, pair.account,
                std::chrono::duration_cast<std::chrono::seconds>(now - pair.last_seen),
                std::chrono::steady_clock::now());
        }
    }
    files_ = posix_file_system();
    guard_file_ = std::make_unique<GuardFile>(*files_, config_->server.state);
    if (const auto problem = guard_file_->load(guard_, {}))
        events_->log(event::Level::warning, "guard", *problem);
    attacks_ = std::make_unique<AttackAlerts>(*events_);
    subscription_ = accounts_->subscribe([this](std::string_view account, auth::Change change) {
        account_changed(std::string(account), change);
    });
    return {};
}

Started Server::open_spool() {
    Spool::Settings settings;
    settings.path =
        config_->spool.path.empty() ? config_->server.state + "/spool" : config_->spool.path;
    settings.reserve = config_->spool.reserve;
    const std::string path = settings.path;
    Spool::Observer observer;
    observer.failed = [this, path](std::string_view kind, const std::string& file,
                                   const std::string& error) {
        events_->emit(event::SpoolError{.kind = std::string(kind), .path = file, .error = error});
        spool_failing_.store(true);
        events_->emit(event::AlertRaised{
            .kind = "spool_failed",
            .subject = path,
            .text = fmt::format("the spool cannot {} {}: {}", kind == "full" ? "grow" : kind, file,
                                error),
            .action = "make space, or mend the disk; mail that cannot be stored hears 452",
            .fields = {{"error", error}}});
    };
    observer.recovered = [this, path] {
        spool_failing_.store(false);
        events_->emit(event::AlertRaised{.kind = "spool_failed",
                                         .subject = path,
                                         .text = "the spool can be written again",
                                         .resolved = true});
    };
    observer.damaged = [this](const std::string& id, const std::string& where,
                              const std::string& why) {
        events_->emit(event::SpoolError{.kind = "damaged", .path = where, .error = why});
        events_->emit(event::AlertRaised{
            .kind = "entry_damaged",
            .subject = id,
            .text = fmt::format("spool entry {} is damaged ({}); it was set aside as {}", id, why,
                                where),
            .action = "look at the file; what it holds will not be sent"});
    };
    observer.batch_committed = [this](std::size_t entries, double seconds) {
        events_->emit(event::SpoolCommit{.entries = entries, .seconds = seconds});
    };
    observer.due_changed = [this] {
        // The spool's thread runs before there is a runner.
        if (QueueRunner* runner = runner_ready_.load()) runner->wake();
    };
    auto spool = Spool::open(*files_, std::move(settings), std::move(observer));
    if (!spool)
        return fmt::format("{}: the spool cannot be opened: {}", path, spool.error().message());
    spool_ = std::move(*spool);
    return freeze_as_suspended();
}

/// What was suspended or released while no relay ran, or just before a crash, holds for the mail
/// that is queued, too.
Started Server::freeze_as_suspended() {
    std::set<std::string> suspended;
    auth::AccountFilter filter;
    filter.states = {"suspended"};
    std::string cursor;
    for (;;) {
        const auto page = accounts_->list(filter, cursor, 1000);
        if (!page)
            return fmt::format("the account store cannot be read: {}", page.error().message());
        for (const auth::AccountView& view : page->items) suspended.insert(view.account->name);
        if (!page->next) break;
        cursor = *page->next;
    }
    const auto report = [this](result<void> said) {
        if (!said)
            events_->log(event::Level::error, "spool",
                         "frozen mail could not be recorded: " + said.error().message());
    };
    for (const std::string& account : spool_->frozen_accounts()) {
        if (suspended.erase(account) != 0) continue;
        const auto standing = accounts_->find(account);
        if (!standing && standing.error() != auth::AuthError::not_found) {
            return fmt::format("the account store cannot be read: {}", standing.error().message());
        }
        // Nobody has released the mail of an account that was removed, nor by adding another one.
        EntrySelector orphaned;
        orphaned.accounts = {account};
        if (standing) orphaned.until = (*standing)->created;
        if (spool_->list(orphaned, 1, {}).empty()) {
            spool_->freeze(account, false, report);
            continue;
        }
        events_->log(
            event::Level::warning, "spool",
            fmt::format("the mail of {0} stays frozen: the account was suspended and then removed; "
                        "postern queue drop --account {0} takes it out{1}",
                        account, standing ? ", account release sends it" : ""));
    }
    for (const std::string& account : suspended) spool_->freeze(account, true, report);
    return {};
}

void Server::make_services() {
    bodies_.set_limit(config_->resources.body_memory);
    delivery_ = std::make_unique<Delivery>(
        Delivery::Ports{
            .config = [this] { return current_.get()->config; },
            .paths = [this] { return current_.get()->paths; },
            .make_ref = make_ref,
            .random = random_share,
            .standing = [this](const std::string& account) { return standing_of(account); },
            .signing = signing_.get(),
            .may_tell = [this](const std::string& account,
                               const proto::Address& sender) { return may_tell(account, sender); },
            .suppression = suppression_.get()},
        *spool_, offload_, *events_);
    services_.emplace(Services{
        .current = current_,
        .sasl = *sasl_,
        .accounts = *accounts_,
        .auth_pool = *auth_pool_,
        .guard = guard_,
        .attacks = *attacks_,
        .watch = login_watch_,
        .limits = limits_,
        .delivery = *delivery_,
        .signing = *signing_,
        .spool = *spool_,
        .events = *events_,
        .bodies = bodies_,
        .sources = sources_,
        .accounts_connected = accounts_connected_,
        .connections = connections_,
        .sessions_made = sessions_made_,
        .by_listener = std::vector<std::atomic<std::int64_t>>(config_->server.listen.size()),
        .make_ref = make_ref,
        .make_token = make_token,
        .pseudonyms = *pseudonyms_,
        .backend = backend_.get(),
        .suppression = suppression_.get()});
}

}  // namespace postern::relay
