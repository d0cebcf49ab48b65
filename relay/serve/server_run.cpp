// A process that serves: signals, housekeeping, reload, drain.

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "relay/config/reload.hpp"
#include "relay/net/offload.hpp"
#include "relay/process/version.hpp"
#include "relay/serve/server.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr seconds tick_every{5};
constexpr std::chrono::milliseconds probe_every{500};
/// What a session without an answer may still take of the drain for saying so.
constexpr std::chrono::milliseconds last_words{1000};

proto::Reply shutting_down() {
    return {421, "4.3.2", "service shuts down, try again later", true};
}

}  // namespace

int Server::run() {
    for (const auto& thread : threads_) thread->start(*services_);
    api_ = std::make_unique<admin::Api>(admin_ports());
    chores_ =
        std::make_unique<net::TaskGroup>(house_.get_executor(), [this](std::string_view what) {
            events_->log(event::Level::error, "internal",
                         fmt::format("a task ended with an exception: {}", what));
        });
    signals_.add(SIGTERM);
    signals_.add(SIGINT);
    signals_.add(SIGHUP);
    chores_->spawn(admin_->run(*api_));
    chores_->spawn(runner_->run());
    chores_->spawn(housekeeping());
    chores_->spawn(probe_paths());
    chores_->spawn(on_signals());
    watch_ = std::make_unique<net::FileWatch>(house_.get_executor(), [this] {
        const auto read = reload_certificates();
        events_->log(read ? event::Level::info : event::Level::error, "tls",
                     read ? "certificates were read again"
                          : "certificates changed and cannot be read: " + read.error());
        return read.has_value();
    });
    watch_certificates();
    tend_token_keys();
    tend_upstream_tokens();
    start_listening();
    start_intake();
    listening_.store(true);
    events_->log(event::Level::info, "serve",
                 fmt::format("postern {} serves {}", process::version(), config_->server.hostname));
    notifier_.ready();
    house_.run();

    for (const auto& thread : threads_) thread->join();
    auth_pool_->stop();
    const bool hangs = backend_ && !backend_->stop();
    offload_.join();
    compute_.join();
    desk_->stop();
    runner_ready_.store(nullptr);
    spool_->stop();
    keep_guard();
    suppression_->flush();
    if (!accounts_->flush(known_since()))
        events_->log(event::Level::error, "auth", "last logins could not be written");
    events_->log(event::Level::info, "serve", "stopped");
    recorder_->stop();
    log_->stop();
    // What a back-end keeps from ending uses the store, and a thread cannot be ended from outside.
    if (hangs) ::_exit(0);
    return 0;
}

void Server::start_listening() {
    for (std::size_t i = 0; i < bound_.listeners.size(); ++i) {
        net::ListenOptions options;
        options.index = i;
        options.refusal = config_->server.listen[i].tls == config::ListenTls::starttls
                              ? "421 4.7.0 too many connections, try again later\r\n"
                              : "";
        // The first thread accepts: what it keeps for itself wakes nobody.
        listeners_.push_back(std::make_unique<net::Listener>(
            threads_.front()->context(), bound_.listeners[i], workers_, options));
        threads_.front()->post([this, listener = listeners_.back().get()] {
            threads_.front()->tasks().spawn(listener->run());
        });
    }
}

awaitable<void> Server::on_signals() {
    for (;;) {
        const auto [error, number] = co_await signals_.async_wait(as_value);
        if (error) co_return;
        if (number != SIGHUP) break;
        notifier_.reloading();
        (void)reload_on_house();
        log_->reopen();
        notifier_.ready();
    }
    // Whoever asks twice does not want to wait; what was promised is on disk.
    chores_->spawn(on_second_signal());
    co_await drain();
}

awaitable<void> Server::on_second_signal() {
    for (;;) {
        const auto [error, number] = co_await signals_.async_wait(as_value);
        if (error) co_return;
        if (number != SIGHUP) ::_exit(1);
    }
}

awaitable<void> Server::drain() {
    draining_.store(true);
    notifier_.stopping();
    const auto patience = current_.get()->config->server.drain;
    events_->log(event::Level::info, "serve",
                 fmt::format("shutting down within {} ms", patience.count()));
    const auto until = clock::now() + patience;
    runner_->stop();
    if (intake_) intake_->stop();
    threads_.front()->post([this] {
        for (const auto& listener : listeners_) listener->stop();
    });
    for (const auto& thread : threads_) {
        thread->post([t = thread.get(), until] {
            t->upstreams().hurry(until - last_words);
            t->drain(shutting_down());
        });
    }
    asio::steady_timer timer(house_);
    const auto all_quiet = [this] {
        return (!intake_ || intake_->quiet()) &&
               std::ranges::all_of(threads_, [](const auto& thread) { return thread->quiet(); });
    };
    do {
        for (const auto& thread : threads_) thread->ask_quiet();
        timer.expires_after(std::chrono::milliseconds(20));
        (void)co_await timer.async_wait(as_value);
    } while (!all_quiet() && clock::now() < until);
    for (const auto& thread : threads_) {
        thread->post([t = thread.get()] { t->abort_sessions(); });
    }
    if (intake_) intake_->abort();
    while (!all_quiet() && clock::now() < until + last_words) {
        for (const auto& thread : threads_) thread->ask_quiet();
        timer.expires_after(std::chrono::milliseconds(20));
        (void)co_await timer.async_wait(as_value);
    }
    for (const auto& thread : threads_) {
        thread->post([t = thread.get()] { t->finish(); });
    }
    admin_->stop();
    watch_->stop();
    if (key_watch_) key_watch_->stop();
    if (key_fetcher_) key_fetcher_->stop();
    for (const auto& fetcher : token_fetchers_) fetcher->stop();
    tick_.cancel();
    probe_tick_.cancel();
    house_.stop();
}

awaitable<void> Server::housekeeping() {
    int ticks = 0;
    auto wall = std::chrono::system_clock::now();
    auto steady = clock::now();
    const std::chrono::microseconds every = std::min<std::chrono::microseconds>(
        tick_every, notifier_.watchdog_interval().value_or(tick_every));
    while (!draining_.load()) {
        tick_.expires_after(every);
        (void)co_await tick_.async_wait(as_value);
        if (draining_.load()) co_return;
        notifier_.alive();
        const auto wall_now = std::chrono::system_clock::now();
        const auto steady_now = clock::now();
        const std::chrono::duration<double> jump = (wall_now - wall) - (steady_now - steady);
        if (std::abs(jump.count()) > 5) {
            events_->emit(event::AlertRaised{
                .kind = "clock_jumped",
                .subject = "clock",
                .text = fmt::format("the clock was set by {:.0f} s", jump.count()),
                .action = "see that time is kept by NTP; limits run on another clock",
                .fields = {{"s", fmt::format("{:.0f}", jump.count())}}});
        }
        wall = wall_now;
        steady = steady_now;
        look_after_alerts();
        look_after_standbys();
        if (backend_) backend_->look_after();
        imports_->expire(wall_now);  // It may hold passwords.
        if (++ticks % 6 == 0) {      // twice a minute
            (void)co_await net::offload(
                offload_, [this] { return accounts_->flush(known_since()).has_value(); });
            co_await net::offload(offload_, [this] { attacks_->sweep(guard_, clock::now()); });
            co_await net::offload(offload_,
                                  [this] { suppression_->tend(std::chrono::system_clock::now()); });
            // Handshakes by the hundred leave their memory in the allocator.
            co_await net::offload(offload_, [] { ::malloc_trim(0); });
        }
        if (ticks % 12 == 0) co_await net::offload(offload_, [this] { keep_guard(); });
        if (ticks % 720 == 1) look_after_certificates();
    }
}

/// On any thread but a network's.
void Server::keep_guard() {
    const auto error = guard_file_->save(guard_, {});
    if (error && !guard_file_failing_.exchange(true)) {
        events_->log(event::Level::error, "guard",
                     fmt::format("{}/guard.snap cannot be written: {}; penalties will not "
                                 "survive a restart",
                                 config_->server.state, error.message()));
    }
    if (!error) guard_file_failing_.store(false);
}

std::chrono::system_clock::time_point Server::known_since() const {
    // A clock that was set ahead must not make everybody a stranger: no more time went by than the
    // steady clock saw.
    const auto passed = clock::now() - began_.steady;
    const auto latest = began_.wall + passed + std::chrono::hours(1);
    const SnapshotPtr now = current_.get();
    const auto known_for = (now ? *now->config : *config_).login_guard.known_for;
    return std::min(std::chrono::system_clock::now(),
                    std::chrono::time_point_cast<std::chrono::system_clock::duration>(latest)) -
           known_for;
}

awaitable<void> Server::probe_paths() {
    std::size_t next = 0;
    while (!draining_.load()) {
        probe_tick_.expires_after(probe_every);
        (void)co_await probe_tick_.async_wait(as_value);
        if (draining_.load()) co_return;
        look_after_upstreams();
        for (const PathPtr& path : current_.get()->paths->paths) {
            if (!path->claim_probe(clock::now())) continue;
            NetworkThread* thread = threads_[next++ % threads_.size()].get();
            thread->post(
                [thread, path] { thread->tasks().spawn(thread->upstreams().probe(path)); });
        }
    }
}

void Server::account_changed(const std::string& account, auth::Change change) {
    if (change == auth::Change::removed) suppression_->forget({.customer = {}, .account = account});
    // The mail of one of that name that was removed does not become the new one's.
    const bool forgotten =
        change == auth::Change::added &&
        std::ranges::binary_search(spool_->frozen_accounts(), account) &&
        spool_->list({.accounts = {account}, .states = {EntryState::frozen}}, 1, {}).empty();
    if (forgotten || change == auth::Change::suspended || change == auth::Change::released) {
        spool_->freeze(
            account, change == auth::Change::suspended, [this, account](result<void> said) {
                if (!said) {
                    events_->log(event::Level::error, "spool",
                                 fmt::format("the mail of {} could not be frozen or thawed: {}",
                                             account, said.error().message()));
                }
            });
    }
    const bool ends = change == auth::Change::suspended || change == auth::Change::removed;
    const bool checks = change == auth::Change::password || change == auth::Change::credential;
    if (!ends && !checks) return;
    const proto::Reply goodbye{421, "4.7.0", "this account has changed, log in again", true};
    for (const auto& thread : threads_) {
        thread->post([t = thread.get(), account, ends, goodbye] {
            if (ends) {
                t->end_sessions(account, goodbye);
            } else {
                t->recheck_sessions(account, goodbye);
            }
        });
    }
}

void Server::warn_of_plans(const Snapshot& now) {
    const auto used = accounts_->plans();
    if (!used) return;
    for (const std::string& plan : *used) {
        if (now.policy.plans.contains(plan)) continue;
        events_->log(
            event::Level::warning, "limits",
            fmt::format("plan {} is given to accounts, customers or credentials and stands "
                        "in no [limits.{}]: {} holds for them",
                        plan, plan, auth::default_plan));
    }
}

admin::ReloadOutcome Server::reload() {
    // Asked for by the API on a pool thread: the reload itself happens on the main thread.
    if (draining_.load())
        return {.ok = false, .error = "the relay is shutting down", .changed = {}};
    auto promise = std::make_shared<std::promise<admin::ReloadOutcome>>();
    auto answer = promise->get_future();
    asio::post(house_, [this, promise] { promise->set_value(reload_on_house()); });
    if (answer.wait_for(seconds(20)) != std::future_status::ready)
        return {.ok = false, .error = "the relay is busy", .changed = {}};
    return answer.get();
}

admin::ReloadOutcome Server::reload_on_house() {
    admin::ReloadOutcome outcome;
    const auto fail = [&](std::string why) {
        outcome.error = std::move(why);
        events_->emit(event::Reload{.result = "failed", .error = outcome.error});
        return outcome;
    };
    config::Loaded loaded =
        config::load(options_.file, options_.file_named, options_.around, config::Need::everything);
    if (!loaded.config) {
        std::vector<std::string> faults;
        for (const config::Fault& fault : loaded.faults) faults.push_back(fault.message());
        return fail(fmt::format("{}", fmt::join(faults, "\n")));
    }
    const auto changes = config::differences(*current_.get()->config, *loaded.config);
    if (const auto keys = config::needing_restart(changes); !keys.empty()) {
        return fail(fmt::format("{}: needs a restart; nothing was changed", fmt::join(keys, ", ")));
    }
    SnapshotParts parts;
    parts.tickets = tickets_;
    parts.events = events_.get();
    parts.before = current_.get();
    parts.compute = &compute_;
    parts.path_freed = [this] {
        for (const auto& thread : threads_)
            thread->post([&pool = thread->upstreams()] { pool.wake_waiters(); });
        runner_->wake();
    };
    const bool log_moves = parts.before->config->log.target != loaded.config->log.target;
    const bool resolvers = parts.before->config->dns.resolvers != loaded.config->dns.resolvers;
    auto snapshot = make_snapshot(loaded.config, parts);
    if (!snapshot) return fail(snapshot.error());
    if (log_moves) {
        if (const auto moved = log_->retarget(log_target(loaded.config->log.target)); !moved)
            return fail(fmt::format("log.target: {}: {}", loaded.config->log.target.path,
                                    moved.error().message()));
    }
    current_.set(*snapshot);
    came_into_force(**snapshot, parts.before.get());
    warn_of_plans(**snapshot);
    const config::Config& now = *loaded.config;
    bodies_.set_limit(now.resources.body_memory);
    accounts_->set_iterations(now.auth.scram_iterations);
    accounts_->set_scram_sha1(scram_sha1_of(now));
    log_->set_level(now.log.level);
    spool_->set_reserve(now.spool.reserve);
    recorder_->set_keep_free(journal_floor(now.spool.reserve));
    recorder_->set_retention(std::chrono::duration_cast<seconds>(now.log.event_retention));
    recorder_->set_tokens_keep_free(token_floor(now.spool.reserve));
    recorder_->set_token_retention(
        std::chrono::duration_cast<seconds>(now.message.trace_retention));
    guard_.set(guard_settings(now));
    login_watch_.set({.known_for = guard_settings(now).known_for});
    if (parts.before->config->login_guard.geoip != now.login_guard.geoip)
        asio::post(offload_, [this, geo = (*snapshot)->geo] { load_watch(geo); });
    if (resolvers) {
        for (const auto& thread : threads_) {
            thread->post(
                [t = thread.get(), servers = now.dns.resolvers] { t->use_resolvers(servers); });
        }
    }
    for (const std::string& notice : loaded.notices)
        events_->log(event::Level::warning, "configuration", notice);
    for (const config::Difference& change : changes) outcome.changed.push_back(change.key);
    watch_certificates();
    tend_token_keys();
    tend_upstream_tokens();
    look_after_certificates();
    outcome.ok = true;
    events_->emit(event::Reload{.result = "ok", .error = ""});
    runner_->wake();
    return outcome;
}

/// The certificates alone: what else stands in the configuration's file by now waits for a reload.
Server::Started Server::reload_certificates() {
    const SnapshotPtr before = current_.get();
    auto tls = load_tls(*before->config, tickets_);
    if (!tls) return tls.error();
    auto snapshot = std::make_shared<Snapshot>(*before);
    snapshot->tls = *tls;
    current_.set(std::move(snapshot));
    look_after_certificates();
    return {};
}

void Server::watch_certificates() {
    std::vector<std::string> files;
    for (const config::Certificate& one : current_.get()->config->tls.all()) {
        files.push_back(one.certificate);
        files.push_back(one.key);
    }
    const config::External& external = current_.get()->config->auth.external;
    for (const std::string& file : {external.ca, external.crl}) {
        if (!file.empty()) files.push_back(file);
    }
    watch_->set(std::move(files));
}

std::vector<std::string> Server::unready() const {
    std::vector<std::string> out;
    if (!listening_.load()) out.emplace_back("not listening yet");
    if (draining_.load()) out.emplace_back("shutting down");
    if (spool_failing_.load() || !spool_->stats().writable)
        out.emplace_back("the spool cannot be written");
    if (!accounts_->readable()) out.emplace_back("the account store cannot be read");
    return out;
}

}  // namespace postern::relay
