#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proto/client_session.hpp"
#include "relay/config/config.hpp"
#include "relay/event/event.hpp"
#include "relay/net/tls.hpp"
#include "relay/upstream/adaptive_limit.hpp"
#include "relay/upstream/breaker.hpp"
#include "relay/upstream/login.hpp"
#include "relay/upstream/path_memory.hpp"
#include "relay/upstream/traffic.hpp"
#include "relay/upstream/turns.hpp"

namespace postern::relay {

/// One `[[upstream]]`, ready for use.
struct PathSettings {
    config::Upstream upstream;
    net::TlsClientPtr tls;                         ///< Null where upstream.tls is none.
    std::string hostname;                          ///< Ours, for EHLO.
    std::shared_ptr<PathMemory> memory = nullptr;  ///< Of the path before; null: a new one.
    std::shared_ptr<Traffic> traffic = nullptr;    ///< The process's; null: one of its own.
    LoginPtr login = nullptr;                      ///< Null: one of its own, without tokens.
};

/// What one upstream is known to be and do now, shared by all threads: breaker, number of
/// connections, last EHLO. Thread-safe; locks are short.
class Path {
  public:
    Path(PathSettings settings, event::Stream& events);

    [[nodiscard]] const PathSettings& settings() const noexcept { return settings_; }
    [[nodiscard]] const std::string& name() const noexcept { return settings_.upstream.name; }
    /// Its configuration is in force from now on: its rate holds for what it shares with the path
    /// before.
    void in_force();
    [[nodiscard]] PathMemory& memory() const noexcept { return *settings_.memory; }
    [[nodiscard]] Traffic& traffic() const noexcept { return *settings_.traffic; }
    /// As it counts now: what is promoted is a primary.
    [[nodiscard]] config::UpstreamRole role(SteadyTime now) const;

    /// A claim on one connection, given back on destruction. May be handed to another thread.
    class Slot {
      public:
        Slot() = default;
        explicit Slot(std::shared_ptr<Path> path) : path_(std::move(path)) {}
        Slot(Slot&&) noexcept = default;
        Slot& operator=(Slot&& other) noexcept;
        Slot(const Slot&) = delete;
        Slot& operator=(const Slot&) = delete;
        ~Slot();
        [[nodiscard]] explicit operator bool() const noexcept { return path_ != nullptr; }

      private:
        std::shared_ptr<Path> path_;
    };
    /// Empty: as many connections exist as may now.
    [[nodiscard]] static Slot try_slot(const std::shared_ptr<Path>& path, SteadyTime now);

    /// One connection in use for a customer (or an account of none) for its lifetime.
    class Use {
      public:
        Use() = default;
        /// Begins it.
        Use(std::shared_ptr<Path> path, std::string customer);
        Use(Use&& other) noexcept
            : path_(std::move(other.path_)), customer_(std::move(other.customer_)) {}
        Use& operator=(Use&& other) noexcept;
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        ~Use() { end(); }

      private:
        void end() noexcept;
        std::shared_ptr<Path> path_;
        std::string customer_;
    };
    /// The row of those who wait for a connection, of all threads (as Turns has it).
    [[nodiscard]] Turns::Number join_row(std::string_view customer, SteadyTime came);
    void leave_row(Turns::Number number);
    [[nodiscard]] std::optional<Turns::Number> first_in_row() const;
    [[nodiscard]] bool may_pass(Turns::Number number, SteadyTime now);
    /// A slot for who stands at `number`, out of the row then; empty: none is free, or it is
    /// another's turn, who is told.
    [[nodiscard]] static Slot try_slot_in_turn(const std::shared_ptr<Path>& path,
                                               Turns::Number number, SteadyTime now);
    /// Whoever is first looks again, where there may be something to have.
    void tell_first(SteadyTime now);
    /// Connections in use for a customer.
    [[nodiscard]] int in_use(std::string_view customer) const;

    /// Connections that may exist now: by the breaker, by what the upstream bears, none while it is
    /// paused.
    [[nodiscard]] int limit(SteadyTime now);
    /// By what the upstream bears alone.
    [[nodiscard]] int bears() const;

    /// Mail may go this way now; whether there is a connection, and whether its rate allows one
    /// more, is another question.
    [[nodiscard]] bool takes_mail(SteadyTime now) { return limit(now) > 0; }
    /// How long until its rate lets a message pass; 0: now.
    [[nodiscard]] std::chrono::nanoseconds rate_wait(SteadyTime now) const {
        return memory().rate_wait(now);
    }
    /// Messages that may go this way now, side by side.
    [[nodiscard]] std::size_t room(SteadyTime now);

    void succeeded(SteadyTime now);
    void failed(SteadyTime now, std::string_view stage, std::string_view error);
    void no_answer(SteadyTime now, std::string_view ref);
    void trip(SteadyTime now, std::string_view stage, std::string_view error);
    /// 421, 4.7.x: fewer connections for a while.
    void asked_for_less(SteadyTime now);
    /// It took a mail, for one recipient at least.
    void took_mail(double seconds);
    /// A synthetic probe is due and nobody else makes it: the caller must, and tell probed().
    [[nodiscard]] bool claim_probe(SteadyTime now);
    void probed(SteadyTime now, bool good, std::string_view error);

    void met(const proto::UpstreamOffer& offer);
    /// Of the last EHLO; unset: not yet met, counts as offering all.
    [[nodiscard]] std::optional<proto::UpstreamOffer> last_offer() const;

    struct View {
        Breaker::State breaker = Breaker::State::closed;
        int connections = 0;
        std::string error;
    };
    [[nodiscard]] View view();
    [[nodiscard]] int connections() const noexcept {
        return connections_.load(std::memory_order_relaxed);
    }
    /// Why it takes no mail, in words.
    [[nodiscard]] std::string trouble(SteadyTime now);

    /// No longer in the configuration: its idle connections go.
    std::atomic<bool> retired{false};
    /// Threads that wait for a slot: others then give idle connections up.
    std::atomic<int> waiting{0};
    /// Called (from any thread) when a slot came free while somebody waits, or the path lets mail
    /// through again.
    std::function<void()> on_free;

  private:
    void tell(Breaker::State state, std::string_view stage, std::string_view error);
    void release_slot();
    void turns_changed();

    PathSettings settings_;
    event::Stream& events_;
    std::atomic<int> connections_{0};
    mutable std::mutex turns_mutex_;  ///< Taken last; nothing is called under it.
    Turns turns_;
    mutable std::mutex mutex_;
    Breaker breaker_;
    AdaptiveLimit bears_;
    bool probing_ = false;
    std::optional<proto::UpstreamOffer> offer_;
};

using PathPtr = std::shared_ptr<Path>;

/// What it is to have of the mail as a standby.
[[nodiscard]] WarmShare warm_share(const Path& path);

}  // namespace postern::relay
