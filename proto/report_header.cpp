#include <algorithm>
#include <array>

#include "proto/address_list.hpp"
#include "proto/reply.hpp"
#include "proto/report_impl.hpp"
#include "proto/report_words.hpp"
#include "proto/utf8.hpp"

namespace postern::proto::reports {
namespace {

/// In the From of mail systems.
constexpr auto daemons = std::to_array<std::string_view>({
    "mailer-daemon",
    "mailer_daemon",
    "mailerdaemon",
    "mail-daemon",
    "maildaemon",
    "mdaemon",
    "postmaster",
    "double-bounce",
    "microsoftexchange",
});

/// What Subjects of mail systems begin with.
constexpr auto failure_subjects = std::to_array<std::string_view>({
    "failure notice",
    "delivery failure",
    "delivery status notification",
    "delivery notification",
    "mail delivery failed",
    "mail delivery failure",
    "mail system error",
    "mail delivery system",
    "message delivery failure",
    "returned mail",
    "undeliverable",
    "undelivered mail",
    "undeliverable mail",
    "unzustellbar",
    "nicht zugestellt",
    "warning: message ",
    "non delivery report",
    "nondeliverable mail",
});

/// What Subjects of programs that answer for somebody absent begin with.
constexpr auto vacation_subjects = std::to_array<std::string_view>({
    "out of office",
    "out of the office",
    "automatic reply",
    "automatische antwort",
    "auto reply",
    "autoreply",
    "auto:",
    "auto-reply",
    "abwesenheit",
    "abwesend",
    "vacation",
});

constexpr auto vacation_fields = std::to_array<std::string_view>(
    {"x-autoreply", "x-autorespond", "x-autoresponder", "x-vacation", "x-auto-reply-from"});

void take_mailboxes(std::string_view value, const ReportLimits& limits,
                    std::vector<std::string>& into) {
    const AddressList list = parse_address_list(
        value,
        {.octets = limits.max_header, .mailboxes = limits.max_recipients, .comment_depth = 8});
    for (const Address& mailbox : list.mailboxes) {
        if (into.size() >= limits.max_recipients) return;
        std::string text = mailbox_text(mailbox);
        if (!text.empty() && std::ranges::find(into, text) == into.end())
            into.push_back(std::move(text));
    }
}

}  // namespace

ReportHeader read_report_header(std::string_view header, const ReportLimits& limits) {
    ReportHeader out;
    FieldReader fields(header.substr(0, limits.max_header));
    const auto begins = [](std::string_view text, auto& table) {
        return std::ranges::any_of(table,
                                   [text](std::string_view one) { return text.starts_with(one); });
    };
    while (fields.next()) {
        const std::string_view name = fields.name();
        const std::string_view value = fields.value();
        if (name == "from") {
            const std::string lower = to_lower(value.substr(0, 1024));
            out.from_daemon =
                out.from_daemon || std::ranges::any_of(daemons, [&](std::string_view one) {
                    return lower.contains(one);
                });
        } else if (name == "subject") {
            const std::string lower = to_lower(value.substr(0, 256));
            out.failure_subject = out.failure_subject || begins(lower, failure_subjects);
            out.vacation = out.vacation || begins(lower, vacation_subjects);
        } else if (name == "x-failed-recipients") {
            take_mailboxes(value, limits, out.failed);
        } else if (name == "to") {
            take_mailboxes(value, limits, out.to);
        } else if (name == "in-reply-to" && out.in_reply_to.empty()) {
            out.in_reply_to = bracketed_message_id(value);
        } else if (std::ranges::find(vacation_fields, name) != vacation_fields.end()) {
            out.vacation = true;
        } else if (name == "precedence" || name == "x-precedence") {
            out.vacation = out.vacation || same_ignoring_case(value, "auto_reply");
        }
    }
    return out;
}

}  // namespace postern::proto::reports
