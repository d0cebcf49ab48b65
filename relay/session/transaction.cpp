// May you, and whither: policy at MAIL, RCPT and the end of data, and the hand-over.

#include "relay/session/transaction.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "policy/decide.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using Stage = proto::Session::Stage;

/// Claimed for a message of unknown size; it grows as octets come.
constexpr std::uint64_t first_claim = 256U * 1024U;
/// However large it says it will be, so much is claimed before octets come: idle promises must not
/// use memory up.
constexpr std::uint64_t largest_first_claim = 1024U * 1024U;

policy::Stage policy_stage(Stage stage) {
    switch (stage) {
        case Stage::mail:
            return policy::Stage::mail;
        case Stage::rcpt:
            return policy::Stage::rcpt;
        case Stage::data:
            break;
    }
    return policy::Stage::data;
}

std::string joined(const std::vector<proto::Address>& addresses) {
    std::string out;
    for (const proto::Address& address : addresses) {
        if (!out.empty()) out += ", ";
        out += address.text();
    }
    return out;
}

proto::Reply no_room() {
    return {452, "4.3.1", "no room for another message now, try again later", false};
}

policy::Verdict may_not_send() {
    return {.kind = policy::VerdictKind::refuse,
            .rule = "suspended",
            .reply = {550, "5.7.1", "this account may not send", false}};
}

std::string_view tls_text(const std::optional<std::string>& version) {
    return version ? std::string_view(*version) : std::string_view{};
}

}  // namespace

void SessionDriver::begin_transaction() {
    const SnapshotPtr now = services_.current.get();
    transaction_ = std::make_unique<Transaction>(now, now->config->server.hostname);
}

policy::Facts SessionDriver::facts() const {
    policy::Facts out;
    out.source = source_;
    if (account_) {
        out.account = account_->name;
        out.customer = account_->customer;
        out.plan = account_->plan;
        out.credential = credential_;
        if (const auto* const used = auth::find_credential(*account_, credential_)) {
            out.credential_plan = used->plan;
            out.only_to = used->rcpts;
        }
        out.suspended = account_->suspended.has_value();
        if (account_->suspended) out.suspended_text = account_->suspended->text;
        for (const auto* rules : {&account_->customer_rules, &account_->rules}) {
            for (const auto& [name, mode] : *rules) {
                if (const auto rule = policy::parse_rule(name))
                    out.overrides.set(*rule, policy::parse_mode(mode));
            }
        }
    }
    return out;
}

policy::Verdict SessionDriver::ask_policy(policy::Stage stage, const policy::Facts& facts) {
    const auto began = clock::now();
    const policy::Settings& settings = transaction_->snapshot->policy;
    const policy::Plan plan = policy::plan(stage, facts, settings);
    policy::Answers answers;
    if (!plan.empty())
        answers.limits = services_.limits.reserve(plan.touches, began, transaction_->tokens);
    policy::Verdict verdict = policy::decide(stage, facts, answers, settings);
    services_.events.emit(
        event::PolicyTime{.stage = policy::name(stage),
                          .seconds = std::chrono::duration<double>(clock::now() - began).count()});
    return verdict;
}

awaitable<void> SessionDriver::judge(Stage stage) {
    drain_notes();
    if (stage == Stage::mail) {
        if (!co_await enter_as_device()) co_return;
        begin_transaction();
        if (!co_await may_still_send()) {
            const policy::Verdict verdict = may_not_send();
            remember_refusal(stage, verdict);
            machine_->refuse(verdict.reply);
            co_return;
        }
        const std::uint64_t declared = machine_->envelope().declared_size;
        transaction_->memory = services_.bodies.claim(
            account_name_, declared > 0 ? std::min(declared, largest_first_claim) : first_claim);
        if (!transaction_->memory.cover(1) || !services_.spool.reserve(declared)) {
            remember_refusal(stage, policy::Verdict{.kind = policy::VerdictKind::throttle,
                                                    .rule = "size",
                                                    .reply = no_room()});
            machine_->refuse(no_room());
            co_return;
        }
    }
    Transaction& t = *transaction_;
    if (stage == Stage::data) {
        t.data_ended = clock::now();
        if (!co_await may_still_send()) {
            t.judged = true;
            const policy::Verdict verdict = may_not_send();
            t.header.finish();
            if (account_) tell_message(verdict);
            tell_refused(verdict);
            machine_->refuse(verdict.reply);
            co_return;
        }
    }
    const proto::Envelope& envelope = machine_->envelope();
    policy::Facts known = facts();
    std::optional<suppression::Suppressed> listed;  // What the facts point to.
    known.owned = owned();
    known.mail_from = envelope.mail_from ? &*envelope.mail_from : nullptr;
    known.declared_size = envelope.declared_size;
    known.recipients = envelope.recipients.size();
    if (stage == Stage::rcpt) {
        --known.recipients;
        known.rcpt = &envelope.recipients.back().address;
        listed = suppressed(known);
        if (listed) {
            known.suppressed_since = listed->since;
            known.suppressed_for = listed->enhanced;
        }
    }
    if (stage == Stage::data) {
        t.judged = true;
        t.header.finish();
        known.bytes = machine_->body_bytes();
        known.header = &t.header.facts();
        if (t.out_of_memory) {
            policy::Verdict verdict{
                .kind = policy::VerdictKind::throttle, .rule = "size", .reply = no_room()};
            tell_message(verdict);
            tell_refused(verdict);
            machine_->refuse(verdict.reply);
            co_return;
        }
    }
    policy::Verdict verdict = ask_policy(policy_stage(stage), known);
    if (stage == Stage::data) {
        if (verdict.accepted()) t.token = services_.make_token();
        tell_message(verdict);
    }
    if (stage == Stage::rcpt) {
        services_.events.emit(event::Recipient{.session = id_,
                                               .ref = machine_->ref(),
                                               .account = account_name_,
                                               .rcpt = envelope.recipients.back().address.text(),
                                               .outcome = std::string(verdict.outcome()),
                                               .rule = std::string(verdict.rule)});
    }
    if (verdict.accepted()) {
        t.has_recipients = t.has_recipients || stage == Stage::rcpt;
        if (stage != Stage::data) std::ranges::move(verdict.rules, std::back_inserter(t.rules));
        machine_->accept();
        co_return;
    }
    proto::Reply reply = verdict.reply;
    if (stage == Stage::data) {
        tell_refused(verdict);
    } else {
        remember_refusal(stage, std::move(verdict));
    }
    machine_->refuse(std::move(reply));
}

/// Whether the recipient that is judged is on the list that holds for the account.
std::optional<suppression::Suppressed> SessionDriver::suppressed(const policy::Facts& known) const {
    const bool off = policy::mode_of(policy::Rule::suppression, known,
                                     transaction_->snapshot->policy) == policy::Mode::off;
    if (off || services_.suppression == nullptr) return std::nullopt;
    return services_.suppression->find(
        {.customer = std::string(known.customer), .account = std::string(known.account)},
        known.rcpt->text(), std::chrono::system_clock::now());
}

/// What it may send as. Views into the account.
policy::Owned SessionDriver::owned() const {
    const auth::AccountRecord& owner = acting_account_ ? *acting_account_ : *account_;
    return {.everything = owner.owned.everything,
            .account = owner.name,
            .addresses = owner.owned.addresses,
            .domains = owner.owned.domains};
}

/// Reads anew what has changed of the account, and of the one that it acts for. False: it may send
/// no more, and the session ends.
awaitable<bool> SessionDriver::may_still_send() {
    // Not to be had now: what is known goes on to count, and the next message asks again.
    (void)co_await refresh_account();
    bool may = !revoked_ && still_stands(account_.get());
    if (may && !acting_as_.empty()) {
        const auto other = co_await look_up(acting_as_);
        // While the store cannot be read, what is known goes on to count.
        if (other) acting_account_ = *other;
        may = acting_account_ && !acting_account_->suspended &&
              auth::may_act_as(*account_, acting_as_);
    }
    // The notice of the change is on its way to this session, too.
    if (!may) revoke({421, "4.7.0", "this account has changed, log in again", true});
    co_return may;
}

void SessionDriver::tell_refused(const policy::Verdict& verdict) {
    const Transaction& t = *transaction_;
    services_.events.emit(event::Answered{
        .session = id_,
        .ref = machine_->ref(),
        .outcome = std::string(verdict.outcome()),
        .rule = std::string(verdict.rule),
        .text = verdict.reply.text,
        .mode = t.snapshot->config->delivery.mode == config::DeliveryMode::spool ? "spool"
                                                                                 : "cut-through",
        .code = verdict.reply.code,
        .queued = false,
        .seconds = std::chrono::duration<double>(clock::now() - t.data_ended).count()});
}

void SessionDriver::remember_refusal(Stage stage, policy::Verdict verdict) {
    const proto::Envelope& envelope = machine_->envelope();
    refusal_ = std::make_unique<Refusal>(
        std::move(verdict), envelope.sender_text(),
        stage == Stage::rcpt ? envelope.recipients.back().address.text() : "");
}

void SessionDriver::take_chunk(const proto::Session::BodyChunk& chunk) {
    Transaction& t = *transaction_;
    if (t.out_of_memory) return;
    t.octets += chunk.bytes.size();
    if (chunk.is_static) {
        t.body.append(chunk.bytes, nullptr, 0);
    } else {
        t.body.append(chunk.bytes, block_, block_->size());
    }
    // What counts is the memory that the slices keep, not their octets.
    const std::uint64_t taken = t.body.footprint();
    if (taken > t.memory.bytes() && !t.memory.cover(std::max(taken, t.memory.bytes() * 2)) &&
        !t.memory.cover(taken)) {
        t.out_of_memory = true;
        t.forget_body();
        return;
    }
    if (!t.header.done()) t.header.feed(chunk.bytes);
}

void SessionDriver::tell_message(const policy::Verdict& verdict) {
    const Transaction& t = *transaction_;
    const proto::HeaderFacts& header = t.header.facts();
    const proto::Envelope& envelope = machine_->envelope();
    event::Message told;
    told.session = id_;
    told.ref = machine_->ref();
    told.account = account_name_;
    told.customer = account_->customer;
    told.credential = credential_;
    told.source = source_;
    if (t.snapshot->geo) told.place = t.snapshot->geo->find(client_ip_);
    told.mail_from = envelope.sender_text();
    told.header_from = joined(header.from);
    told.header_sender = joined(header.sender);
    told.message_id = header.message_id.empty() ? fmt::format("<{}@{}>", machine_->ref(),
                                                              t.snapshot->config->server.hostname)
                                                : header.message_id;
    told.token = t.token;
    for (const proto::Recipient& rcpt : envelope.recipients)
        told.rcpts.push_back(rcpt.address.text());
    told.bytes = machine_->body_bytes();
    told.list_unsubscribe = header.list_unsubscribe;
    told.ehlo = machine_->ehlo();
    told.tls = std::string(tls_text(tls_version_));
    told.shape = header.shape;
    told.outcome = std::string(verdict.outcome());
    told.rule = std::string(verdict.rule);
    if (!verdict.accepted()) {
        told.code = verdict.reply.code;
        told.enhanced = verdict.reply.enhanced;
        told.text = verdict.reply.text;
    }
    told.rules = t.rules;
    told.rules.insert(told.rules.end(), verdict.rules.begin(), verdict.rules.end());
    services_.events.emit(std::move(told));
}

std::shared_ptr<Message> SessionDriver::make_message() {
    Transaction& t = *transaction_;
    const proto::HeaderFacts& header = t.header.facts();
    auto message = std::make_shared<Message>();
    message->ref = machine_->ref();
    message->account = account_name_;
    message->customer = account_->customer;
    message->source = source_;
    message->plan = account_->plan;
    message->envelope = machine_->envelope();
    message->received = std::chrono::system_clock::now();
    proto::AddedFields added;
    added.hostname = t.snapshot->config->server.hostname;
    added.ref = message->ref;
    if (t.snapshot->config->message.received_client_ip) added.client_ip = client_ip_;
    added.smtputf8 = message->envelope.smtputf8;
    added.ehlo = machine_->esmtp();
    added.tls = machine_->tls();
    added.auth = !snapshot_->config->server.listen[listener_].devices;
    added.date = !header.has_date;
    added.message_id = header.message_id.empty();
    added.unix_seconds =
        std::chrono::duration_cast<std::chrono::seconds>(message->received.time_since_epoch())
            .count();
    added.abuse_contact = t.snapshot->config->server.abuse_contact;
    added.token = t.token;
    message->token = t.token;
    added.pseudonym = services_.pseudonyms.of(message->customer, message->account);
    message->prefix = proto::added_fields(added);
    message->message_id = header.message_id.empty()
                              ? fmt::format("<{}@{}>", message->ref, added.hostname)
                              : header.message_id;
    message->body = std::move(t.body);
    message->removals = header.removals;
    message->memory = std::make_shared<BodyBudget::Claim>(std::move(t.memory));
    return message;
}

/// A domain's key vouches only for who owns the address, also where no rule asks for that.
dkim::Wanted SessionDriver::wanted_signatures(const std::string& ref) const {
    const auto& from = transaction_->header.facts().from;
    const bool vouches = !from.empty() && owned().has(from.front());
    dkim::Wanted wanted =
        dkim::wanted_by(*transaction_->snapshot->config, ref,
                        vouches ? std::string_view(from.front().domain) : std::string_view());
    // That key would vouch for whatever From says, its own domain's addresses with it.
    if (!vouches) wanted.default_domain.clear();
    return wanted;
}

awaitable<void> SessionDriver::commit() {
    Transaction& t = *transaction_;
    const std::string ref = machine_->ref();
    const std::shared_ptr<Message> message = make_message();
    // What goes upstream or to the spool is what is signed: nothing of it changes any more.
    const std::optional<std::string> signatures =
        co_await services_.signing.sign(wanted_signatures(ref), message->pieces());
    ClientWord word{.reply = {451, "4.3.0", "too much mail comes at once, try again later", false}};
    if (signatures) {
        message->prefix.insert(0, *signatures);
        word =
            co_await services_.delivery.take(lane_.upstreams, lane_.tasks, message, t.data_ended);
    }
    if (word.accepted) t.tokens.commit();
    discarded_ = 0;
    services_.events.emit(event::Answered{
        .session = id_,
        .ref = ref,
        .outcome = word.accepted           ? "accepted"
                   : word.reply.code < 500 ? "throttled"
                                           : "refused",
        .rule = "none",
        .text = word.reply.text,
        .mode = t.snapshot->config->delivery.mode == config::DeliveryMode::spool ? "spool"
                                                                                 : "cut-through",
        .code = word.reply.code,
        .queued = word.queued,
        .seconds = std::chrono::duration<double>(clock::now() - t.data_ended).count()});
    machine_->committed(word.reply);
    transaction_.reset();
}

}  // namespace postern::relay
