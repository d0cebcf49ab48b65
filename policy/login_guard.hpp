#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "policy/limit_store.hpp"
#include "policy/rule.hpp"

namespace postern::policy {

/// Slows who guesses passwords, and never locks the owner out (behaviour.md, Failed logins).
/// Failures are counted with decay by source, by account and by (account, source) where that
/// account logged in from there before. Only failing answers wait: the secret is checked first.
/// Thread-safe: shards with short locks. Time is an argument, the steady clock.
///
/// Use, one connection:
///     if (guard.on_connect(source, now).refuse) -> a delay, 421 4.7.0, close
///     auto attempt = guard.attempt(source, account, {}, now);
///     while (attempt.ask(now) is wait) sleep that long;        // busy: 454 4.7.0
///     check the secret;
///     attempt.succeeded(now)  or  auto answer = attempt.failed(...);
///     answer.withhold: 421 at once, close;  else sleep answer.delay, 535, close where
///     answer.close_after
/// The attempt and the answer live until the reply is out: destroyed, they free what they hold. A
/// failure keeps its penalty whether or not the client waits for it.
class LoginGuard {
  public:
    struct Settings {
        Mode mode = Mode::enforce;
        std::chrono::seconds known_for = std::chrono::days(30);
    };
    /// Bounds of memory; what is forgotten first stands in the README of this folder.
    struct Bounds {
        std::size_t max_sources = 200'000;
        std::size_t max_pairs = 400'000;
        std::size_t max_accounts = 200'000;
        std::size_t max_delayed = 2'000;  ///< Connections that wait in delay; beyond: 421 at once.
    };

    LoginGuard();
    LoginGuard(Settings settings, Bounds bounds);
    ~LoginGuard();
    LoginGuard(const LoginGuard&) = delete;
    LoginGuard& operator=(const LoginGuard&) = delete;

    /// At a reload.
    void set(Settings settings) noexcept;

    struct Gate {
        enum class Kind : std::uint8_t {
            go,    ///< Check it now.
            wait,  ///< Not its turn: ask again after `wait`.
            busy,  ///< 454 4.7.0
        };
        Kind kind = Kind::go;
        std::chrono::milliseconds wait{0};
        bool observed =
            false;  ///< Kind is go because the mode is observe; it would have been busy.
    };

    /// Keeps one of the places of connections that wait; freed on destruction.
    class Place {
      public:
        Place() = default;
        explicit Place(std::shared_ptr<std::atomic<std::size_t>> count) noexcept
            : count_(std::move(count)) {}
        Place(Place&&) noexcept = default;
        Place& operator=(Place&& other) noexcept;
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() { leave(); }

      private:
        void leave() noexcept;
        std::shared_ptr<std::atomic<std::size_t>> count_;
    };

    struct ConnectAnswer {
        bool refuse = false;                 ///< In mode enforce only.
        bool would_refuse = false;           ///< In mode observe as well.
        bool known = false;                  ///< Somebody logged in from there lately.
        std::chrono::milliseconds delay{0};  ///< Before the 421.
        Place place;                         ///< Until the 421 is out.
    };
    [[nodiscard]] ConnectAnswer on_connect(std::string_view source, SteadyTime now);

    /// What is known of the failures, for events and alerts.
    struct Counts {
        double source_failures = 0;  ///< Decayed weight of the source's.
        std::uint32_t source_accounts =
            0;                        ///< Distinct accounts that failed there lately (at most 32).
        double account_failures = 0;  ///< Decayed, over all sources.
        double pair_failures = 0;     ///< Decayed, of the account from that source, which it used
                                      ///< before; before a success alone.
        std::uint32_t account_sources =
            0;  ///< Distinct sources that failed on it lately (at most 32).
    };
    struct FailureAnswer {
        std::chrono::milliseconds delay{0};  ///< Before the 535: at most 20 s.
        bool close_after = false;            ///< Third failure of the connection: 535, then close.
        bool withhold = false;  ///< No 535: 421 4.7.0 and close (too many failing answers, or too
                                ///< many that wait).
        bool observed = false;  ///< Mode observe: nothing of it is applied; `would_delay` tells.
        std::chrono::milliseconds would_delay{0};
        Counts counts;
        Place place;
    };
    struct SuccessAnswer {
        bool known_pair = false;  ///< The account used this source before.
        Counts counts;            ///< Before this success.
    };

    /// One AUTH, from the moment its account's name is known until its answer is out.
    class Attempt {
      public:
        Attempt() = default;
        Attempt(Attempt&& other) noexcept;
        Attempt& operator=(Attempt&& other) noexcept;
        Attempt(const Attempt&) = delete;
        Attempt& operator=(const Attempt&) = delete;
        ~Attempt() { abandon(); }

        [[nodiscard]] Gate ask(SteadyTime now);
        /// `clears`: what failed before for this account from here is forgiven. Not by a further
        /// password: whoever has one would guess the first with it.
        SuccessAnswer succeeded(SteadyTime now, bool clears = true);
        /// `secret_hash`: keyed hash of what was sent (PLAIN, LOGIN); unset for SCRAM, which shows
        /// none. `failures_before`: on this connection, before this one.
        [[nodiscard]] FailureAnswer failed(std::optional<std::uint64_t> secret_hash,
                                           int failures_before, SteadyTime now);
        /// Ended without a judgement (cancelled, store unreachable): counts as nothing. Destruction
        /// does the same.
        void abandon() noexcept;

      private:
        friend class LoginGuard;
        LoginGuard* guard_ = nullptr;
        std::string source_;
        std::string account_;
        Mode mode_ = Mode::enforce;
        std::uint64_t id_ = 0;
        bool holds_turn_ = false;
        bool waiting_ = false;
        Place place_;
        SteadyTime waiting_since_;
    };
    /// `account`: as typed; it is normalised here. `account_mode`: the account's own mode of the
    /// rule, where it has one.
    [[nodiscard]] Attempt attempt(std::string_view source, std::string_view account,
                                  std::optional<Mode> account_mode, SteadyTime now);

    /// At start: this account logged in from there so long ago.
    void load_known(std::string_view source, std::string_view account, std::chrono::seconds ago,
                    SteadyTime now);

    [[nodiscard]] bool known_pair(std::string_view source, std::string_view account,
                                  SteadyTime now) const;
    struct Stats {
        std::size_t sources = 0, pairs = 0, accounts = 0, delayed = 0;
    };
    [[nodiscard]] Stats stats() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::policy
