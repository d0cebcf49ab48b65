#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include "auth/account_store.hpp"
#include "auth/auth_pool.hpp"
#include "auth/password_memory.hpp"
#include "auth/sasl_server.hpp"
#include "relay/admin/api.hpp"
#include "relay/admin/imports.hpp"
#include "relay/admin/server.hpp"
#include "relay/delivery/runner.hpp"
#include "relay/dkim/signing_desk.hpp"
#include "relay/event/line_writer.hpp"
#include "relay/event/metrics.hpp"
#include "relay/event/recorder.hpp"
#include "relay/event/stream.hpp"
#include "relay/guard/attack_alerts.hpp"
#include "relay/guard/guard_file.hpp"
#include "relay/intake/delivered_by.hpp"
#include "relay/intake/desk.hpp"
#include "relay/intake/listeners.hpp"
#include "relay/intake/report_desk.hpp"
#include "relay/net/file_watch.hpp"
#include "relay/net/listener.hpp"
#include "relay/oauth/key_fetcher.hpp"
#include "relay/oauth/token_fetcher.hpp"
#include "relay/process/lock.hpp"
#include "relay/process/systemd.hpp"
#include "relay/serve.hpp"
#include "relay/serve/snapshot.hpp"
#include "relay/serve/worker.hpp"
#include "relay/session/services.hpp"
#include "relay/spool/file.hpp"
#include "relay/suppression/lists.hpp"

namespace postern::relay {

/// What was bound before the process gave up its rights.
struct BoundSockets {
    std::vector<int> listeners;  ///< One for each of config.server.listen, in order.
    std::vector<admin::AdminSocket> admin;
    std::vector<int> intake;  ///< One for each of config.intake.listen, in order.
};

/// The journal stops while there is still room for mail.
[[nodiscard]] constexpr std::uint64_t journal_floor(std::uint64_t spool_reserve) {
    return spool_reserve * 2;
}
/// The token map stops where no mail is taken any more: what goes out can be traced.
[[nodiscard]] constexpr std::uint64_t token_floor(std::uint64_t spool_reserve) {
    return spool_reserve;
}
/// Passwords have a verifier for SCRAM-SHA-1 where it is offered.
[[nodiscard]] auth::ScramSha1 scram_sha1_of(const config::Config& config);
[[nodiscard]] event::LogTarget log_target(const config::LogTarget& target);

/// The composition root of `serve`: owns every object, and the order in which they start and stop.
/// Made and run on the main thread.
class Server {
  public:
    Server(ServeOptions options, process::Notifier notifier);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server();

    /// Binds, drops rights, opens state and spool. Error: what to say on stderr.
    [[nodiscard]] boost::system::result<void, std::string> start();
    /// Serves until TERM or INT, drains. The exit code.
    [[nodiscard]] int run();

  private:
    using Started = boost::system::result<void, std::string>;
    [[nodiscard]] Started bind_and_drop();
    [[nodiscard]] Started bind_intake();
    [[nodiscard]] Started open_events();
    [[nodiscard]] Started open_accounts();
    [[nodiscard]] Started open_spool();
    [[nodiscard]] Started freeze_as_suspended();
    [[nodiscard]] Started load_suppression();
    void make_signing();
    void make_services();
    /// Where what the intake took is attributed, counted and sent on.
    void make_desk();
    /// Tells the login watch what logged in before, and from where by that database. Blocks.
    void load_watch(const geo::DatabasePtr& geo);
    void register_gauges();
    void start_listening();
    /// Where there is a desk to bring reports to.
    void start_intake();

    [[nodiscard]] admin::ReloadOutcome reload();
    [[nodiscard]] admin::ReloadOutcome reload_on_house();
    void account_changed(const std::string& account, auth::Change change);
    /// Plans that the store names and the configuration does not know.
    void warn_of_plans(const Snapshot& now);
    [[nodiscard]] awaitable<void> on_signals();
    [[nodiscard]] awaitable<void> on_second_signal();
    [[nodiscard]] Started reload_certificates();
    [[nodiscard]] awaitable<void> housekeeping();
    [[nodiscard]] awaitable<void> probe_paths();
    [[nodiscard]] awaitable<void> drain();
    [[nodiscard]] std::vector<admin::UpstreamView> list_upstreams() const;
    [[nodiscard]] admin::UpstreamSaid change_upstream(const std::string& upstream,
                                                      admin::UpstreamVerb verb,
                                                      std::optional<std::chrono::seconds> for_long);
    void upstreams_changed();
    /// Ends what an operator set for a while.
    void look_after_upstreams();
    /// Says at the end of a day which standby did not get its share.
    void look_after_standbys();
    [[nodiscard]] boost::system::result<Standing> standing_of(const std::string& account) const;
    /// Whether notifications may go to a sender of the account's mail: it is one of its own.
    [[nodiscard]] bool may_tell(const std::string& account, const proto::Address& sender) const;
    void look_after_alerts();
    void look_after_certificates();
    void keep_guard();
    /// Logins before that make nobody known any more.
    [[nodiscard]] std::chrono::system_clock::time_point known_since() const;
    void watch_certificates();
    /// Fetches or watches the keys of the snapshot in force.
    void tend_token_keys();
    /// Fetches the tokens that the upstreams of the snapshot in force are logged in to with.
    void tend_upstream_tokens();
    [[nodiscard]] std::vector<std::string> unready() const;
    [[nodiscard]] admin::Ports admin_ports();

    ServeOptions options_;
    process::Notifier notifier_;
    config::ConfigPtr config_;  ///< At start: what `R` keys are read from.
    std::optional<process::StateLock> lock_;
    BoundSockets bound_;
    net::TlsServerPtr first_tls_;  ///< Read while the rights are still there: keys may be root's.

    std::unique_ptr<event::LineWriter> log_;
    std::unique_ptr<event::Metrics> metrics_;
    std::unique_ptr<intake::DeliveredBy> delivered_by_;
    std::unique_ptr<event::Recorder> recorder_;
    std::unique_ptr<event::FanOut> events_;

    std::unique_ptr<FileSystem> files_;
    std::unique_ptr<Spool> spool_;
    std::unique_ptr<auth::AccountStore> accounts_;
    std::unique_ptr<auth::PasswordMemory> passwords_;
    std::unique_ptr<auth::SaslServer> sasl_;
    std::unique_ptr<auth::AuthPool> auth_pool_;
    std::unique_ptr<BackendDesk> backend_;  ///< Null: passwords are in the store.
    std::shared_ptr<const auth::AccountStore::Listener> subscription_;
    policy::LoginGuard guard_;
    std::unique_ptr<GuardFile> guard_file_;
    std::unique_ptr<AttackAlerts> attacks_;
    std::optional<Pseudonyms> pseudonyms_;
    std::atomic<bool> guard_file_failing_{false};
    const GuardFile::Now began_;
    policy::LoginWatch login_watch_;
    policy::LimitStore limits_;

    Current current_;
    std::shared_ptr<net::TicketKeys> tickets_;
    // Before the loop: at the end coroutines of it may still count in the desk.
    std::unique_ptr<suppression::Lists> suppression_;
    std::unique_ptr<dkim::KeyStore> signing_keys_;
    std::unique_ptr<dkim::Signer> signer_;
    asio::thread_pool compute_{std::max(1U, std::thread::hardware_concurrency())};
    std::unique_ptr<dkim::SigningDesk> signing_;
    asio::io_context house_{1};
    const std::shared_ptr<admin::ImportDesk> imports_ = std::make_shared<admin::ImportDesk>();
    asio::thread_pool offload_{4};
    std::unique_ptr<Delivery> delivery_;
    std::unique_ptr<intake::ReportDesk> desk_;
    std::vector<std::unique_ptr<NetworkThread>> threads_;
    std::vector<net::Worker> workers_;
    std::vector<std::unique_ptr<net::Listener>> listeners_;
    std::unique_ptr<QueueRunner> runner_;
    std::atomic<QueueRunner*> runner_ready_{nullptr};

    BodyBudget bodies_{0};
    Counts sources_;
    Counts accounts_connected_;
    std::atomic<std::size_t> connections_{0};
    std::atomic<std::uint64_t> sessions_made_{0};
    std::optional<Services> services_;

    std::unique_ptr<admin::Api> api_;
    std::unique_ptr<admin::Server> admin_;
    // After the loop that its answers are posted to; before its listeners.
    std::unique_ptr<intake::Listeners> intake_;
    std::unique_ptr<net::TaskGroup> chores_;
    std::unique_ptr<net::FileWatch> watch_;
    std::unique_ptr<net::FileWatch> key_watch_;
    std::shared_ptr<oauth::KeyFetcher> key_fetcher_;
    std::vector<std::shared_ptr<oauth::TokenFetcher>> token_fetchers_;
    asio::signal_set signals_{house_};
    asio::steady_timer tick_{house_};
    asio::steady_timer probe_tick_{house_};
    std::atomic<bool> listening_{false};
    std::atomic<bool> draining_{false};
    std::atomic<bool> spool_failing_{false};
    std::uint64_t events_dropped_told_ = 0;
    bool disk_low_ = false;
    bool all_down_ = false;
    std::array<bool, 7> queue_stuck_{};
};

}  // namespace postern::relay
