#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "policy/place.hpp"
#include "policy/rule.hpp"

namespace postern::relay::event {

// One struct an event of the stream (README of this folder lists the fields of the JSON line).
// Strings are foreign text and are escaped when written. Empty strings and unset optionals are left
// out of the line.

struct Connect {
    std::string session, source, listener;
    std::string result;  ///< accepted full penalty proxy
};
struct Disconnect {  // beside events.md
    std::string session, reason;
};
struct TlsHandshake {  ///< Counted, not written.
    std::string version, result;
};
struct Login {
    std::string session, account, customer, source, mechanism, credential, secret_hash, listener;
    bool known = false, ok = false;
    policy::Place place;
    std::string error;   ///< Empty, or why it could not be judged (a store's error): not a failure
                         ///< of the peer.
    std::string reason;  ///< Which check a certificate, a token or a binding did not pass, where it
                         ///< was one that can be named; the client never hears it.
    std::string result;  ///< ok failed error delayed
};
struct Reply {  ///< Counted, not written.
    std::string_view command;
    int code = 0;
};
struct Recipient {  ///< "rcpt": a recipient as asked, with the verdict.
    std::string session, ref, account, rcpt, outcome, rule;
};
using RuleSeen = policy::RuleSeen;
struct Attempt {  ///< Refused at MAIL, RCPT or a syntax error from MAIL on.
    std::string session, ref, account, customer, source, mail_from, rcpt, command, rule, text,
        enhanced;
    int code = 0;
    std::vector<RuleSeen> rules;
};
struct Message {
    std::string session, ref, account, customer, credential, source, mail_from;
    policy::Place place;
    std::string header_from, header_sender;  ///< Mailboxes, joined by ", ".
    std::string message_id;
    std::string token;  ///< Of X-Abuse; only where policy accepted.
    std::vector<std::string> rcpts;
    std::uint64_t bytes = 0;
    bool list_unsubscribe = false;
    std::string ehlo, tls, shape;
    std::string outcome;  ///< accepted throttled refused
    std::string rule;     ///< none size syntax limits ...
    int code = 0;
    std::string enhanced, text;
    std::vector<RuleSeen> rules;
};
struct Answered {  ///< beside events.md, "answered": what the client heard at the end, and how long
                   ///< it took from end of data.
    std::string session, ref, outcome, rule, text, mode;
    int code = 0;
    bool queued = false;
    double seconds = 0;
};
struct Delivery {
    std::string ref, id, rcpt, upstream, enhanced, text, stage;
    int code = 0;
    std::string judges;       ///< message path
    std::string result;       ///< delivered deferred refused in_doubt
    std::uint64_t bytes = 0;  ///< Octets that went upstream; set on one recipient of an attempt
                              ///< only. Counted, not written.
};
struct Queued {  ///< beside events.md
    std::string ref, id, state, reason;
    std::size_t rcpts = 0;
    std::uint64_t bytes = 0;
};
struct Settled {  ///< An entry's recipient ended without a word of an upstream: dropped,
                  ///< expired, refused (no path offers what it needs).
    std::string ref, id, rcpt, how, reason;
};
struct Dsn {
    std::string ref, id, action, rcpt;  ///< failed delayed delivered relayed
    std::string result;  ///< queued none; of one that could not be delivered: refused expired
};
/// A later word that a recipient of a message got it not; once for each. Its token stands in the
/// token map alone.
struct Bounce {
    std::string ref, token, rcpt, enhanced, text;
    std::string account, customer;
    std::string upstream;  ///< That had taken it; empty: not known any more.
    std::string domain;    ///< The receiver's, as domains are compared.
    std::string via;       ///< dsn webhook
};
/// A recipient of a message calls it abuse; once for each.
struct Complaint {
    std::string ref, token, rcpt;
    std::string kind;  ///< abuse fraud virus other ..., as the receiver says
    std::string via;   ///< arf webhook (form operator)
    bool confirmed = true;
    std::string account, customer, upstream, domain;  ///< As of a bounce.
};
struct IntakeTaken {  ///< Counted, not written: a word or mail that came to the intake.
    std::string_view kind, result;  ///< Static text.
};
struct Upstream {                               ///< breaker and connection changes
    std::string upstream, state, error, stage;  ///< closed open half_open
};
struct UpstreamTime {  ///< Counted, not written.
    std::string upstream, stage;
    double seconds = 0;
};
struct Lookup {
    std::string kind, name, result;
    double seconds = 0;
};
struct Admin {
    std::string what, subject, reason, by;
    std::vector<std::pair<std::string, std::string>> fields;
};
struct Release {
    std::string account;
};
struct Password {
    std::string account;
};
struct Verdict {  ///< Counted, not written: a verdict that stands in no other event's `rules`.
    std::string_view rule, mode, verdict;  ///< Static text.
};
struct PolicyTime {          ///< Counted, not written.
    std::string_view stage;  ///< Static text.
    double seconds = 0;
};
struct SpoolCommit {  ///< Counted, not written.
    std::size_t entries = 0;
    double seconds = 0;
};
struct SpoolError {
    std::string kind, path, error;  ///< kind: write sync full damaged
};
struct LoopLag {  ///< Counted, not written.
    std::size_t thread = 0;
    double seconds = 0;
};
struct Reload {
    std::string result, error;  ///< ok failed
};
/// "alert". Whoever notices a condition fills kind, subject, text, action and fields, as often as
/// it notices; the stream lets one `firing` an hour and subject pass and fills the rest
/// (alerts.hpp).
struct AlertRaised {
    std::string kind, severity, subject, text, action;
    bool resolved = false;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string id, state, url;  ///< state: firing resolved
    std::chrono::system_clock::time_point since;
    std::uint64_t count = 0;
};
enum class Level : std::uint8_t { debug, info, warning, error };
struct Log {
    Level level = Level::info;
    std::string area, text;
};

using Payload =
    std::variant<Connect, Disconnect, TlsHandshake, Login, Reply, Recipient, Attempt, Message,
                 Answered, Delivery, Queued, Settled, Dsn, Bounce, Complaint, IntakeTaken, Upstream,
                 UpstreamTime, Lookup, Admin, Release, Password, Verdict, PolicyTime, SpoolCommit,
                 SpoolError, LoopLag, Reload, AlertRaised, Log>;

struct Event {
    std::chrono::system_clock::time_point t;
    std::chrono::steady_clock::time_point mono;
    std::uint64_t seq = 0;
    Payload what;
};

/// A reader of the stream. Called from whichever thread emits, in order of `seq` for one emitter:
/// must be quick, must not block, must not throw.
class Reader {
  public:
    virtual ~Reader() = default;
    virtual void on_event(const Event& e) noexcept = 0;
};

/// The one stream: whatever happened is emitted here, and nothing else writes logs or counts.
/// Thread-safe.
class Stream {
  public:
    virtual ~Stream() = default;
    virtual void emit(Payload what) noexcept = 0;
    /// Makes the payload in a frame of its own: one is the size of the largest event, and in a
    /// coroutine it would be held for as long as the coroutine lives.
    template <typename What>
        requires(!std::is_lvalue_reference_v<What> && !std::same_as<What, Payload>)
    [[gnu::noinline]] void emit(What&& what) noexcept {
        emit(Payload(std::forward<What>(what)));
    }
    void log(Level level, std::string_view area, std::string text) noexcept {
        emit(Log{level, std::string(area), std::move(text)});
    }
};

}  // namespace postern::relay::event
