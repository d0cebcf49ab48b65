#include "proto/classify.hpp"

#include "tests/catch.hpp"

using namespace postern::proto;
using Stage = UpstreamStage;

namespace {

Reply reply(int code, std::string enhanced, std::string text) {
    return {.code = code,
            .enhanced = std::move(enhanced),
            .text = std::move(text),
            .close_after = false};
}

struct Row {
    Stage stage;
    int code;
    const char* enhanced;
    const char* text;
    Judges judges;
    BreakerEffect effect;
};

}  // namespace

TEST_CASE("replies judge the message or the path") {
    using enum BreakerEffect;
    const auto row = GENERATE(
        Row{Stage::dot, 250, "2.0.0", "queued", Judges::message, none},
        Row{Stage::rcpt, 550, "5.1.1", "no such user", Judges::message, none},
        Row{Stage::rcpt, 450, "4.2.1", "greylisted", Judges::path, none},
        Row{Stage::mail, 451, "4.3.0", "try later", Judges::path, none},
        Row{Stage::mail, 553, "5.7.1", "sender address not owned", Judges::message, none},
        Row{Stage::dot, 554, "5.7.1", "message content rejected: listed as spam", Judges::message,
            none},
        Row{Stage::dot, 550, "5.7.1", "Message contains a URL listed in dbl.spamhaus.org",
            Judges::message, none},
        Row{Stage::mail, 554, "5.7.1",
            "Sender address [a@b.example] blocked using dbl.spamhaus.org", Judges::message, none},
        Row{Stage::dot, 550, "5.7.26", "Unauthenticated email is not accepted due to DMARC policy",
            Judges::message, none},
        Row{Stage::dot, 550, "5.7.26",
            "Gmail requires all senders to authenticate with either SPF or DKIM", Judges::message,
            none},
        Row{Stage::rcpt, 552, "5.2.2", "mailbox quota exceeded, daily quota", Judges::message,
            none},
        Row{Stage::rcpt, 550, "5.1.1", "sending limit", Judges::message, none},
        Row{Stage::rcpt, 554, "5.7.1", "relay access denied", Judges::message, none},
        Row{Stage::rcpt, 550, "5.2.1", "The email account that you tried to reach is disabled",
            Judges::message, none},
        Row{Stage::dot, 552, "5.3.4", "message too big", Judges::message, none},
        Row{Stage::rcpt, 554, "5.7.1",
            "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
            Judges::path, opens},
        Row{Stage::mail, 550, "5.7.1", "Client host rejected: Access denied", Judges::path, opens},
        // What the client chose decides nothing: addresses are repeated, domains end where they
        // end.
        Row{Stage::rcpt, 550, "5.0.0", "Verification failed for <spamhaus.org@nowhere.example>",
            Judges::message, none},
        Row{Stage::rcpt, 550, "5.0.0", "dnsbl-block@nowhere.example unknown here", Judges::message,
            none},
        Row{Stage::rcpt, 550, "5.0.0", "no route to zen.spamhaus.org.evil.example", Judges::message,
            none},
        Row{Stage::rcpt, 550, "5.0.0", "<your.account@x.example> suspended", Judges::message, none},
        Row{Stage::dot, 554, "5.7.1", "Listed at spamhaus.org.", Judges::path, opens},
        Row{Stage::dot, 554, "5.7.1", "<a@b.example> rejected, listed by a DNSBL", Judges::path,
            opens},
        Row{Stage::dot, 550, "5.7.1", "Your IP address is on our block list", Judges::path, opens},
        Row{Stage::mail, 550, "5.4.5", "Daily user sending quota exceeded", Judges::path, opens},
        Row{Stage::dot, 550, "5.4.5", "Daily user sending limit exceeded", Judges::path, opens},
        Row{Stage::mail, 454, "4.0.0", "Throttling failure: Maximum sending rate exceeded",
            Judges::path, opens},
        Row{Stage::dot, 554, "5.2.0", "SubmissionQuotaExceededException; over quota", Judges::path,
            opens},
        Row{Stage::mail, 550, "5.7.1", "Rate limit exceeded", Judges::path, opens},
        Row{Stage::mail, 554, "5.7.1", "too many messages from you today", Judges::path, opens},
        Row{Stage::mail, 550, "5.7.1", "Your account has been suspended", Judges::path, opens},
        Row{Stage::mail, 550, "5.7.1", "Authentication required", Judges::path, opens},
        Row{Stage::mail, 503, "5.5.4", "Error: send AUTH first", Judges::path, opens},
        Row{Stage::mail, 530, "5.7.0", "Must issue a STARTTLS command first", Judges::path, opens},
        Row{Stage::rcpt, 535, "5.7.8", "x", Judges::path, opens},
        Row{Stage::dot, 538, "5.7.11", "x", Judges::path, opens},
        Row{Stage::mail, 421, "4.3.2", "shutting down", Judges::path, counts},
        Row{Stage::data, 421, "4.3.2", "shutting down", Judges::path, counts},
        Row{Stage::dot, 421, "4.3.2", "shutting down", Judges::path, none},
        Row{Stage::greeting, 554, "5.0.0", "no", Judges::path, opens},
        Row{Stage::greeting, 421, "4.0.0", "busy", Judges::path, counts},
        Row{Stage::ehlo, 550, "5.0.0", "no", Judges::path, opens},
        Row{Stage::starttls, 501, "5.5.4", "no", Judges::path, opens},
        Row{Stage::starttls, 454, "4.7.0", "no", Judges::path, counts},
        Row{Stage::auth, 535, "5.7.8", "no", Judges::path, opens},
        Row{Stage::auth, 454, "4.7.0", "no", Judges::path, counts},
        Row{Stage::noop, 500, "5.5.2", "no", Judges::path, counts},
        Row{Stage::rset, 451, "4.0.0", "no", Judges::path, counts},
        Row{Stage::quit, 500, "5.0.0", "no", Judges::path, none});
    CAPTURE(row.code, row.enhanced, row.text, name(row.stage));
    const Reply r = reply(row.code, row.enhanced, row.text);
    CHECK(judges(row.stage, r) == row.judges);
    CHECK(breaker_effect(row.stage, r) == row.effect);
}

TEST_CASE("replies that the operator names judge the path, beside those built in") {
    const std::vector<PathReply> named = {
        {554, "5.7.1", "Not From Here"}, {552, "", "pool"}, {571, "", ""}};
    const auto judged = [&](int code, std::string enhanced, std::string text) {
        return judges(Stage::dot, reply(code, std::move(enhanced), std::move(text)), named);
    };
    CHECK(judged(554, "5.7.1", "sorry, not FROM here today") == Judges::path);
    CHECK(judged(554, "5.7.0", "not from here") == Judges::message);
    CHECK(judged(550, "5.7.1", "not from here") == Judges::message);
    CHECK(judged(552, "5.3.4", "the pool is full") == Judges::path);
    CHECK(judged(552, "5.3.4", "too big") == Judges::message);
    CHECK(judged(571, "5.9.9", "") == Judges::path);
    // Words of an address are the client's.
    CHECK(judged(552, "5.1.1", "<pool@x.example> unknown") == Judges::message);
    // What is built in goes on to count, and a named one beats what would speak for the message.
    CHECK(judged(550, "5.7.1", "Rate limit exceeded") == Judges::path);
    CHECK(judged(552, "5.1.1", "pool of content") == Judges::path);
    const Reply own = reply(554, "5.7.1", "not from here");
    CHECK(breaker_effect(Stage::rcpt, own, named) == BreakerEffect::opens);
    CHECK(breaker_effect(Stage::rcpt, own) == BreakerEffect::none);
}

TEST_CASE("an upstream that is asked too much says so by 421 or 4.7.x") {
    CHECK(asks_for_less(Stage::greeting, reply(421, "", "busy")));
    CHECK(asks_for_less(Stage::dot, reply(421, "4.3.2", "busy")));
    CHECK(asks_for_less(Stage::mail, reply(450, "4.7.28", "slow down")));
    CHECK(asks_for_less(Stage::auth, reply(454, "4.7.0", "later")));
    // Of a recipient, of content: any sender can draw these.
    CHECK_FALSE(asks_for_less(Stage::rcpt, reply(450, "4.7.1", "greylisted")));
    CHECK_FALSE(asks_for_less(Stage::dot, reply(451, "4.7.1", "looks odd")));
    CHECK_FALSE(asks_for_less(Stage::mail, reply(450, "4.2.1", "later")));
    CHECK_FALSE(asks_for_less(Stage::mail, reply(550, "5.7.1", "no")));
    CHECK_FALSE(asks_for_less(Stage::mail, reply(250, "2.0.0", "ok")));
}

TEST_CASE("the end of a connection counts by how it came") {
    using Failed = ClientSession::Failed;
    using Kind = Failed::Kind;
    const auto failed = [](Stage stage, Kind kind, Reply r = {}, bool dot = false) {
        return Failed{
            .stage = stage, .kind = kind, .reply = std::move(r), .dot_sent = dot, .results = {}};
    };
    CHECK(breaker_effect(failed(Stage::greeting, Kind::timeout)) == BreakerEffect::counts);
    CHECK(breaker_effect(failed(Stage::mail, Kind::eof)) == BreakerEffect::counts);
    CHECK(breaker_effect(failed(Stage::data, Kind::protocol)) == BreakerEffect::counts);
    CHECK(breaker_effect(failed(Stage::starttls, Kind::no_tls)) == BreakerEffect::opens);
    CHECK(breaker_effect(failed(Stage::auth, Kind::no_auth)) == BreakerEffect::opens);
    CHECK(breaker_effect(failed(Stage::auth, Kind::refused, reply(535, "5.7.8", "x"))) ==
          BreakerEffect::opens);
    CHECK(breaker_effect(failed(Stage::rcpt, Kind::refused, reply(421, "4.0.0", "x"))) ==
          BreakerEffect::counts);
    CHECK(breaker_effect(failed(Stage::dot, Kind::timeout, {}, true)) == BreakerEffect::doubt);
    CHECK(breaker_effect(failed(Stage::dot, Kind::eof, {}, true)) == BreakerEffect::doubt);
    CHECK(breaker_effect(failed(Stage::quit, Kind::eof)) == BreakerEffect::none);
    CHECK(breaker_effect(failed(Stage::quit, Kind::timeout)) == BreakerEffect::none);
    CHECK(breaker_effect(failed(Stage::quit, Kind::protocol)) == BreakerEffect::counts);
}
