#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "relay/asio.hpp"
#include "relay/net/resolver.hpp"
#include "relay/net/task_group.hpp"
#include "relay/upstream/attempt.hpp"
#include "relay/upstream/connection.hpp"

namespace postern::relay {

/// One thread's upstream connections: kept while idle, handed to whoever sends next. How many may
/// exist is the path's business, for all threads together; a thread that finds none to be had
/// waits, and the others give idle ones up (shed()).
class UpstreamPool {
  public:
    struct Settings {
        std::size_t threads = 1;            ///< Share of a path's connections kept idle here.
        std::chrono::seconds idle_for{60};  ///< Idle connections are closed after it.
    };
    UpstreamPool(asio::io_context& context, net::Resolver& resolver, net::TaskGroup& tasks,
                 event::Stream& events, Settings settings);

    /// Begins an attempt; it ends by itself. `slot_deadline`: how long to wait for a connection.
    [[nodiscard]] AttemptPtr start(PathPtr path, Outgoing outgoing, bool client_waits,
                                   SteadyTime slot_deadline);

    /// Tries whether an open path takes a connection and a login again; tells the path.
    [[nodiscard]] awaitable<void> probe(PathPtr path);

    /// Somebody elsewhere waits for a slot: closes an idle connection of each path that is waited
    /// for.
    void shed();
    /// A slot came free somewhere, or a breaker lets mail through: wakes the first that waits here,
    /// which wakes the next when it is served.
    void wake_waiters();
    /// Closes what has been idle too long or belongs to a retired or paused path.
    [[nodiscard]] awaitable<void> sweep(SteadyTime now);
    /// Shutting down: nobody waits any more for what has not got its final dot, nor for the rest
    /// after `until`; nothing new begins.
    void hurry(SteadyTime until);
    [[nodiscard]] bool hurried() const noexcept { return hurried_.has_value(); }
    /// Closes all connections; what is under way on them ends as broken, or in doubt.
    void stop();

    /// At a reload; the one before must live on until its lookups have ended.
    void use(net::Resolver& resolver) noexcept { resolver_ = &resolver; }
    /// Asks the other threads to shed(); set by the composition root.
    std::function<void()> ask_others;

  private:
    using ConnectionPtr = std::unique_ptr<Connection>;
    class Waiter;
    struct Lane {
        std::vector<ConnectionPtr> idle;
        std::list<Waiter*> waiters;
    };
    /// A place in a lane's row, and counted as waiting for the path, for its lifetime. Whoever
    /// leaves wakes the next, for more than one slot may have come free.
    class Waiter {
      public:
        Waiter(asio::io_context& context, Lane& lane, Path& path, Attempt& attempt);
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
        ~Waiter();
        void wake() {
            woken = true;
            timer.cancel();
        }

        asio::steady_timer timer;
        ConnectionPtr handed;
        bool woken = false;  ///< Since it last looked.

      private:
        Lane& lane_;
        Path& path_;
        Attempt::OnAbandon given_up_;
    };
    /// Says for its lifetime that a connection is in use.
    class Use {
      public:
        Use(UpstreamPool& pool, Connection* connection) : pool_(pool), connection_(connection) {
            pool_.live_.insert(connection_);
        }
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        ~Use() { pool_.live_.erase(connection_); }

      private:
        UpstreamPool& pool_;
        Connection* connection_;
    };
    struct Acquired {
        ConnectionPtr connection;  ///< Null: none before the deadline, or `failed`.
        std::optional<Connection::Failed> failed;
    };

    [[nodiscard]] awaitable<void> run(AttemptPtr attempt, SteadyTime slot_deadline);
    [[nodiscard]] awaitable<AttemptResult> carry_out(AttemptPtr attempt, SteadyTime slot_deadline);
    /// On a connection that is ready; tells the path how it went.
    [[nodiscard]] awaitable<AttemptResult> send_on(Connection& connection, AttemptPtr attempt);
    struct Waiting {
        ConnectionPtr connection;  ///< Handed over, or null.
        Path::Slot slot;
    };
    /// `fresh`: no connection that was kept.
    [[nodiscard]] awaitable<Acquired> acquire(PathPtr path, AttemptPtr attempt, SteadyTime deadline,
                                              bool fresh);
    [[nodiscard]] awaitable<Waiting> wait_for_slot(PathPtr path, AttemptPtr attempt,
                                                   SteadyTime deadline);
    void release(ConnectionPtr connection);
    [[nodiscard]] bool keep(Connection& connection) const;
    void learn(const PathPtr& path, const AttemptResult& result, const std::string& ref);
    void learn(const PathPtr& path, const Connection::Failed& failed, const std::string& ref);

    asio::io_context& context_;
    net::Resolver* resolver_;
    net::TaskGroup& tasks_;
    event::Stream& events_;
    Settings settings_;
    std::unordered_map<const Path*, Lane> lanes_;
    std::unordered_set<AttemptPtr> running_;
    std::unordered_set<Connection*> live_;  ///< Those that somebody is using.
    std::optional<SteadyTime> hurried_;
    bool stopping_ = false;
};

}  // namespace postern::relay
