#include "client_script.hpp"
#include "proto/classify.hpp"
#include "proto/stuffing.hpp"
#include "tests/catch.hpp"
#include "tests/session_driver.hpp"

using namespace postern::proto;
using namespace postern::proto::test;
using postern::tests::SessionDriver;

namespace {

/// The client machine and the server machine of this relay, joined by two strings.
struct Joined {
    ClientSession client;
    SessionDriver server;
    std::size_t cut;
    std::string body = "Subject: x\r\n\r\nhello\r\n.\r\n..two\r\nlast line";
    std::size_t body_cut = 5;

    static ClientSession::Settings settings(bool implicit_tls) {
        ClientSession::Settings out;
        out.hostname = "relay.example.net";
        out.want_starttls = !implicit_tls;
        out.implicit_tls = implicit_tls;
        out.username = "ann@example.net";
        out.password = Secret("correct horse");
        return out;
    }
    static SessionSettings server_settings(bool implicit_tls) {
        return implicit_tls ? SessionDriver::implicit_tls() : SessionDriver::defaults();
    }
    Joined(std::size_t cut_in, bool implicit_tls = false)
        : client(settings(implicit_tls)), server(server_settings(implicit_tls)), cut(cut_in) {
        server.run();
        if (server.tls_wanted) server.start_tls();
    }

    void to_server(std::string_view octets) { server.feed(octets, cut); }

    ClientSession::Action run() {
        for (int i = 0; i < 100000; ++i) {
            auto action = client.next();
            if (std::holds_alternative<ClientSession::Read>(action)) {
                if (server.said.empty()) {
                    client.eof();
                    continue;
                }
                const std::size_t n = std::min(cut, server.said.size());
                client.feed(std::string_view(server.said).substr(0, n));
                server.said.erase(0, n);
            } else if (std::holds_alternative<ClientSession::Send>(action)) {
                const std::string out(client.output());
                client.sent();
                to_server(out);
            } else if (std::holds_alternative<ClientSession::StartTls>(action)) {
                REQUIRE(server.tls_wanted);
                server.start_tls();
                client.tls_started();
            } else if (std::holds_alternative<ClientSession::SendBody>(action)) {
                DotStuffer stuffer;
                std::vector<std::string_view> views;
                for (std::size_t at = 0; at < body.size(); at += body_cut) {
                    stuffer.add(std::string_view(body).substr(at, body_cut), views);
                }
                stuffer.end_text(views);
                for (const auto view : views) to_server(view);
                client.body_sent();
            } else if (std::holds_alternative<ClientSession::FinalDot>(action)) {
                REQUIRE(server.said.empty());
                client.final_dot_allowed();
            } else {
                return action;
            }
        }
        throw std::runtime_error("no end");
    }
};

template <class T>
T get(const ClientSession::Action& action) {
    REQUIRE(std::holds_alternative<T>(action));
    return std::get<T>(action);
}

}  // namespace

TEST_CASE("client and server machine understand each other, however cut") {
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    const bool implicit_tls = GENERATE(false, true);
    const bool login = GENERATE(false, true);
    Joined j(cut, implicit_tls);
    if (login) j.server.mechanisms = {"LOGIN"};
    get<ClientSession::Ready>(j.run());
    CHECK(j.client.offer().pipelining);
    CHECK(j.client.offer().smtputf8);
    CHECK_FALSE(j.client.offer().starttls);

    auto env = envelope({"b@example.org", "gr\xc3\xbc\xc3\x9f@example.com"});
    env.smtputf8 = true;
    env.ret = Ret::headers;
    env.envid = "QQ314";
    env.recipients[0].notify = Notify{.success = true};
    env.recipients[0].orcpt = "rfc822;b@example.org";
    auto msg = message(env);
    msg.eight_bit_data = true;
    for (int round = 0; round < 2; ++round) {
        j.client.send_message(msg);
        const auto done = get<ClientSession::MessageDone>(j.run());
        REQUIRE(done.results.size() == 2);
        CHECK(done.results[0].reply.code == 250);
        CHECK(done.results[1].reply.code == 250);
        get<ClientSession::Ready>(j.run());
    }
    REQUIRE(j.server.messages.size() == 2);
    CHECK(j.server.messages[0] == j.body + "\r\n");

    j.client.noop();
    get<ClientSession::Ready>(j.run());
    j.client.quit();
    const auto end = get<ClientSession::Failed>(j.run());
    CHECK(end.reply.code == 221);
    CHECK(breaker_effect(end) == BreakerEffect::none);
    CHECK_FALSE(j.server.open);
}

TEST_CASE("client and server machine stay in step over refusals") {
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    Joined j(cut, true);
    get<ClientSession::Ready>(j.run());
    const auto env = envelope({"a@a.example", "b@b.example"});
    const Reply no{.code = 550, .enhanced = "5.7.1", .text = "no"};
    const auto deliver = [&] {
        j.client.send_message(message(env));
        auto done = get<ClientSession::MessageDone>(j.run());
        get<ClientSession::Ready>(j.run());
        std::string out;
        for (const auto& r : done.results) {
            out += std::to_string(r.reply.code) + "/" + std::string(name(r.stage)) + " ";
            if (r.reply.code >= 400) CHECK(r.reply.text.contains(SessionDriver::ref));
        }
        return out;
    };
    j.server.answers["mail"] = {no};
    CHECK(deliver() == "550/mail 550/mail ");
    j.server.answers["rcpt"] = {no, no};
    CHECK(deliver() == "550/rcpt 550/rcpt ");
    j.server.answers["rcpt"] = {std::nullopt, no};
    CHECK(deliver() == "250/dot 550/rcpt ");
    j.server.answers["data"] = {no};
    CHECK(deliver() == "550/dot 550/dot ");
    j.server.answers["commit"] = {Reply{.code = 452, .enhanced = "4.3.1", .text = "no room"}};
    CHECK(deliver() == "452/dot 452/dot ");
    CHECK(deliver() == "250/dot 250/dot ");
    CHECK(j.server.open);
}

TEST_CASE("a wrong password is the path's trouble") {
    Joined j(100000);
    j.server.answers["auth"] = {Reply{.code = 535, .enhanced = "5.7.8", .text = "no"}};
    const auto failed = get<ClientSession::Failed>(j.run());
    CHECK(failed.stage == UpstreamStage::auth);
    CHECK(breaker_effect(failed) == BreakerEffect::opens);
}
