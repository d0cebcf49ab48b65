#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/limit_store.hpp"
#include "policy/rule.hpp"

namespace postern::policy {

/// Slows who guesses passwords, and never locks the owner out (behaviour.md, Failed logins).
/// Failures are counted with decay by source, by the network around it, by account and by
/// (account, source) where that account logged in from there before. Only failing answers wait: the
/// secret is checked first. Thread-safe: shards with short locks. Time is an argument, the steady
/// clock.
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
        std::size_t max_sources = 1'000'000;  ///< That failed.
        std::size_t max_networks = 65'536;    ///< Likewise.
        std::size_t max_pairs = 400'000;  ///< That logged in; and as many sources of such logins.
        std::size_t max_failing_pairs = 16'384;  ///< Of those that logged in.
        std::size_t max_accounts = 100'000;      ///< On which somebody failed.
        std::size_t max_delayed = 2'000;  ///< Connections that wait in delay; beyond: 421 at once.
        std::size_t max_allowed = 1'000;  ///< By allow().
    };

    /// `seed`: random, so that nobody can choose sources whose places in memory meet.
    LoginGuard(Settings settings, Bounds bounds, std::uint64_t seed = 0);
    LoginGuard();
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
            0;                 ///< About how many sources that it never used failed on it lately.
        std::string account;   ///< Its name as the guard has it, where it is under attack; else "".
        std::string spraying;  ///< The source, or the network around it, where it tries one account
                               ///< after the other; else "".
        std::uint32_t sprayed = 0;  ///< Accounts tried by a source; of a network the neighbours
                                    ///< that fail.
        double spraying_failures = 0;
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
        /// `credential`: the one that was right; empty: the first password. What failed before from
        /// here under its own name is forgiven, and nothing else: whoever has one password would
        /// guess another with it.
        SuccessAnswer succeeded(SteadyTime now, std::string_view credential = {});
        /// `secret_hash`: keyed hash of what was sent (PLAIN, LOGIN); unset for SCRAM, which shows
        /// none. `failures_before`: on this connection, before this one. `label`: the credential
        /// that the login name named; empty: none.
        [[nodiscard]] FailureAnswer failed(std::optional<std::uint64_t> secret_hash,
                                           int failures_before, SteadyTime now,
                                           std::string_view label = {});
        /// Ended without a judgement (cancelled, store unreachable): counts as nothing. Destruction
        /// does the same.
        void abandon() noexcept;

      private:
        friend class LoginGuard;
        struct Judged;
        void judge_source(Judged& said, std::uint32_t secret, std::string_view label,
                          SteadyTime now) const;
        void judge_account(Judged& said, SteadyTime now) const;
        void judge_network(Judged& said, SteadyTime now) const;
        void find_time(Judged& said, SteadyTime now) const;
        [[nodiscard]] bool exempt() const;
        [[nodiscard]] bool account_exempt() const;

        LoginGuard* guard_ = nullptr;
        std::string account_;
        std::uint64_t source_key_ = 0;
        std::uint64_t account_key_ = 0;
        std::uint32_t id_ = 0;
        Mode mode_ = Mode::enforce;
        bool holds_turn_ = false;
        bool waiting_ = false;
        bool network_asked_ = false;
        bool network_taken_ = false;
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

    /// Somebody sent from there whom it proves by its address alone: it is not kept out, and no
    /// account's login is known from there.
    void note_source(std::string_view source, SteadyTime now);

    [[nodiscard]] bool known_pair(std::string_view source, std::string_view account,
                                  SteadyTime now) const;

    /// Whose secret is checked first where more wait than can be checked.
    enum class Trust : std::uint8_t {
        known,     ///< The account used this source before.
        stranger,  ///< Nothing, or one mistake, is known of the source.
        suspect,   ///< More failed from there lately.
    };
    [[nodiscard]] Trust trust(std::string_view source, std::string_view account,
                              SteadyTime now) const;

    enum class Kind : std::uint8_t { source, account, pair };
    /// Something in penalty, or exempted by allow().
    struct Standing {
        Kind kind = Kind::source;
        std::string subject;  ///< A source, a network, an account, or "ACCOUNT SOURCE".
        double failures = 0;  ///< Decayed weight.
        std::chrono::milliseconds delay{0};  ///< What a failing answer waits now.
        bool refused = false;                ///< At connect.
        bool allowed = false;
        std::optional<SteadyTime> until;  ///< When the penalty ends if nothing more fails.
    };
    struct Page {
        std::vector<Standing> items;
        std::string next;  ///< Cursor of the next page; empty: this was the last.
    };
    /// Empty where `cursor` is none of ours. Looks at all there is: not for a network thread.
    [[nodiscard]] std::optional<Page> list(std::string_view cursor, std::size_t limit,
                                           SteadyTime now) const;
    /// Drops what is counted against the subject, and its allowance. False: there was neither.
    bool forget(std::string_view subject);
    enum class Allow : std::uint8_t { done, malformed, too_many };
    /// Drops what is counted against the subject and exempts it until forget(). Of a network: all
    /// sources in it.
    [[nodiscard]] Allow allow(std::string_view subject);

    /// What still counts against an account, a source or a network (decayed weight).
    /// `kind`: what the subject is, though its text may look like something else.
    [[nodiscard]] double failures_of(Kind kind, std::string_view subject, SteadyTime now) const;

    struct Stats {
        std::size_t sources = 0, pairs = 0, accounts = 0, delayed = 0;
        std::size_t octets = 0;  ///< Of memory, nearly.
    };
    [[nodiscard]] Stats stats() const;
    /// Connections that wait in delay.
    [[nodiscard]] std::size_t delayed() const noexcept;
    struct Penalties {
        std::size_t sources = 0, accounts = 0, pairs = 0;
    };
    /// How many are in penalty; networks are sources. Looks at all there is.
    [[nodiscard]] Penalties penalties(SteadyTime now) const;

    /// What is worth keeping over a restart, as octets of our own format; bounded (about 10 MiB).
    /// Looks at all there is.
    [[nodiscard]] std::string save(SteadyTime now) const;
    /// Takes up what save() gave `elapsed` ago. False: it is damaged or not ours, and nothing was
    /// changed.
    [[nodiscard]] bool load(std::string_view saved, std::chrono::milliseconds elapsed,
                            SteadyTime now);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace postern::policy
