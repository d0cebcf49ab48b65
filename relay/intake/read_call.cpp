#include "relay/intake/read_call.hpp"

#include <utility>

#include "relay/intake/webhook_map.hpp"

namespace postern::relay::intake {

namespace {

WebhookFormat format_of(config::WebhookFormat format) {
    switch (format) {
        case config::WebhookFormat::ses:
            return WebhookFormat::ses;
        case config::WebhookFormat::mailgun:
            return WebhookFormat::mailgun;
        case config::WebhookFormat::sendgrid:
            return WebhookFormat::sendgrid;
        case config::WebhookFormat::postmark:
            return WebhookFormat::postmark;
        case config::WebhookFormat::own:
            break;
    }
    return WebhookFormat::custom;
}

}  // namespace

boost::system::result<Call, std::string> read_call(const config::Webhook& webhook,
                                                   const std::string& json) {
    WebhookMap map;
    for (const auto& [key, value] : webhook.map) {
        // The configuration was checked by the same function.
        if (std::string wrong = set(map, key, value); !wrong.empty()) return wrong;
    }
    auto read = read_webhook(format_of(webhook.format), map, json);
    if (!read) return read.error();
    return Call{.words = std::move(read->words),
                .confirm_url = std::move(read->confirm_url),
                .mailgun = {.timestamp = std::move(read->signature.timestamp),
                            .token = std::move(read->signature.token),
                            .signature = std::move(read->signature.signature)}};
}

}  // namespace postern::relay::intake
