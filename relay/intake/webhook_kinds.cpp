#include "relay/intake/webhook_kinds.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "proto/utf8.hpp"

namespace postern::relay::intake {
namespace {

using enum WordKind;

/// `finer` empty: whatever it is. Rows that say more stand before.
struct EventRow {
    std::string_view event;
    std::string_view finer;
    WordKind kind;
};

/// Amazon SES: notificationType or eventType; bounceType, complaintSubType or
/// complaintFeedbackType. What is not known to be for good is counted against nobody.
constexpr auto ses_rows = std::to_array<EventRow>({
    {"Bounce", "Permanent", bounce},
    {"Bounce", "Transient", deferral},
    {"Bounce", "Undetermined", deferral},
    {"Bounce", "", deferral},
    // SES did not send it, as the recipient had complained before.
    {"Complaint", "OnAccountSuppressionList", other},
    {"Complaint", "not-spam", other},
    {"Complaint", "", complaint},
    {"Delivery", "", delivery},
    {"DeliveryDelay", "", deferral},
    // It holds a virus.
    {"Reject", "", bounce},
});

/// Mailgun: event; severity.
constexpr auto mailgun_rows = std::to_array<EventRow>({
    {"failed", "permanent", bounce},
    {"failed", "temporary", deferral},
    {"failed", "", deferral},
    {"rejected", "", bounce},
    {"complained", "", complaint},
    {"delivered", "", delivery},
});

/// SendGrid: event; type of a bounce, reason of a drop.
constexpr auto sendgrid_rows = std::to_array<EventRow>({
    // Refused for reasons that are not the address: the next one may pass.
    {"bounce", "blocked", deferral},
    {"bounce", "", bounce},
    {"blocked", "", deferral},
    // Not sent, for reasons that say nothing of the address.
    {"dropped", "Unsubscribed Address", other},
    {"dropped", "Spam Reporting Address", other},
    {"dropped", "Recipient List over Package Quota", other},
    {"dropped", "", bounce},
    {"deferred", "", deferral},
    {"delivered", "", delivery},
    {"spamreport", "", complaint},
});

/// Postmark: RecordType; Type of a bounce.
constexpr auto postmark_rows = std::to_array<EventRow>({
    {"Bounce", "HardBounce", bounce},
    {"Bounce", "BadEmailAddress", bounce},
    {"Bounce", "SpamNotification", bounce},
    {"Bounce", "VirusNotification", bounce},
    {"Bounce", "DMARCPolicy", bounce},
    {"Bounce", "ManuallyDeactivated", bounce},
    {"Bounce", "SoftBounce", deferral},
    {"Bounce", "Transient", deferral},
    {"Bounce", "DnsError", deferral},
    {"Bounce", "Blocked", deferral},
    {"Bounce", "Unknown", deferral},
    {"Bounce", "SpamComplaint", complaint},
    // Answers of programs, and troubles of the account there.
    {"Bounce", "", other},
    {"SpamComplaint", "", complaint},
    {"Delivery", "", delivery},
});

/// For maps without `kinds`: what services commonly say.
constexpr auto common_rows = std::to_array<EventRow>({
    {"bounce", "", bounce},           {"bounced", "", bounce},
    {"hard_bounce", "", bounce},      {"hardbounce", "", bounce},
    {"permanent", "", bounce},        {"permanent_fail", "", bounce},
    {"failed", "", bounce},           {"dropped", "", bounce},
    {"rejected", "", bounce},         {"invalid_email", "", bounce},
    {"soft_bounce", "", deferral},    {"softbounce", "", deferral},
    {"blocked", "", deferral},        {"deferred", "", deferral},
    {"deferral", "", deferral},       {"delayed", "", deferral},
    {"temporary", "", deferral},      {"temporary_fail", "", deferral},
    {"delivered", "", delivery},      {"delivery", "", delivery},
    {"complaint", "", complaint},     {"complained", "", complaint},
    {"spam", "", complaint},          {"spamreport", "", complaint},
    {"spam_report", "", complaint},   {"spam_complaint", "", complaint},
    {"spamcomplaint", "", complaint}, {"abuse", "", complaint},
});

constexpr auto postmark_codes = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"1", "HardBounce"},
    {"2", "Transient"},
    {"16", "Unsubscribe"},
    {"32", "Subscribe"},
    {"64", "AutoResponder"},
    {"128", "AddressChange"},
    {"256", "DnsError"},
    {"512", "SpamNotification"},
    {"1024", "OpenRelayTest"},
    {"2048", "Unknown"},
    {"4096", "SoftBounce"},
    {"8192", "VirusNotification"},
    {"16384", "ChallengeVerification"},
    {"100000", "BadEmailAddress"},
    {"100001", "SpamComplaint"},
    {"100002", "ManuallyDeactivated"},
    {"100003", "Unconfirmed"},
    {"100006", "Blocked"},
    {"100007", "SMTPApiError"},
    {"100008", "InboundError"},
    {"100009", "DMARCPolicy"},
    {"100010", "TemplateRenderingFailed"},
});

std::span<const EventRow> rows_of(WebhookFormat format) noexcept {
    switch (format) {
        case WebhookFormat::ses:
            return ses_rows;
        case WebhookFormat::mailgun:
            return mailgun_rows;
        case WebhookFormat::sendgrid:
            return sendgrid_rows;
        case WebhookFormat::postmark:
            return postmark_rows;
        case WebhookFormat::custom:
            break;
    }
    return common_rows;
}

}  // namespace

WordKind kind_of(WebhookFormat format, std::string_view event, std::string_view finer) noexcept {
    const auto rows = rows_of(format);
    const auto row = std::ranges::find_if(rows, [&](const EventRow& one) {
        return proto::same_ignoring_case(one.event, event) &&
               (one.finer.empty() || proto::same_ignoring_case(one.finer, finer));
    });
    return row == rows.end() ? other : row->kind;
}

std::string_view postmark_type(std::string_view code) noexcept {
    const auto row = std::ranges::find(postmark_codes, code,
                                       &std::pair<std::string_view, std::string_view>::first);
    return row == postmark_codes.end() ? std::string_view() : row->second;
}

std::optional<WordKind> word_kind(std::string_view text) noexcept {
    for (const WordKind kind : {bounce, deferral, delivery, complaint, other}) {
        if (text == name(kind)) return kind;
    }
    return std::nullopt;
}

}  // namespace postern::relay::intake
