// Exchanges that the caller of the client machine carries out.
#include <algorithm>
#include <functional>

#include "client_script.hpp"
#include "proto/base64.hpp"
#include "proto/classify.hpp"
#include "tests/catch.hpp"

using namespace postern::proto;
using namespace postern::proto::test;

namespace {

using SaslKind = ClientSession::Failed::Kind;
using Sasl = ClientSession::Sasl;
using Turns = std::vector<std::string>;

std::string in_words(const Sasl& turn) {
    switch (turn.turn) {
        case Sasl::Turn::first:
            return turn.mechanism + " first";
        case Sasl::Turn::challenge:
            return "challenge " + turn.challenge;
        case Sasl::Turn::end:
            return "end";
    }
    return "?";
}

/// A session by implicit TLS, whose upstream answers each AUTH line by the next of `replies`.
struct Exchange {
    std::vector<std::string> replies;
    std::function<void(ClientSession&, const Sasl&)> answer;
    std::string offers = "AUTH SCRAM-SHA-256 XOAUTH2 PLAIN";
    std::vector<std::string> mechanisms = {"SCRAM-SHA-256", "PLAIN"};
    std::size_t cut = 100000;
    Turns turns{};
    std::vector<std::string> sent{};
    std::string chosen{};

    ClientSession::Action run() {
        auto with = settings();
        with.implicit_tls = true;
        with.mechanisms = mechanisms;
        ClientSession session(with);
        Upstream upstream;
        upstream.ehlo = "250-mx\r\n250 " + offers + "\r\n";
        Drive drive{session, upstream, cut};
        std::size_t next = 0;
        drive.fault = [&](Drive& d, const ClientSession::Action& action) {
            if (const auto* turn = std::get_if<Sasl>(&action)) {
                turns.push_back(in_words(*turn));
                answer(session, *turn);
                return true;
            }
            const bool writes = std::holds_alternative<ClientSession::Send>(action);
            if (!writes || session.output().starts_with("EHLO")) return false;
            sent.emplace_back(session.output());
            session.sent();
            if (next < replies.size()) d.pending += replies[next++];
            return true;
        };
        auto action = drive.run();
        chosen = session.mechanism();
        return action;
    }
    ClientSession::Failed failure() {
        auto action = run();
        REQUIRE(std::holds_alternative<ClientSession::Failed>(action));
        return std::get<ClientSession::Failed>(action);
    }
};

/// Says its part and takes the server for whom it was to be.
void agree(ClientSession& session, const Sasl& turn) {
    if (turn.turn == Sasl::Turn::end) return session.sasl_done();
    session.sasl_response(Secret(turn.turn == Sasl::Turn::first ? "one" : "two"));
}

std::string asks(std::string_view challenge) {
    return "334 " + base64_encode(challenge) + "\r\n";
}

const std::string welcome = "235 2.7.0 welcome\r\n";

}  // namespace

TEST_CASE("client: the caller answers turn by turn, however cut") {
    Exchange exchange{{asks("who"), asks("proof"), welcome}, agree};
    exchange.cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    CHECK(std::holds_alternative<ClientSession::Ready>(exchange.run()));
    CHECK(exchange.turns ==
          Turns{"SCRAM-SHA-256 first", "challenge who", "challenge proof", "end"});
    CHECK(exchange.sent == Turns{"AUTH SCRAM-SHA-256 b25l\r\n", "dHdv\r\n", "dHdv\r\n"});
    CHECK(exchange.chosen == "SCRAM-SHA-256");
}

TEST_CASE("client: the first of ours that is offered is taken") {
    struct Row {
        std::vector<std::string> ours;
        const char* offers;
        const char* line;
    };
    const Row table[] = {
        {{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, "AUTH PLAIN LOGIN SCRAM-SHA-256", "AUTH SCRAM"},
        {{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, "AUTH LOGIN PLAIN", "AUTH PLAIN"},
        {{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, "AUTH LOGIN SCRAM-SHA-256-PLUS", "AUTH LOGIN"},
        {{"XOAUTH2", "PLAIN"}, "AUTH PLAIN xoauth2", "AUTH XOAUTH2"},
        {{"LOGIN"}, "AUTH PLAIN LOGIN", "AUTH LOGIN"},
    };
    for (const Row& row : table) {
        CAPTURE(row.offers);
        Exchange exchange{{"535 5.7.8 no\r\n"}, agree};
        exchange.mechanisms = row.ours;
        exchange.offers = row.offers;
        (void)exchange.failure();
        REQUIRE_FALSE(exchange.sent.empty());
        CHECK(exchange.sent.front().starts_with(row.line));
    }
}

TEST_CASE("client: a mechanism that is not offered is told with what is") {
    Exchange exchange{{}, agree};
    exchange.mechanisms = {"XOAUTH2"};
    exchange.offers = "AUTH PLAIN LO\x01GIN";
    auto failed = exchange.failure();
    CHECK(failed.kind == SaslKind::no_auth);
    CHECK(failed.stage == UpstreamStage::auth);
    CHECK(failed.reply.code == 0);
    CHECK(failed.reply.text == "the upstream offers AUTH PLAIN LO?GIN, and we may use XOAUTH2");
    CHECK(breaker_effect(failed) == BreakerEffect::opens);
    CHECK(exchange.sent.empty());
    exchange.offers = "SIZE";
    failed = exchange.failure();
    CHECK(failed.reply.text == "the upstream offers no login, and we may use XOAUTH2");
}

TEST_CASE("client: what the caller does not take ends the session, and no mail goes") {
    const auto turn = GENERATE(Sasl::Turn::first, Sasl::Turn::challenge, Sasl::Turn::end);
    Exchange exchange{{asks("who"), welcome}, [turn](ClientSession& session, const Sasl& now) {
                          if (now.turn == turn) return session.sasl_failed("it lies");
                          agree(session, now);
                      }};
    const auto failed = exchange.failure();
    CHECK(failed.kind == SaslKind::sasl);
    CHECK(failed.stage == UpstreamStage::auth);
    CHECK(failed.reply.text == "it lies");
    CHECK(breaker_effect(failed) == BreakerEffect::opens);
}

TEST_CASE("client: a response too long for the command waits for an empty challenge") {
    const std::string token(2000, 't');
    Exchange exchange{{"334 \r\n", welcome}, [&](ClientSession& session, const Sasl& turn) {
                          if (turn.turn == Sasl::Turn::end) return session.sasl_done();
                          session.sasl_response(Secret(token));
                      }};
    CHECK(std::holds_alternative<ClientSession::Ready>(exchange.run()));
    CHECK(exchange.turns == Turns{"SCRAM-SHA-256 first", "end"});
    CHECK(exchange.sent == Turns{"AUTH SCRAM-SHA-256\r\n", base64_encode(token) + "\r\n"});
}

TEST_CASE("client: a response too long for any line is not sent") {
    Exchange exchange{{}, [](ClientSession& session, const Sasl&) {
                          session.sasl_response(Secret(std::string(9300, 't')));
                      }};
    const auto failed = exchange.failure();
    CHECK(failed.kind == SaslKind::sasl);
    CHECK(exchange.sent.empty());
}

TEST_CASE("client: an empty answer is an empty line") {
    Exchange exchange{{asks("{}"), "535 5.7.8 no\r\n"},
                      [](ClientSession& session, const Sasl& turn) {
                          const bool first = turn.turn == Sasl::Turn::first;
                          session.sasl_response(first ? Secret("token") : Secret());
                      }};
    const auto failed = exchange.failure();
    CHECK(failed.kind == SaslKind::refused);
    CHECK(failed.reply.code == 535);
    CHECK(exchange.sent.back() == "\r\n");
}

TEST_CASE("client: an upstream that breaks an exchange is at fault") {
    const auto reply =
        GENERATE(as<std::string>{}, "334 not base64!\r\n", "334-d2hv\r\n334 d2hv\r\n",
                 "250 2.0.0 ok\r\n", "354 go\r\n", "334 d2hv\r\n235 2.7.0 early\r\n");
    CAPTURE(reply);
    Exchange exchange{{reply}, agree};
    const auto failed = exchange.failure();
    CHECK(failed.kind == SaslKind::protocol);
    CHECK(failed.stage == UpstreamStage::auth);
}

TEST_CASE("client: an upstream that asks for ever is at fault") {
    Exchange exchange{std::vector<std::string>(100, asks("more")), agree};
    CHECK(exchange.failure().kind == SaslKind::protocol);
    CHECK(exchange.sent.size() < 20);
}

TEST_CASE("client: answers that nobody asked the caller for change nothing") {
    ClientSession session(plain_settings());
    session.sasl_response(Secret("x"));
    session.sasl_done();
    session.sasl_failed("x");
    Upstream upstream;
    Drive drive{session, upstream};
    CHECK(std::holds_alternative<ClientSession::Ready>(drive.run()));
    session.sasl_failed("x");
    CHECK(std::holds_alternative<ClientSession::Ready>(session.next()));
}
