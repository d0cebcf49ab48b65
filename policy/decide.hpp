#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/limit_store.hpp"
#include "policy/ownership.hpp"
#include "policy/rule.hpp"
#include "proto/address.hpp"
#include "proto/header.hpp"
#include "proto/reply.hpp"

namespace postern::policy {

/// The stages of a message, in their order. Each is judged in three steps:
///     plan(stage, facts, settings)              -> what has to be asked
///     the caller asks (limit store)             -> Answers
///     decide(stage, facts, answers, settings)   -> Verdict
/// Both are pure: no clock, no I/O. `plan` asks for nothing when the facts alone lead to a refusal,
/// so that nothing has to be given back then.
enum class Stage : std::uint8_t { connect, auth, mail, rcpt, data };
[[nodiscard]] std::string_view name(Stage stage) noexcept;

/// The limits of one plan, by account. Empty: no limit.
struct PlanLimits {
    std::vector<Window> messages;
    std::vector<Window> recipients;
    bool operator==(const PlanLimits&) const = default;
    /// [limits.transactional] where the configuration says nothing.
    [[nodiscard]] static PlanLimits transactional();
    /// [limits.device] likewise: of a device that cannot log in, a printer.
    [[nodiscard]] static PlanLimits device();
};

/// What the operator chose: made from the configuration, immutable, lives as long as what was
/// planned with it.
struct Settings {
    RuleModes rules;
    std::map<std::string, PlanLimits, std::less<>> plans{
        {"device", PlanLimits::device()}, {"transactional", PlanLimits::transactional()}};
    std::uint64_t max_size =
        25U << 20U;                    ///< Octets; the smaller of ours and the largest upstream's.
    std::size_t max_recipients = 100;  ///< A message.
    int max_received = 100;            ///< More Received fields are a loop (RFC 5321 6.3).
    std::size_t max_connections = 16'000;
    std::size_t max_connections_per_source = 100;  ///< Not yet logged in.
    std::size_t max_connections_per_account = 2'000;
    std::string contact;  ///< For senders; named to a suspended account.

    /// The plan of that name, else transactional (an account without a customer, an unknown name).
    [[nodiscard]] const PlanLimits& limits_of(std::string_view plan) const;
};

/// What is known. Each stage reads what its comment names, and what the stages before it read.
struct Facts {
    // connect
    std::string_view source;                ///< canonical_source()
    std::size_t connections = 0;            ///< All that are open, this one included.
    std::size_t connections_of_source = 0;  ///< Not logged in, this one included.
    // auth, after a right proof
    std::string_view account;          ///< Normalised: the key of its limits.
    std::string_view customer;         ///< Empty: none.
    std::string_view plan;             ///< Empty: transactional.
    std::string_view credential;       ///< What it logged in with; empty: its first password.
    std::string_view credential_plan;  ///< Limits of that alone, beside the account's; empty: none.
    std::span<const std::string> only_to;  ///< Addresses and `@DOMAIN` that the credential may
                                           ///< write to, normalised and sorted; empty: all.
    const PlanLimits* account_limits =
        nullptr;  ///< Overrides the plan's; lives as long as the plan made of it.
    Owned owned;
    RuleOverrides overrides;  ///< Of the account.
    bool suspended = false;
    std::string_view suspended_text;         ///< The operator's words to the account.
    std::size_t connections_of_account = 0;  ///< This one included.
    // mail
    const proto::Address* mail_from = nullptr;  ///< Unset: the null reverse-path.
    std::uint64_t declared_size = 0;
    // rcpt
    std::size_t recipients = 0;            ///< Accepted before this one; at data: all that stand.
    const proto::Address* rcpt = nullptr;  ///< This one.
    /// Since when it is on the list of its sender's customer or account; unset: it is not.
    std::optional<std::chrono::system_clock::time_point> suppressed_since;
    std::string_view suppressed_for;  ///< What was said when it bounced, "5.1.1"; empty: by hand.
    // data
    std::uint64_t bytes = 0;  ///< Of the message as received.
    const proto::HeaderFacts* header = nullptr;
};

/// What has to be asked before decide().
struct Plan {
    std::vector<Touch> touches;
    [[nodiscard]] bool empty() const noexcept { return touches.empty(); }
};

/// What the world said.
struct Answers {
    LimitAnswer limits;          ///< Of Plan::touches; passed where there were none.
    bool guard_refuses = false;  ///< At connect: LoginGuard::on_connect, whatever its mode.
};

struct Verdict {
    VerdictKind kind = VerdictKind::accept;
    std::string_view rule =
        "none";  ///< Static text: of Rule, or size, syntax, suspended; "none" when accepted.
    proto::Reply reply;        ///< Where not accepted: without [REF].
    std::int64_t seconds = 0;  ///< Throttled: when it would pass.
    std::vector<RuleSeen>
        rules;  ///< All that were judged here, in order; those in observe mode too.

    [[nodiscard]] bool accepted() const noexcept { return kind == VerdictKind::accept; }
    /// "accepted throttled refused", as the events say.
    [[nodiscard]] std::string_view outcome() const noexcept;
};

/// The mode of a rule for these facts: the account's own, else the configuration's.
[[nodiscard]] Mode mode_of(Rule rule, const Facts& facts, const Settings& settings) noexcept;

[[nodiscard]] Plan plan(Stage stage, const Facts& facts, const Settings& settings);
[[nodiscard]] Verdict decide(Stage stage, const Facts& facts, const Answers& answers,
                             const Settings& settings);

}  // namespace postern::policy
