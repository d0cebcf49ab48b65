#include "relay/intake/complaint_notices.hpp"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "proto/header.hpp"
#include "proto/reply.hpp"
#include "proto/utf8.hpp"
#include "relay/delivery/notices.hpp"

namespace postern::relay::intake {

namespace {

constexpr std::size_t longest_value = 320;

/// Foreign text on one line.
std::string shown(const std::string& text) {
    return text.empty() ? std::string("unknown") : proto::clean_text(text, longest_value);
}

std::string body_of(const config::Config& config, const ComplaintNotices::Batch& batch) {
    const std::uint64_t count = batch.complaints.size() + batch.more;
    std::string out = fmt::format(
        "Hello,\r\n\r\n"
        "{} called mail abuse that was sent with your {} through {}.\r\n\r\n",
        count == 1 ? "A recipient" : fmt::format("Recipients ({} times)", count),
        batch.customer.empty() ? "account" : "accounts", config.server.hostname);
    for (const ToldComplaint& one : batch.complaints) {
        out += fmt::format(
            "  mail:       {}\r\n"
            "  sent:       {}\r\n"
            "  account:    {}\r\n"
            "  recipient:  {}\r\n"
            "  Message-ID: {}\r\n"
            "  called:     {}\r\n\r\n",
            one.ref, shown(one.sent), shown(one.account), shown(one.rcpt), shown(one.message_id),
            shown(one.kind));
    }
    if (batch.more > 0) out += fmt::format("and {} more.\r\n\r\n", batch.more);
    out += fmt::format(
        "Please see why, send these recipients nothing that they did not ask for, and if the mail "
        "is\r\nnot yours, change the account's password. Further complaints of the next hour come "
        "in one mail.\r\n\r\nQuestions: {}\r\n",
        config.server.abuse_contact);
    return out;
}

}  // namespace

std::optional<ComplaintNotices::Batch> ComplaintNotices::add(ToldComplaint complaint, Time now) {
    const std::string owner = complaint.customer.empty() ? "account " + complaint.account
                                                         : "customer " + complaint.customer;
    const auto at = owners_.find(owner);
    if (at != owners_.end()) {
        Batch& batch = at->second.batch;
        if (batch.complaints.size() < most_listed) {
            batch.complaints.push_back(std::move(complaint));
        } else {
            ++batch.more;
        }
        return std::nullopt;
    }
    Batch batch{.owner = owner, .customer = complaint.customer, .complaints = {}, .more = 0};
    // Whose hour is not kept is told of each: the bound is of memory.
    if (owners_.size() < most_owners) {
        owners_.emplace(owner, Waiting{.until = now + pause, .batch = batch});
        order_.emplace_back(now + pause, owner);
    }
    batch.complaints.push_back(std::move(complaint));
    return batch;
}

std::vector<ComplaintNotices::Batch> ComplaintNotices::due(Time now) {
    std::vector<Batch> out;
    while (!order_.empty() && order_.front().first <= now) {
        const std::string owner = std::move(order_.front().second);
        order_.pop_front();
        const auto at = owners_.find(owner);
        if (at == owners_.end()) continue;
        Batch& batch = at->second.batch;
        if (batch.complaints.empty()) {
            owners_.erase(at);
            continue;
        }
        // The next hour begins with this mail.
        Batch empty{.owner = owner, .customer = batch.customer, .complaints = {}, .more = 0};
        out.push_back(std::exchange(batch, std::move(empty)));
        at->second.until = now + pause;
        order_.emplace_back(at->second.until, owner);
    }
    return out;
}

std::optional<ComplaintNotices::Time> ComplaintNotices::next() const {
    if (order_.empty()) return std::nullopt;
    return order_.front().first;
}

std::vector<ComplaintNotices::Batch> ComplaintNotices::rest() {
    std::vector<Batch> out;
    for (auto& [owner, waiting] : owners_) {
        if (!waiting.batch.complaints.empty()) out.push_back(std::move(waiting.batch));
    }
    owners_.clear();
    order_.clear();
    return out;
}

NewEntry make_complaint_mail(const config::Config& config, const proto::Address& to,
                             const ComplaintNotices::Batch& batch, const std::string& id,
                             WallTime now) {
    const std::string domain = notice_domain(config);
    const std::string body = body_of(config, batch);
    const bool ascii = proto::is_ascii(body);
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    const std::uint64_t count = batch.complaints.size() + batch.more;
    NewEntry entry;
    entry.id = id;
    entry.ref = batch.complaints.empty() ? id : batch.complaints.front().ref;
    entry.message_id = "<" + id + "@" + config.server.hostname + ">";
    const auto text = std::make_shared<const std::string>(
        fmt::format("Received: by {} id {}; {}\r\n"
                    "From: Mail Delivery System <postmaster@{}>\r\n"
                    "To: {}\r\n"
                    "Subject: {}\r\n"
                    "Date: {}\r\n"
                    "Message-ID: {}\r\n"
                    "Auto-Submitted: auto-generated\r\n"
                    "MIME-Version: 1.0\r\n"
                    "Content-Type: text/plain; charset=utf-8\r\n"
                    "Content-Transfer-Encoding: {}\r\n\r\n{}",
                    config.server.hostname, id, proto::rfc5322_date(seconds), domain, to.text(),
                    count == 1 ? "Abuse complaint about your mail"
                               : fmt::format("{} abuse complaints about your mail", count),
                    proto::rfc5322_date(seconds), entry.message_id, ascii ? "7bit" : "8bit", body));
    proto::Recipient rcpt;
    rcpt.address = to;
    rcpt.notify = proto::Notify{.never = true};
    entry.envelope.recipients.push_back(std::move(rcpt));
    entry.envelope.smtputf8 = !to.ascii();
    if (!ascii) entry.envelope.body = proto::Body::eight_bit_mime;
    // Of nobody's account: a suspension freezes what it sent, and not what it is to hear.
    entry.dsn = true;
    entry.created = now;
    entry.next_attempt = now;
    entry.pieces.emplace_back(*text);
    entry.keep = text;
    return entry;
}

}  // namespace postern::relay::intake
