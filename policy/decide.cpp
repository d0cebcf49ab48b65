#include "policy/decide.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

// Each stage is a short list of judgements, the cheapest first. The first that says no, in mode
// enforce, is the verdict; one in mode observe is written down and passed over. plan() runs the
// same list without answers: where it ends in a refusal there is nothing to ask.

namespace postern::policy {

namespace {

constexpr std::string_view size_rule = "size";
constexpr std::string_view syntax_rule = "syntax";
constexpr std::string_view suspended_rule = "suspended";
constexpr std::size_t longest_echo = 120;  // octets of an address in a reply

proto::Reply reply(int code, std::string_view enhanced, std::string text, bool close = false) {
    return {.code = code,
            .enhanced = std::string(enhanced),
            .text = std::move(text),
            .close_after = close};
}

/// Builds the verdict judgement by judgement.
class Bench {
  public:
    Bench(const Facts& facts, const Settings& settings) : facts_(facts), settings_(settings) {}

    [[nodiscard]] bool decided() const noexcept { return !verdict_.accepted(); }
    [[nodiscard]] Mode mode(Rule rule) const noexcept { return mode_of(rule, facts_, settings_); }
    [[nodiscard]] Verdict take() { return std::move(verdict_); }

    /// What no operator can switch off.
    void refuse(std::string_view rule, VerdictKind kind, proto::Reply answer) {
        std::vector<std::string> reasons{answer.text};
        verdict_.rules.push_back({.rule = rule,
                                  .mode = name(Mode::enforce),
                                  .verdict = name(kind),
                                  .reasons = std::move(reasons),
                                  .saw = {}});
        verdict_.kind = kind;
        verdict_.rule = rule;
        verdict_.reply = std::move(answer);
    }
    void pass(Rule rule) {
        if (!verdict_.rules.empty() && verdict_.rules.back().rule == name(rule))
            return;  // it objected, observed
        verdict_.rules.push_back({.rule = name(rule),
                                  .mode = name(mode(rule)),
                                  .verdict = name(VerdictKind::accept),
                                  .reasons = {},
                                  .saw = {}});
    }
    void object(Rule rule, VerdictKind kind, proto::Reply answer, std::int64_t seconds,
                std::vector<std::pair<std::string, std::string>> saw) {
        const auto in_mode = mode(rule);
        verdict_.rules.push_back({.rule = name(rule),
                                  .mode = name(in_mode),
                                  .verdict = name(kind),
                                  .reasons = {answer.text},
                                  .saw = std::move(saw)});
        if (in_mode != Mode::enforce) return;
        verdict_.kind = kind;
        verdict_.rule = name(rule);
        verdict_.reply = std::move(answer);
        verdict_.seconds = seconds;
    }

  private:
    const Facts& facts_;
    const Settings& settings_;
    Verdict verdict_;
};

const PlanLimits& limits_for(const Facts& facts, const Settings& settings) {
    return facts.account_limits != nullptr ? *facts.account_limits : settings.limits_of(facts.plan);
}

void judge_size(Bench& bench, std::uint64_t bytes, const Settings& settings) {
    if (settings.max_size == 0 || bytes <= settings.max_size) return;
    bench.refuse(
        size_rule, VerdictKind::refuse,
        reply(552, "5.3.4", fmt::format("message larger than {} octets", settings.max_size)));
}

void judge_envelope_sender(Bench& bench, const Facts& facts) {
    if (bench.mode(Rule::sender_ownership) == Mode::off) return;
    if (facts.mail_from == nullptr) return;  // judged by header From at the end of data (RFC 8098)
    if (facts.owned.has(*facts.mail_from)) return bench.pass(Rule::sender_ownership);
    const auto sender = facts.mail_from->text();
    bench.object(Rule::sender_ownership, VerdictKind::refuse,
                 reply(550, "5.7.1",
                       fmt::format("sender {} is not an address of this account",
                                   proto::clean_text(sender, longest_echo))),
                 0, {{"mail_from", sender}});
}

/// The first mailbox of From or Sender that the account does not own; null: it owns them all.
const proto::Address* foreign_mailbox(const Facts& facts) {
    for (const auto* mailboxes : {&facts.header->from, &facts.header->sender}) {
        for (const auto& mailbox : *mailboxes) {
            if (!facts.owned.has(mailbox)) return &mailbox;
        }
    }
    return nullptr;
}

void judge_header_sender(Bench& bench, const Facts& facts, Rule rule) {
    if (bench.mode(rule) == Mode::off) return;
    const bool readable = facts.header->from_parsed && !facts.header->from.empty();
    const auto* foreign = readable ? foreign_mailbox(facts) : nullptr;
    if (facts.owned.everything || (readable && foreign == nullptr)) return bench.pass(rule);
    if (foreign == nullptr) {
        return bench.object(
            rule, VerdictKind::refuse,
            reply(550, "5.7.1", "the header's From or Sender names no address of this account"), 0,
            {});
    }
    const auto text = foreign->text();
    bench.object(rule, VerdictKind::refuse,
                 reply(550, "5.7.1",
                       fmt::format("header sender {} is not an address of this account",
                                   proto::clean_text(text, longest_echo))),
                 0, {{"header_from", text}});
}

void judge_structure(Bench& bench, const Facts& facts, const Settings& settings) {
    const auto& header = *facts.header;
    if (header.received_fields > settings.max_received) {
        return bench.refuse(
            syntax_rule, VerdictKind::refuse,
            reply(554, "5.4.6",
                  fmt::format("more than {} Received fields: a mail loop", settings.max_received)));
    }
    if (header.loop) {
        return bench.refuse(syntax_rule, VerdictKind::refuse,
                            reply(554, "5.4.6", "this message was here before: a mail loop"));
    }
    if (header.overlong_line) {
        return bench.refuse(
            syntax_rule, VerdictKind::refuse,
            reply(554, "5.6.0", "a header field is over 64 KiB, or the header over 1 MiB"));
    }
    if (header.disguised_field) {
        return bench.refuse(
            syntax_rule, VerdictKind::refuse,
            reply(554, "5.6.0", "a line of the header looks like a field and is none"));
    }
    if (header.from_fields != 1) {
        bench.refuse(syntax_rule, VerdictKind::refuse,
                     reply(554, "5.6.0",
                           header.from_fields == 0 ? "the header has no From field"
                                                   : "the header has more than one From field"));
    }
}

void judge_recipient_count(Bench& bench, const Facts& facts, const Settings& settings) {
    if (settings.max_recipients != 0 && facts.recipients >= settings.max_recipients) {
        return bench.refuse(size_rule, VerdictKind::throttle,
                            reply(452, "4.5.3",
                                  fmt::format("too many recipients: at most {} a message",
                                              settings.max_recipients)));
    }
    if (bench.mode(Rule::limits) == Mode::off) return;
    const auto& windows = limits_for(facts, settings).recipients;
    const auto smallest = std::ranges::min_element(windows, {}, &Window::amount);
    if (smallest == windows.end() || facts.recipients < smallest->amount) return;
    bench.object(
        Rule::limits, VerdictKind::throttle,
        reply(452, "4.5.3",
              fmt::format("too many recipients: the limit of {} lets at most {} pass at once",
                          smallest->text(), smallest->amount)),
        0, {{"recipients", std::to_string(facts.recipients + 1)}});
}

/// A device writes to those alone that it was made for. No mode switches that off.
void judge_recipient(Bench& bench, const Facts& facts) {
    if (facts.only_to.empty() || facts.rcpt == nullptr) return;
    if (is_among(facts.only_to, *facts.rcpt)) return;
    bench.refuse(size_rule, VerdictKind::refuse,
                 reply(550, "5.7.1",
                       fmt::format("{} is not among the recipients that this device may write to",
                                   proto::clean_text(facts.rcpt->text(), longest_echo))));
}

/// "2026-11-02", in UTC.
std::string date_text(std::chrono::system_clock::time_point t) {
    const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(t)};
    return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

/// What did not exist lately is not written to: a sender of much that bounces harms all others.
void judge_suppression(Bench& bench, const Facts& facts, const Settings& settings) {
    if (facts.rcpt == nullptr || bench.mode(Rule::suppression) == Mode::off) return;
    if (!facts.suppressed_since) return bench.pass(Rule::suppression);
    const std::string rcpt = facts.rcpt->text();
    const std::string since = date_text(*facts.suppressed_since);
    std::string text = fmt::format(
        "{} {}: suppressed since {}", proto::clean_text(rcpt, longest_echo),
        facts.suppressed_for.empty() ? "is not to be written to" : "bounced before", since);
    if (!settings.contact.empty()) text += "; ask " + settings.contact;
    std::vector<std::pair<std::string, std::string>> saw{{"rcpt", rcpt}, {"since", since}};
    if (!facts.suppressed_for.empty()) saw.emplace_back("enhanced", facts.suppressed_for);
    bench.object(Rule::suppression, VerdictKind::refuse, reply(550, "5.1.1", std::move(text)), 0,
                 std::move(saw));
}

void judge_limits(Bench& bench, const Answers& answers) {
    if (bench.mode(Rule::limits) == Mode::off) return;
    const auto& said = answers.limits;
    if (said.passed) return bench.pass(Rule::limits);
    const auto seconds = said.wait_seconds();
    bench.object(Rule::limits, VerdictKind::throttle,
                 reply(451, "4.7.1",
                       fmt::format("too many {}: the limit of this {} is {}, try again in {} s",
                                   name(said.limit), name(said.kind), said.window.text(), seconds)),
                 seconds,
                 {{"limit", std::string(name(said.limit))},
                  {"window", said.window.text()},
                  {"used", std::to_string(said.used)}});
}

void judge_connect(Bench& bench, const Facts& facts, const Answers& answers,
                   const Settings& settings) {
    if (settings.max_connections != 0 && facts.connections > settings.max_connections) {
        return bench.refuse(size_rule, VerdictKind::refuse,
                            reply(421, "4.7.0", "too many connections", true));
    }
    if (settings.max_connections_per_source != 0 &&
        facts.connections_of_source > settings.max_connections_per_source) {
        return bench.refuse(size_rule, VerdictKind::refuse,
                            reply(421, "4.7.0", "too many connections from your address", true));
    }
    if (bench.mode(Rule::login_guard) == Mode::off) return;
    if (!answers.guard_refuses) return bench.pass(Rule::login_guard);
    bench.object(
        Rule::login_guard, VerdictKind::refuse,
        reply(421, "4.7.0", "too many failed logins from your address, try again later", true), 0,
        {{"source", std::string(facts.source)}});
}

void judge_account(Bench& bench, const Facts& facts, const Settings& settings) {
    if (facts.suspended) {
        auto text = settings.contact.empty()
                        ? std::string("account suspended")
                        : fmt::format("account suspended, write to {}", settings.contact);
        if (!facts.suspended_text.empty())
            text += ": " + proto::clean_text(facts.suspended_text, 300);
        return bench.refuse(suspended_rule, VerdictKind::refuse,
                            reply(525, "5.7.13", std::move(text)));
    }
    if (settings.max_connections_per_account != 0 &&
        facts.connections_of_account > settings.max_connections_per_account) {
        bench.refuse(size_rule, VerdictKind::refuse,
                     reply(421, "4.7.0", "too many connections of this account", true));
    }
}

/// What the facts alone say.
void judge_facts(Bench& bench, Stage stage, const Facts& facts, const Answers& answers,
                 const Settings& settings) {
    switch (stage) {
        case Stage::connect:
            return judge_connect(bench, facts, answers, settings);
        case Stage::auth:
            return judge_account(bench, facts, settings);
        case Stage::mail:
            judge_size(bench, facts.declared_size, settings);
            if (!bench.decided()) judge_envelope_sender(bench, facts);
            return;
        case Stage::rcpt:
            judge_recipient(bench, facts);
            if (!bench.decided()) judge_suppression(bench, facts, settings);
            if (!bench.decided()) judge_recipient_count(bench, facts, settings);
            return;
        case Stage::data:
            judge_size(bench, facts.bytes, settings);
            if (bench.decided() || facts.header == nullptr) return;
            judge_structure(bench, facts, settings);
            if (!bench.decided() && facts.mail_from == nullptr) {
                judge_header_sender(bench, facts, Rule::sender_ownership);
            }
            if (!bench.decided()) judge_header_sender(bench, facts, Rule::header_from);
            return;
    }
}

}  // namespace

Plan plan(Stage stage, const Facts& facts, const Settings& settings) {
    Plan out;
    if (stage != Stage::mail && stage != Stage::rcpt) return out;
    if (mode_of(Rule::limits, facts, settings) == Mode::off) return out;
    Bench bench(facts, settings);
    judge_facts(bench, stage, facts, {}, settings);
    if (bench.decided()) return out;
    const auto touch = [&](LimitKey kind, std::string key, const PlanLimits& limits) {
        const auto& windows = stage == Stage::mail ? limits.messages : limits.recipients;
        if (windows.empty()) return;
        out.touches.push_back({.limit = stage == Stage::mail ? Limit::messages : Limit::recipients,
                               .kind = kind,
                               .key = std::move(key),
                               .windows = windows,
                               .cost = 1});
    };
    touch(LimitKey::account, std::string(facts.account), limits_for(facts, settings));
    if (!facts.credential_plan.empty()) {
        touch(LimitKey::credential, fmt::format("{} {}", facts.account, facts.credential),
              settings.limits_of(facts.credential_plan));
    }
    return out;
}

Verdict decide(Stage stage, const Facts& facts, const Answers& answers, const Settings& settings) {
    Bench bench(facts, settings);
    judge_facts(bench, stage, facts, answers, settings);
    if (!bench.decided() && (stage == Stage::mail || stage == Stage::rcpt))
        judge_limits(bench, answers);
    return bench.take();
}

}  // namespace postern::policy
