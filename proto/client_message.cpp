#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "proto/client_impl.hpp"

namespace postern::proto {
namespace {

/// One write of pipelined commands: replies to it fit into any socket's buffers, so neither side
/// blocks (RFC 2920 3.1).
constexpr std::size_t group_octets = 16384;

/// Nothing that ends a line may reach the wire inside a command, whatever wrote the envelope.
bool breaks_line(std::string_view text) noexcept {
    using namespace std::string_view_literals;
    return text.find_first_of("\r\n\0"sv) != std::string_view::npos;
}

bool breaks_line(const Address& address) noexcept {
    return breaks_line(address.local) || breaks_line(address.domain);
}

bool needs_smtputf8(const ClientSession::Message& message) {
    const Envelope& envelope = *message.envelope;
    return envelope.smtputf8 || (envelope.mail_from && !envelope.mail_from->ascii()) ||
           std::ranges::any_of(message.recipients, [&](std::size_t index) {
               return !envelope.recipients.at(index).address.ascii();
           });
}

std::string notify_text(const Notify& notify) {
    if (notify.never) return "NEVER";
    std::string out;
    const auto add = [&out](bool wanted, std::string_view word) {
        if (!wanted) return;
        if (!out.empty()) out += ',';
        out += word;
    };
    add(notify.success, "SUCCESS");
    add(notify.failure, "FAILURE");
    add(notify.delay, "DELAY");
    return out.empty() ? "NEVER" : out;
}

}  // namespace

void append_mail(const ClientSession::Message& message, const UpstreamOffer& offer,
                 std::string& out) {
    const Envelope& envelope = *message.envelope;
    out.append("MAIL FROM:<");
    out.append(message.return_path != nullptr ? message.return_path->text()
                                              : envelope.sender_text());
    out += '>';
    if (offer.size && message.size > 0) {
        fmt::format_to(std::back_inserter(out), " SIZE={}", message.size);
    }
    if (offer.eight_bit_mime && message.eight_bit_data) out += " BODY=8BITMIME";
    if (offer.smtputf8 && needs_smtputf8(message)) out += " SMTPUTF8";
    if (offer.dsn) {
        if (envelope.ret == Ret::full) out += " RET=FULL";
        if (envelope.ret == Ret::headers) out += " RET=HDRS";
        if (!envelope.envid.empty()) out.append(" ENVID=").append(envelope.envid);
    }
    out += "\r\n";
}

void append_rcpt(const Recipient& recipient, const UpstreamOffer& offer, std::string& out) {
    out.append("RCPT TO:<").append(recipient.address.text()).append(">");
    if (offer.dsn) {
        if (recipient.notify) out.append(" NOTIFY=").append(notify_text(*recipient.notify));
        if (!recipient.orcpt.empty()) out.append(" ORCPT=").append(recipient.orcpt);
    }
    out += "\r\n";
}

std::optional<Reply> unfit(const ClientSession::Message& message, const UpstreamOffer& offer) {
    const Envelope& envelope = *message.envelope;
    const auto refuse = [](int code, std::string enhanced, std::string text) {
        return Reply{.code = code,
                     .enhanced = std::move(enhanced),
                     .text = std::move(text),
                     .close_after = false};
    };
    const bool broken = (envelope.mail_from && breaks_line(*envelope.mail_from)) ||
                        breaks_line(envelope.envid) ||
                        std::ranges::any_of(message.recipients, [&](std::size_t index) {
                            const Recipient& recipient = envelope.recipients.at(index);
                            return breaks_line(recipient.address) || breaks_line(recipient.orcpt);
                        });
    if (broken) return refuse(554, "5.6.0", "the envelope holds control characters");
    if (!offer.smtputf8 && needs_smtputf8(message)) {
        return refuse(550, "5.6.9", "the next server does not offer SMTPUTF8");
    }
    if (!offer.eight_bit_mime && message.eight_bit_data) {
        return refuse(554, "5.6.3", "the next server does not offer 8BITMIME");
    }
    if (offer.max_size > 0 && message.size > offer.max_size) {
        return refuse(552, "5.3.4", "the message is larger than the next server takes");
    }
    return std::nullopt;
}

void ClientTransaction::settle(std::size_t slot, const Reply& reply, UpstreamStage stage) {
    results[slot] = ClientSession::RecipientResult{
        .index = message.recipients[slot], .reply = reply, .stage = stage};
}

void ClientTransaction::settle_rest(const Reply& reply, UpstreamStage stage) {
    for (std::size_t slot = 0; slot < results.size(); ++slot) {
        if (!results[slot]) settle(slot, reply, stage);
    }
}

bool ClientTransaction::settled() const noexcept {
    return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); });
}

std::vector<ClientSession::RecipientResult> ClientTransaction::take() {
    std::vector<ClientSession::RecipientResult> out;
    out.reserve(results.size());
    for (auto& result : results) {
        if (result) out.push_back(std::move(*result));
    }
    return out;
}

void ClientSession::Impl::send_message(Message message) {
    if (phase_ != Phase::ready) return;
    transaction_.emplace();
    transaction_->results.resize(message.recipients.size());
    transaction_->message = std::move(message);
    begin(Phase::envelope);
}

/// Emits what may go now. Called with nothing outstanding: once with PIPELINING for most messages,
/// else for each command.
void ClientSession::Impl::send_envelope() {
    ClientTransaction& t = *transaction_;
    if (!t.mail_sent) {
        if (const auto refusal = unfit(t.message, offer_)) {
            t.settle_rest(*refusal, UpstreamStage::mail);
        }
    }
    if (t.settled()) return message_done();
    const auto go_on = [this] { return offer_.pipelining && output_.size() < group_octets; };
    if (rset_due_ && !t.mail_sent) {
        rset_due_ = false;
        command("RSET", UpstreamStage::rset);
        if (!go_on()) return;
    }
    if (!t.mail_sent) {
        t.mail_sent = true;
        append_mail(t.message, offer_, output_);
        awaited_.push_back({.stage = UpstreamStage::mail});
        if (!go_on()) return;
    }
    while (t.rcpts_sent < t.results.size()) {
        const std::size_t slot = t.rcpts_sent++;
        append_rcpt(t.message.envelope->recipients[t.message.recipients[slot]], offer_, output_);
        awaited_.push_back({.stage = UpstreamStage::rcpt, .slot = slot});
        if (!go_on()) return;
    }
    command("DATA", UpstreamStage::data);
}

void ClientSession::Impl::handle_mail(const Reply& reply) {
    if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, UpstreamStage::mail, reply);
    if (reply.positive()) {
        rset_due_ = true;  // Until the data is through, the upstream holds a transaction.
        return;
    }
    transaction_->mail_refused = true;
    transaction_->settle_rest(reply, UpstreamStage::mail);
}

void ClientSession::Impl::handle_rcpt(std::size_t slot, const Reply& reply) {
    ClientTransaction& t = *transaction_;
    if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, UpstreamStage::rcpt, reply);
    if (t.mail_refused) {
        if (reply.positive()) t.rcpt_accepted_anyway = true;
        return;
    }
    if (reply.positive()) {
        ++t.accepted;
    } else {
        t.settle(slot, reply, UpstreamStage::rcpt);
    }
}

void ClientSession::Impl::handle_data(const Reply& reply) {
    ClientTransaction& t = *transaction_;
    if (reply.code == 354) {
        // An empty message to people for whom there was no sender: no upstream should let it come
        // to that.
        if (t.rcpt_accepted_anyway) {
            return fail(Failed::Kind::protocol, UpstreamStage::data, reply);
        }
        phase_ = t.accepted > 0 ? Phase::body : Phase::stray_dot;
        return;
    }
    if (reply.positive()) return fail(Failed::Kind::protocol, UpstreamStage::data, reply);
    t.settle_rest(reply, UpstreamStage::data);
    message_done();
}

void ClientSession::Impl::handle_dot(const Reply& reply) {
    ClientTransaction& t = *transaction_;
    if (reply.code / 100 == 3) return fail(Failed::Kind::protocol, UpstreamStage::dot, reply);
    t.settle_rest(reply, UpstreamStage::dot);
    rset_due_ = false;
    if (reply.code == 421) return fail(Failed::Kind::refused, UpstreamStage::dot, reply);
    message_done();
}

void ClientSession::Impl::message_done() {
    due_ = MessageDone{transaction_->take()};
    transaction_.reset();
    phase_ = Phase::ready;
}

void ClientSession::Impl::body_sent() {
    if (phase_ == Phase::body) phase_ = Phase::before_dot;
}

void ClientSession::Impl::final_dot_allowed() {
    if (phase_ == Phase::before_dot) phase_ = Phase::dot;
}

}  // namespace postern::proto
