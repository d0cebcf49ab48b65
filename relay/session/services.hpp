#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "auth/account_store.hpp"
#include "auth/auth_pool.hpp"
#include "auth/sasl_server.hpp"
#include "policy/decide.hpp"
#include "policy/limit_store.hpp"
#include "policy/login_guard.hpp"
#include "policy/login_watch.hpp"
#include "proto/session.hpp"
#include "relay/config/config.hpp"
#include "relay/delivery/delivery.hpp"
#include "relay/dkim/signing_desk.hpp"
#include "relay/event/event.hpp"
#include "relay/geo/database.hpp"
#include "relay/guard/attack_alerts.hpp"
#include "relay/net/buffer_pool.hpp"
#include "relay/net/task_group.hpp"
#include "relay/net/tls.hpp"
#include "relay/oauth/token_keys.hpp"
#include "relay/session/backend_desk.hpp"
#include "relay/session/body_budget.hpp"
#include "relay/session/counts.hpp"
#include "relay/session/pseudonyms.hpp"
#include "relay/spool/spool.hpp"
#include "relay/suppression/book.hpp"
#include "relay/upstream/pool.hpp"

namespace postern::relay {

/// A configuration and what is made from it once: an immutable value.
struct Snapshot {
    config::ConfigPtr config;
    policy::Settings policy;
    std::shared_ptr<const proto::SessionSettings> starttls;  ///< Of listeners with STARTTLS.
    std::shared_ptr<const proto::SessionSettings>
        implicit;  ///< Of listeners with TLS from the start.
    std::shared_ptr<const proto::SessionSettings> device_starttls;  ///< Of those for devices.
    std::shared_ptr<const proto::SessionSettings> device_implicit;
    net::TlsServerPtr tls;
    PathSetPtr paths;
    oauth::TokenKeysPtr tokens;  ///< Null: OAUTHBEARER and XOAUTH2 are not offered.
    auth::KeySetPtr token_keys;  ///< What their file held when this was made; null: no file.
    geo::DatabasePtr geo;        ///< Null: none is configured.

    [[nodiscard]] const std::shared_ptr<const proto::SessionSettings>& settings_of(
        const config::Listen& listen) const noexcept {
        const bool tls_first = listen.tls == config::ListenTls::implicit;
        if (listen.devices) return tls_first ? device_implicit : device_starttls;
        return tls_first ? implicit : starttls;
    }
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// The snapshot in force; replaced whole by a reload.
class Current {
  public:
    [[nodiscard]] SnapshotPtr get() const {
        const std::lock_guard lock(mutex_);
        return snapshot_;
    }
    void set(SnapshotPtr snapshot) {
        const std::lock_guard lock(mutex_);
        snapshot_.swap(snapshot);
    }

  private:
    mutable std::mutex mutex_;
    SnapshotPtr snapshot_;
};

/// What all sessions of the process share. References live as long as every session.
struct Services {
    const Current& current;
    auth::SaslServer& sasl;
    auth::AccountStore& accounts;
    auth::AuthPool& auth_pool;
    policy::LoginGuard& guard;
    AttackAlerts& attacks;
    policy::LoginWatch& watch;
    policy::LimitStore& limits;
    Delivery& delivery;
    dkim::SigningDesk& signing;
    Spool& spool;
    event::Stream& events;
    BodyBudget& bodies;
    Counts& sources;  ///< Connections not yet logged in, by source.
    Counts& accounts_connected;
    std::atomic<std::size_t>& connections;
    std::atomic<std::uint64_t>& sessions_made;
    std::vector<std::atomic<std::int64_t>> by_listener;  ///< Open connections of each listener.
    std::function<std::string()> make_ref;
    std::function<std::string()> make_token;  ///< For X-Abuse.
    const Pseudonyms& pseudonyms;
    BackendDesk* backend = nullptr;                  ///< Null: passwords are in the store.
    const suppression::Book* suppression = nullptr;  ///< Null: nobody is on any list.
};

class SessionDriver;

/// What the sessions of one thread share; used on that thread only.
struct Lane {
    asio::io_context& context;
    net::BufferPool& buffers;
    UpstreamPool& upstreams;
    net::TaskGroup& tasks;
    std::vector<SessionDriver*> sessions;  ///< All of this thread.
};

}  // namespace postern::relay
