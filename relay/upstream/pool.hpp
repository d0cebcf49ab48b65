#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
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
    /// A slot came free somewhere, or a breaker lets mail through: wakes who is first of all that
    /// wait for the path, if he waits here; when he leaves the next is told.
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
        std::map<Turns::Number, Waiter*> row;                   ///< Those of this thread.
        std::set<std::pair<SteadyTime, Turns::Number>> by_age;  ///< The same, as they came.
        std::size_t waiting = 0;  ///< These, and who has been handed a connection.
    };
    /// A place in the path's row, and counted as waiting for it, for its lifetime. Whoever leaves
    /// lets the first look again, for more than one slot may have come free.
    class Waiter {
      public:
        Waiter(asio::io_context& context, Lane& lane, PathPtr path, AttemptPtr attempt);
        Waiter(const Waiter&) = delete;
        Waiter& operator=(const Waiter&) = delete;
        ~Waiter();
        void wake() {
            woken = true;
            timer.cancel();
        }
        /// Hands a connection over; it is out of the row and uses one.
        void hand(ConnectionPtr connection);
        /// What was handed over, if it is still good; else it is in the row again, where it was.
        [[nodiscard]] ConnectionPtr take_handed();
        /// A slot, if it is its turn.
        [[nodiscard]] Path::Slot try_slot();

        asio::steady_timer timer;
        Path::Use use;       ///< Of what it has been given.
        bool woken = false;  ///< Since it last looked.

      private:
        void join();
        void leave();
        Lane& lane_;
        PathPtr path_;
        AttemptPtr attempt_;
        SteadyTime came_;
        std::optional<Turns::Number> number_;
        ConnectionPtr handed_;
        Attempt::OnAbandon given_up_;
    };
    /// Says for its lifetime that a connection is in somebody's hands.
    class InHand {
      public:
        InHand(UpstreamPool& pool, Connection* connection) : pool_(pool), connection_(connection) {
            pool_.live_.insert(connection_);
        }
        InHand(const InHand&) = delete;
        InHand& operator=(const InHand&) = delete;
        ~InHand() { pool_.live_.erase(connection_); }

      private:
        UpstreamPool& pool_;
        Connection* connection_;
    };
    struct Acquired {
        ConnectionPtr connection;  ///< Null: none before the deadline, or `failed`.
        std::optional<Connection::Failed> failed;
        Path::Use use;  ///< Of the connection.
    };

    [[nodiscard]] awaitable<void> run(AttemptPtr attempt, SteadyTime slot_deadline);
    [[nodiscard]] awaitable<AttemptResult> carry_out(AttemptPtr attempt, SteadyTime slot_deadline);
    /// On a connection that is ready; tells the path how it went.
    [[nodiscard]] awaitable<AttemptResult> send_on(Connection& connection, AttemptPtr attempt);
    struct Waiting {
        ConnectionPtr connection;  ///< Handed over, or null.
        Path::Slot slot;
        Path::Use use;  ///< Of either.
    };
    /// `fresh`: no connection that was kept.
    [[nodiscard]] awaitable<Acquired> acquire(PathPtr path, AttemptPtr attempt, SteadyTime deadline,
                                              bool fresh);
    [[nodiscard]] awaitable<Waiting> wait_for_slot(PathPtr path, AttemptPtr attempt,
                                                   SteadyTime deadline);
    /// Who had it has it no longer: `use` ends.
    void release(ConnectionPtr connection, Path::Use use);
    /// To somebody of this thread who waits, if it is his turn or he may pass who is first.
    [[nodiscard]] bool hand_over(Lane& lane, ConnectionPtr& connection);
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
