#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "proto/reply.hpp"
#include "proto/report.hpp"
#include "proto/utf8.hpp"
#include "relay/intake/webhook_json.hpp"
#include "relay/intake/webhook_kinds.hpp"

namespace postern::relay::intake {
namespace {

constexpr std::size_t topic_limit = 256;
constexpr std::size_t url_limit = 2048;
constexpr std::size_t signature_limit = 256;

/// The first that is not empty.
std::string either(std::string a, std::string b) {
    return a.empty() ? std::move(b) : std::move(a);
}

/// `value` of the first element of an array of {name, value} whose name it is.
std::string named_value(const Json* list, std::string_view name, std::string_view name_at,
                        std::string_view value_at) {
    if (list == nullptr || !list->is_array()) return {};
    for (const Json& one : *list) {
        if (proto::same_ignoring_case(text_at(one, name_at), name)) return text_at(one, value_at);
    }
    return {};
}

// Amazon SES

/// An https URL of Amazon SNS itself: what anybody may post must not send the reader elsewhere.
bool is_sns_url(std::string_view url) {
    constexpr std::string_view scheme = "https://";
    if (!url.starts_with(scheme) || url.size() > url_limit) return false;
    if (!std::ranges::all_of(url, [](char c) { return c > ' ' && c < '\x7f'; })) return false;
    const std::string_view rest = url.substr(scheme.size());
    const std::string_view host = rest.substr(0, rest.find_first_of("/?#"));
    const bool plain = std::ranges::all_of(host, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
    return plain && host.starts_with("sns.") &&
           (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"));
}

/// Where the recipients of an event stand, and what is said of them.
struct SesPlace {
    std::string_view event;
    std::string_view rcpts;    ///< An array.
    std::string_view address;  ///< In one of them; empty: it is a string.
    std::string_view finer;
    std::string_view text;  ///< Of all of them.
};
constexpr SesPlace ses_places[] = {
    {"Bounce", "/bounce/bouncedRecipients", "/emailAddress", "/bounce/bounceType", ""},
    {"Complaint", "/complaint/complainedRecipients", "/emailAddress",
     "/complaint/complaintFeedbackType", ""},
    {"Delivery", "/delivery/recipients", "", "", "/delivery/smtpResponse"},
    {"DeliveryDelay", "/deliveryDelay/delayedRecipients", "/emailAddress", "",
     "/deliveryDelay/delayType"},
    {"Reject", "/mail/destination", "", "", "/reject/reason"},
};

std::string text_if(const Json& value, std::string_view pointer) {
    return pointer.empty() ? std::string() : text_at(value, pointer);
}

bool read_ses_event(const Json& event, WebhookCall& call) {
    const std::string type =
        either(text_at(event, "/eventType"), text_at(event, "/notificationType"));
    if (type.empty()) return false;
    WordList words(call);
    Word word;
    const Json* const headers = at_pointer(event, "/mail/headers");
    word.message_id = either(text_at(event, "/mail/commonHeaders/messageId"),
                             named_value(headers, "Message-ID", "/name", "/value"));
    word.token = named_value(headers, "X-Abuse", "/name", "/value");

    const auto* const place = std::ranges::find_if(ses_places, [&](const SesPlace& one) {
        return proto::same_ignoring_case(one.event, type);
    });
    if (place == std::end(ses_places)) {  // Opens and the like.
        words.add(std::move(word), false);
        return true;
    }
    // Not sent, as its own list says so; anything else is as the feedback says.
    std::string finer = text_at(event, "/complaint/complaintSubType");
    if (finer.empty() || place->event != "Complaint") finer = text_if(event, place->finer);
    word.kind = kind_of(WebhookFormat::ses, type, finer);
    word.detail = text_at(event, "/complaint/complaintFeedbackType");
    word.text = text_if(event, place->text);
    const Json* const rcpts = at_pointer(event, place->rcpts);
    if (rcpts == nullptr || !rcpts->is_array()) {
        words.unreadable();
        return true;
    }
    for (const Json& rcpt : *rcpts) {
        Word one = word;
        one.rcpt = text_at(rcpt, place->address);
        one.enhanced = text_at(rcpt, "/status");
        one.text = either(text_at(rcpt, "/diagnosticCode"), word.text);
        words.add(std::move(one), true);
    }
    return true;
}

// Postmark

/// What the service repeats of the mail: its Metadata, its Headers, and the report that it got.
void find_original(const Json& event, Word& word) {
    const Json* const headers = at_pointer(event, "/Headers");
    word.message_id = named_value(headers, "Message-ID", "/Name", "/Value");
    word.token = named_value(headers, "X-Abuse", "/Name", "/Value");
    const Json* const metadata = at_pointer(event, "/Metadata");
    if (metadata != nullptr && metadata->is_object()) {
        for (const auto& [name, value] : metadata->items()) {
            if (word.message_id.empty() && proto::same_ignoring_case(name, "message-id"))
                word.message_id = text_at(value, "");
            if (word.token.empty() && proto::same_ignoring_case(name, "x-abuse"))
                word.token = text_at(value, "");
        }
    }
    if (!word.message_id.empty() && !word.token.empty()) return;
    const proto::Report report = proto::read_report(text_at(event, "/Content"));
    if (word.message_id.empty()) word.message_id = report.message_id;
    if (word.token.empty()) word.token = report.token;
}

}  // namespace

bool read_ses(const Json& document, WebhookCall& call) {
    const std::string type = text_at(document, "/Type");
    if (type.empty()) return read_ses_event(document, call);
    call.topic = proto::clean_text(text_at(document, "/TopicArn"), topic_limit);
    if (type == "SubscriptionConfirmation" || type == "UnsubscribeConfirmation") {
        std::string url = text_at(document, "/SubscribeURL");
        if (!is_sns_url(url)) return false;
        call.confirm_url = std::move(url);
        return true;
    }
    if (type != "Notification") return false;
    const Json* const message = at_pointer(document, "/Message");
    const auto* const text = message == nullptr ? nullptr : message->get_ptr<const std::string*>();
    if (text == nullptr) return false;
    // SES greets a new topic with a sentence: nothing to read, and nothing wrong.
    const std::optional<Json> event = parse_webhook(*text);
    if (!event) return !text->starts_with('{');
    return read_ses_event(*event, call);
}

bool read_mailgun(const Json& document, WebhookCall& call) {
    const Json* const event = at_pointer(document, "/event-data");
    if (event == nullptr || !event->is_object()) return false;
    const auto signed_with = [&](std::string_view pointer) {
        std::string text = text_at(document, pointer);
        return text.size() > signature_limit ? std::string() : text;
    };
    call.signature = {.timestamp = signed_with("/signature/timestamp"),
                      .token = signed_with("/signature/token"),
                      .signature = signed_with("/signature/signature")};
    const std::string type = text_at(*event, "/event");
    if (type.empty()) return false;
    Word word;
    word.kind = kind_of(WebhookFormat::mailgun, type, text_at(*event, "/severity"));
    word.rcpt = text_at(*event, "/recipient");
    word.message_id = text_at(*event, "/message/headers/message-id");
    word.token = text_at(*event, "/message/headers/x-abuse");
    word.enhanced = text_at(*event, "/delivery-status/enhanced-code");
    const std::string code = text_at(*event, "/delivery-status/code");
    std::string said = either(either(text_at(*event, "/delivery-status/message"),
                                     text_at(*event, "/delivery-status/description")),
                              text_at(*event, "/reject/reason"));
    // The reply's text comes without its code.
    const bool with_code = code.size() != 3 || said.starts_with(code);
    word.text = with_code ? std::move(said) : code + " " + said;
    const bool needs_rcpt = word.kind != WordKind::other;
    WordList(call).add(std::move(word), needs_rcpt);
    return true;
}

bool read_sendgrid(const Json& document, WebhookCall& call) {
    if (!document.is_array()) return false;
    WordList words(call);
    for (const Json& event : document) {
        const std::string type = text_at(event, "/event");
        if (type.empty()) {
            words.unreadable();
            continue;
        }
        const std::string reason = text_at(event, "/reason");
        Word word;
        word.kind = kind_of(WebhookFormat::sendgrid, type, either(text_at(event, "/type"), reason));
        word.rcpt = text_at(event, "/email");
        word.message_id = text_at(event, "/smtp-id");
        word.token = text_at(event, "/x-abuse");  // Where it was given as a unique argument.
        word.enhanced = text_at(event, "/status");
        word.text = either(reason, text_at(event, "/response"));
        const bool needs_rcpt = word.kind != WordKind::other;
        words.add(std::move(word), needs_rcpt);
    }
    return true;
}

bool read_postmark(const Json& document, WebhookCall& call) {
    if (!document.is_object()) return false;
    const std::string type = either(text_at(document, "/Type"),
                                    std::string(postmark_type(text_at(document, "/TypeCode"))));
    // Calls of old say no RecordType, and are all of bounces.
    const std::string record =
        either(text_at(document, "/RecordType"), type.empty() ? std::string() : "Bounce");
    if (record.empty()) return false;
    Word word;
    word.kind = kind_of(WebhookFormat::postmark, record, type);
    word.rcpt = either(text_at(document, "/Email"), text_at(document, "/Recipient"));
    word.text = either(text_at(document, "/Details"), text_at(document, "/Description"));
    find_original(document, word);
    const bool needs_rcpt = word.kind != WordKind::other;
    WordList(call).add(std::move(word), needs_rcpt);
    return true;
}

}  // namespace postern::relay::intake
