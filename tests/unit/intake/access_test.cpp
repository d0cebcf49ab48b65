#include "relay/intake/access.hpp"

#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay;
using namespace postern::relay::intake;

namespace {

// A key of nobody's: P-256.
const std::string public_key =
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEdl44Cijm3BPGVZBiPJU2VA3ovmvArf62SixVlQSZXfH7"
    "fFZ0RX2yuCEzBxY4iU0TyAE9/XMCyqIQM0WEOD1UaA==";

config::Webhook webhook(config::WebhookFormat format, const std::string& secret) {
    config::Webhook out;
    out.name = "x";
    out.format = format;
    out.secret = proto::Secret(secret);
    return out;
}

}  // namespace

TEST_CASE("a webhook is called by its secret, or by what its service signs") {
    using enum config::WebhookFormat;
    struct Row {
        config::WebhookFormat format;
        std::string secret;
        std::string authorization;
        Access access;
    };
    const std::string right = "Bearer s3cret";
    const std::string basic = "Basic dXNlcjpzM2NyZXQ=";  // user:s3cret
    const Row table[] = {
        {ses, "s3cret", right, Access::granted},
        {ses, "s3cret", basic, Access::granted},
        {ses, "s3cret", "Bearer s3cre", Access::denied},
        {ses, "s3cret", "Bearer s3crets", Access::denied},
        {ses, "s3cret", "", Access::denied},
        {ses, "", "Bearer x", Access::denied},
        {ses, "", "Basic Og==", Access::denied},  // no user, no password
        {postmark, "s3cret", basic, Access::granted},
        {own, "s3cret", right, Access::granted},
        {own, "s3cret", "", Access::denied},
        {mailgun, "s3cret", right, Access::granted},
        {mailgun, "s3cret", "", Access::by_signature},
        {mailgun, "s3cret", "Bearer x", Access::denied},
        {mailgun, "", "", Access::denied},
        {sendgrid, "s3cret", right, Access::granted},
        {sendgrid, "s3cret", "", Access::denied},
        {sendgrid, public_key, "", Access::by_signature},
        {sendgrid, public_key, "Bearer " + public_key, Access::by_signature},
    };
    for (const Row& row : table) {
        CAPTURE(name(row.format), row.secret, row.authorization);
        CHECK(webhook_access(webhook(row.format, row.secret), row.authorization) == row.access);
    }
}

TEST_CASE("a message is brought from near, or with the secret of any webhook") {
    config::Intake intake;
    intake.from = {config::Network::parse("10.0.0.0/8").value()};
    intake.webhook = {webhook(config::WebhookFormat::ses, "one"),
                      webhook(config::WebhookFormat::own, "two"),
                      webhook(config::WebhookFormat::sendgrid, public_key)};
    struct Row {
        Caller caller;
        Access access;
    };
    const Row table[] = {
        {{"127.0.0.1", "", false}, Access::granted},
        {{"::1", "", false}, Access::granted},
        {{"10.1.2.3", "", false}, Access::granted},
        {{"192.0.2.1", "", false}, Access::denied},
        {{"127.0.0.1", "", true}, Access::denied},
        {{"10.1.2.3", "", true}, Access::denied},
        {{"127.0.0.1", "Bearer two", true}, Access::granted},
        {{"192.0.2.1", "Bearer one", false}, Access::granted},
        {{"192.0.2.1", "Bearer three", false}, Access::denied},
        {{"192.0.2.1", "Bearer " + public_key, false}, Access::denied},
        {{"", "", false}, Access::denied},
    };
    for (const Row& row : table) {
        CAPTURE(row.caller.address, row.caller.authorization, row.caller.for_another);
        CHECK(message_access(intake, row.caller) == row.access);
    }
    intake.webhook.clear();
    CHECK(message_access(intake, {"192.0.2.1", "Basic Og==", false}) == Access::denied);
}

TEST_CASE("mail is brought from the networks that are named") {
    config::Intake intake;
    CHECK(may_bring_mail(intake, "127.0.0.2"));
    CHECK(may_bring_mail(intake, "::1"));
    CHECK_FALSE(may_bring_mail(intake, "192.0.2.1"));
    intake.from = {config::Network::parse("192.0.2.0/24").value()};
    CHECK(may_bring_mail(intake, "192.0.2.1"));
    CHECK_FALSE(may_bring_mail(intake, "127.0.0.1"));
    intake.from.clear();
    CHECK_FALSE(may_bring_mail(intake, "127.0.0.1"));
}
