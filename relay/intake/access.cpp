#include "relay/intake/access.hpp"

#include <algorithm>

#include "relay/intake/signature.hpp"

namespace postern::relay::intake {
namespace {

bool is_signed_with_its_key(const config::Webhook& webhook) {
    return webhook.format == config::WebhookFormat::sendgrid &&
           is_public_key(webhook.secret.reveal());
}

}  // namespace

Access webhook_access(const config::Webhook& webhook, std::string_view authorization) {
    if (webhook.secret.empty()) return Access::denied;
    if (is_signed_with_its_key(webhook)) return Access::by_signature;
    if (authorization.empty()) {
        return webhook.format == config::WebhookFormat::mailgun ? Access::by_signature
                                                                : Access::denied;
    }
    const auto secret = secret_in(authorization);
    return secret && same_secret(secret->reveal(), webhook.secret.reveal()) ? Access::granted
                                                                            : Access::denied;
}

Access message_access(const config::Intake& intake, const Caller& caller) {
    const bool near = config::is_loopback(caller.address) || may_bring_mail(intake, caller.address);
    if (near && !caller.for_another) return Access::granted;
    const auto secret = secret_in(caller.authorization);
    if (!secret || secret->empty()) return Access::denied;
    bool known = false;
    for (const config::Webhook& webhook : intake.webhook) {
        if (webhook.secret.empty() || is_signed_with_its_key(webhook)) continue;
        if (same_secret(secret->reveal(), webhook.secret.reveal())) known = true;
    }
    return known ? Access::granted : Access::denied;
}

bool may_bring_mail(const config::Intake& intake, std::string_view address) {
    return std::ranges::any_of(
        intake.from, [&](const config::Network& network) { return network.contains(address); });
}

}  // namespace postern::relay::intake
