#include "client_script.hpp"

#include "tests/catch.hpp"

using namespace postern::proto;
using namespace postern::proto::test;
using Stage = UpstreamStage;
using Kind = ClientSession::Failed::Kind;
using Strings = std::vector<std::string>;

namespace {

template <class T>
T get(const ClientSession::Action& action) {
    REQUIRE(std::holds_alternative<T>(action));
    return std::get<T>(action);
}

std::string ehlo_without(std::string_view keyword) {
    std::string out = "250-mx\r\n";
    for (const std::string_view word : {"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 5000"}) {
        if (!word.starts_with(keyword)) out.append("250-").append(word).append("\r\n");
    }
    return out + "250 HELP\r\n";
}

/// A session that is ready, its upstream, and what drives both.
struct Fixture {
    Upstream upstream;
    ClientSession session{plain_settings()};
    Drive drive{session, upstream};

    explicit Fixture(Upstream with = {}, std::size_t cut = 100000) : upstream(std::move(with)) {
        drive.cut = cut;
        get<ClientSession::Ready>(drive.run());
        drive.log.clear();
        drive.writes.clear();
    }
    ClientSession::MessageDone deliver(const Envelope& envelope) {
        session.send_message(message(envelope));
        return get<ClientSession::MessageDone>(drive.run());
    }
};

std::string text(const std::vector<ClientSession::RecipientResult>& results) {
    std::string out;
    for (const auto& r : results) {
        if (!out.empty()) out += ' ';
        out += std::to_string(r.index) + ":" + std::to_string(r.reply.code) + "/" +
               std::string(name(r.stage));
    }
    return out;
}

}  // namespace

TEST_CASE("client: a message leaves in one write where PIPELINING is offered") {
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    Fixture f({}, cut);
    const auto env = envelope({"b@example.org", "c@example.com"});
    const auto done = f.deliver(env);
    CHECK(text(done.results) == "0:250/dot 1:250/dot");
    CHECK(done.results[0].reply.text == "queued as 1");
    CHECK(f.drive.writes ==
          Strings{"MAIL FROM:<ann@example.net> SIZE=1000\r\nRCPT TO:<b@example.org>\r\n"
                  "RCPT TO:<c@example.com>\r\nDATA\r\n",
                  ".\r\n"});
    get<ClientSession::Ready>(f.drive.run());
    // No RSET after a message that went through.
    f.deliver(env);
    CHECK(f.drive.writes[2].starts_with("MAIL"));
}

TEST_CASE("client: a return path stands at MAIL instead of the sender, and nowhere else") {
    Fixture f;
    const Address path{"b+0123", "bounce.example.net"};
    auto env = envelope({"b@example.org"});
    auto sent = message(env);
    sent.return_path = &path;
    f.session.send_message(std::move(sent));
    get<ClientSession::MessageDone>(f.drive.run());
    REQUIRE_FALSE(f.drive.writes.empty());
    CHECK(f.drive.writes[0] ==
          "MAIL FROM:<b+0123@bounce.example.net> SIZE=1000\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
}

TEST_CASE("client: one command at a time without PIPELINING") {
    Upstream upstream;
    upstream.ehlo = ehlo_without("PIPELINING");
    Fixture f(upstream);
    const auto done = f.deliver(envelope({"b@example.org", "c@example.com"}));
    CHECK(text(done.results) == "0:250/dot 1:250/dot");
    CHECK(f.drive.log == Strings{"> MAIL FROM:<ann@example.net> SIZE=1000", "< mail",
                                 "> RCPT TO:<b@example.org>", "< rcpt", "> RCPT TO:<c@example.com>",
                                 "< rcpt", "> DATA", "< data", "body", "final dot", "> .",
                                 "< dot"});
}

TEST_CASE("client: body and dot need no flush between them") {
    Fixture f;
    const auto env = envelope({"b@example.org"});
    f.session.send_message(message(env));
    Strings order;
    f.drive.fault = [&](Drive&, const ClientSession::Action& action) {
        if (std::holds_alternative<ClientSession::SendBody>(action)) order.emplace_back("body");
        if (std::holds_alternative<ClientSession::FinalDot>(action)) {
            order.emplace_back("dot");
            CHECK(f.session.output().empty());
        }
        if (std::holds_alternative<ClientSession::Send>(action)) order.emplace_back("send");
        if (std::holds_alternative<ClientSession::Read>(action)) order.emplace_back("read");
        return false;
    };
    get<ClientSession::MessageDone>(f.drive.run());
    CHECK(order == Strings{"send", "read", "body", "dot", "send", "read"});
}

TEST_CASE("client: parameters are sent only where they are offered") {
    auto env = envelope({"b@example.org"});
    env.body = Body::eight_bit_mime;
    env.ret = Ret::headers;
    env.envid = "QQ314";
    env.recipients[0].notify = Notify{.success = true, .failure = true, .delay = true};
    env.recipients[0].orcpt = "rfc822;b@example.org";
    auto msg = message(env);
    const auto commands = [&](const std::string& ehlo) {
        Upstream upstream;
        upstream.ehlo = ehlo;
        Fixture f(upstream);
        f.session.send_message(msg);
        get<ClientSession::MessageDone>(f.drive.run());
        Strings out;
        for (const auto& line : f.drive.log) {
            if (line.starts_with("> MAIL") || line.starts_with("> RCPT")) out.push_back(line);
        }
        return out;
    };
    msg.eight_bit_data = true;
    CHECK(commands(ehlo_without("none")) ==
          Strings{
              "> MAIL FROM:<ann@example.net> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=QQ314",
              "> RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;b@example.org"});
    CHECK(commands(ehlo_without("DSN")) ==
          Strings{"> MAIL FROM:<ann@example.net> SIZE=1000 BODY=8BITMIME",
                  "> RCPT TO:<b@example.org>"});
    CHECK(commands(ehlo_without("SIZE"))[0] ==
          "> MAIL FROM:<ann@example.net> BODY=8BITMIME RET=HDRS ENVID=QQ314");
    msg.eight_bit_data = false;
    CHECK(commands(ehlo_without("8BITMIME"))[0] ==
          "> MAIL FROM:<ann@example.net> SIZE=1000 RET=HDRS ENVID=QQ314");
    env.ret = Ret::full;
    env.recipients[0].notify = Notify{.never = true};
    env.smtputf8 = true;
    env.mail_from.reset();
    const auto last = commands(ehlo_without("none"));
    CHECK(last[0] == "> MAIL FROM:<> SIZE=1000 SMTPUTF8 RET=FULL ENVID=QQ314");
    CHECK(last[1] == "> RCPT TO:<b@example.org> NOTIFY=NEVER ORCPT=rfc822;b@example.org");
}

TEST_CASE("client: what the upstream does not offer is not sent to it") {
    auto env = envelope({"b@example.org", "c@example.com"});
    auto msg = message(env);
    std::string lacks = "none";
    int code = 0;
    SECTION("SMTPUTF8 asked for") {
        env.smtputf8 = true;
        lacks = "SMTPUTF8";
        code = 550;
    }
    SECTION("an address that needs it") {
        env.recipients[1].address.local = "gr\xc3\xbc\xc3\x9f";
        lacks = "SMTPUTF8";
        code = 550;
    }
    SECTION("8BITMIME") {
        msg.eight_bit_data = true;
        lacks = "8BITMIME";
        code = 554;
    }
    SECTION("size") {
        msg.size = 5001;
        code = 552;
    }
    SECTION("line ends in an address") {
        env.recipients[0].address.local = "b@x>\r\nDATA\r\n";
        code = 554;
    }
    SECTION("line ends in a parameter") {
        env.envid = "a\nb";
        code = 554;
    }
    Upstream upstream;
    upstream.ehlo = ehlo_without(lacks);
    Fixture f(upstream);
    f.session.send_message(msg);
    const auto done = get<ClientSession::MessageDone>(f.drive.run());
    REQUIRE(done.results.size() == 2);
    CHECK(done.results[0].reply.code == code);
    CHECK(done.results[1].reply.code == code);
    CHECK(done.results[0].stage == Stage::mail);
    CHECK(f.drive.writes.empty());
    get<ClientSession::Ready>(f.drive.run());
    const auto plain = envelope({"b@example.org"});
    CHECK(text(f.deliver(plain).results) == "0:250/dot");
}

TEST_CASE("client: who of the envelope is meant") {
    Fixture f;
    const auto env = envelope({"a@a.example", "b@b.example", "c@c.example"});
    auto msg = message(env);
    msg.recipients = {2, 0};
    f.upstream.rcpt["a@a.example"] = "550 5.1.1 no\r\n";
    f.session.send_message(msg);
    CHECK(text(get<ClientSession::MessageDone>(f.drive.run()).results) == "2:250/dot 0:550/rcpt");
    get<ClientSession::Ready>(f.drive.run());
    msg.recipients.clear();
    f.session.send_message(msg);
    CHECK(get<ClientSession::MessageDone>(f.drive.run()).results.empty());
}

namespace {

struct Outcome {
    const char* mail;
    const char* first;
    const char* second;
    const char* data;
    const char* dot;
    const char* results;
    const char* next_start;  ///< What the next message's first write begins with.
};

}  // namespace

TEST_CASE("client: partial acceptance and refusals") {
    const auto row = GENERATE(
        Outcome{"250 ok", "250 ok", "550 5.1.1 no", "354 go", "250 ok", "0:250/dot 1:550/rcpt",
                "MAIL"},
        Outcome{"250 ok", "450 4.2.0 no", "251 fwd", "354 go", "554 5.7.1 spam",
                "0:450/rcpt 1:554/dot", "MAIL"},
        Outcome{"250 ok", "250 ok", "250 ok", "354 go", "451 4.3.0 no", "0:451/dot 1:451/dot",
                "MAIL"},
        Outcome{"250 ok", "550 no", "550 no", "354 go", "554 no rcpt", "0:550/rcpt 1:550/rcpt",
                "MAIL"},
        Outcome{"250 ok", "550 no", "550 no", "354 go", "250 ok", "0:550/rcpt 1:550/rcpt", "MAIL"},
        Outcome{"250 ok", "550 no", "450 no", "554 no", "", "0:550/rcpt 1:450/rcpt", "RSET"},
        Outcome{"250 ok", "250 ok", "550 no", "452 4.3.1 no", "", "0:452/data 1:550/rcpt", "RSET"},
        Outcome{"550 5.7.1 no", "503 no", "503 no", "503 no", "", "0:550/mail 1:550/mail", "MAIL"},
        Outcome{"451 4.3.0 no", "503 no", "503 no", "354 go", "503 no", "0:451/mail 1:451/mail",
                "MAIL"},
        Outcome{"530 5.7.0 auth", "503 no", "503 no", "503 no", "", "0:530/mail 1:530/mail",
                "MAIL"});
    const bool pipelining = GENERATE(true, false);
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    Upstream upstream;
    if (!pipelining) upstream.ehlo = ehlo_without("PIPELINING");
    Fixture f(upstream, cut);
    const auto line = [](const char* text) { return std::string(text) + "\r\n"; };
    f.upstream.mail = line(row.mail);
    f.upstream.rcpt["a@a.example"] = line(row.first);
    f.upstream.rcpt["b@b.example"] = line(row.second);
    f.upstream.data = line(row.data);
    f.upstream.dot = line(row.dot);
    CAPTURE(row.mail, row.first, row.second, row.data, row.dot, pipelining, cut);
    const auto env = envelope({"a@a.example", "b@b.example"});
    CHECK(text(f.deliver(env).results) == row.results);
    get<ClientSession::Ready>(f.drive.run());
    f.upstream.mail = "250 ok\r\n";
    f.upstream.rcpt.clear();
    f.upstream.data = "354 go\r\n";
    f.upstream.dot = "250 ok\r\n";
    f.drive.writes.clear();
    CHECK(text(f.deliver(env).results) == "0:250/dot 1:250/dot");
    // Without PIPELINING nobody sent DATA when nobody was accepted: the transaction is still open.
    const bool open = !pipelining && std::string(row.mail) == "250 ok" &&
                      std::string(row.results).find("dot") == std::string::npos;
    CHECK(f.drive.writes[0].starts_with(open ? "RSET" : row.next_start));
    if (pipelining && std::string(row.next_start) == "RSET") {
        CHECK(f.drive.writes[0].find("MAIL") != std::string::npos);
    }
}

TEST_CASE("client: a refused RSET ends the session") {
    Fixture f;
    f.upstream.data = "451 4.3.0 no\r\n";
    f.upstream.rset = "500 5.5.2 what\r\n";
    const auto env = envelope({"a@a.example"});
    f.deliver(env);
    get<ClientSession::Ready>(f.drive.run());
    f.session.send_message(message(env));
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.stage == Stage::rset);
    CHECK(failed.kind == Kind::refused);
}

TEST_CASE("client: no dot for people whom a refused MAIL left without a sender") {
    Fixture f;
    f.upstream.mail = "550 5.7.1 no\r\n";
    const auto env =
        envelope({"a@a.example"});  // RCPT is accepted nevertheless, and DATA hears 354.
    CHECK(text(f.deliver(env).results) == "0:550/mail");
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == Kind::protocol);
    CHECK(f.drive.writes.size() == 1);
}

TEST_CASE("client: 421 ends the session and keeps what was settled") {
    Fixture f;
    const auto env = envelope({"a@a.example", "b@b.example"});
    const std::string bye = "421 4.3.2 bye\r\n";
    f.upstream.rcpt["a@a.example"] = "550 5.1.1 no\r\n";
    Stage stage{};
    std::string settled;
    SECTION("to MAIL") {
        f.upstream.mail = bye;
        stage = Stage::mail;
    }
    SECTION("to RCPT") {
        f.upstream.rcpt["b@b.example"] = bye;
        stage = Stage::rcpt;
        settled = "0:550/rcpt";
    }
    SECTION("to DATA") {
        f.upstream.data = bye;
        stage = Stage::data;
        settled = "0:550/rcpt";
    }
    f.session.send_message(message(env));
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == Kind::refused);
    CHECK(failed.stage == stage);
    CHECK(failed.reply.code == 421);
    CHECK_FALSE(failed.dot_sent);
    CHECK(text(failed.results) == settled);
}

TEST_CASE("client: 421 to DATA when all are settled tells the message first") {
    Fixture f;
    f.upstream.rcpt["a@a.example"] = "550 5.1.1 no\r\n";
    f.upstream.data = "421 4.3.2 bye\r\n";
    CHECK(text(f.deliver(envelope({"a@a.example"})).results) == "0:550/rcpt");
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == Kind::refused);
    CHECK(failed.results.empty());
}

TEST_CASE("client: 421 to the dot is an answer, and the end") {
    Fixture f;
    f.upstream.dot = "421 4.3.2 bye\r\n";
    CHECK(text(f.deliver(envelope({"a@a.example"})).results) == "0:421/dot");
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == Kind::refused);
    CHECK(failed.stage == Stage::dot);
    CHECK_FALSE(failed.dot_sent);
}

TEST_CASE("client: an answer that comes too early is none") {
    Fixture f;
    const auto env = envelope({"a@a.example"});
    Kind kind = Kind::protocol;
    SECTION("with the 354") {
        f.upstream.data = "354 go\r\n250 2.0.0 queued\r\n";
    }
    SECTION("half of it with the 354") {
        f.upstream.data = "354 go\r\n2";
    }
    SECTION("while the body is written") {
        f.drive.fault = [&](Drive&, const ClientSession::Action& action) {
            if (std::holds_alternative<ClientSession::SendBody>(action)) {
                f.session.feed("250 2.0.0 queued\r\n");
                f.session.body_sent();
                return true;
            }
            return false;
        };
    }
    SECTION("right before the dot") {
        f.drive.fault = [&](Drive&, const ClientSession::Action& action) {
            if (std::holds_alternative<ClientSession::FinalDot>(action)) {
                f.session.feed("250 2.0.0 queued\r\n");
                f.session.final_dot_allowed();
                return true;
            }
            return false;
        };
    }
    SECTION("a farewell while the body is written") {
        kind = Kind::refused;
        f.drive.fault = [&](Drive&, const ClientSession::Action& action) {
            if (std::holds_alternative<ClientSession::SendBody>(action)) {
                f.session.feed("421 4.3.2 bye\r\n");
                f.session.eof();
                return true;
            }
            return false;
        };
    }
    f.session.send_message(message(env));
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == kind);
    CHECK(failed.stage == Stage::data);
    CHECK_FALSE(failed.dot_sent);
    for (const auto& write : f.drive.writes) CHECK(write != ".\r\n");
}

TEST_CASE("client: a second answer to the dot ends the session, not the message") {
    Fixture f;
    f.upstream.dot = "250 2.0.0 queued\r\n250 2.0.0 queued again\r\n";
    const auto env = envelope({"a@a.example"});
    CHECK(text(f.deliver(env).results) == "0:250/dot");
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == Kind::protocol);
    CHECK(failed.stage == Stage::quit);
}

TEST_CASE("client: an idle connection that was closed before the message is no fault of the path") {
    Fixture f;
    const auto env = envelope({"a@a.example"});
    f.session.send_message(message(env));
    f.session.feed("421 4.4.2 idle\r\n");
    f.session.eof();
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.stage == Stage::quit);
    CHECK(failed.kind == Kind::eof);
    CHECK(failed.results.empty());
    CHECK(f.drive.writes.empty());
}

TEST_CASE("client: many recipients go in groups that fit into a socket's buffer") {
    std::vector<std::string> names;
    for (int i = 0; i < 2000; ++i)
        names.push_back("recipient" + std::to_string(i) + "@example.org");
    const auto env = envelope(names);
    Fixture f;
    f.upstream.rcpt["recipient1999@example.org"] = "550 5.1.1 no\r\n";
    const auto done = f.deliver(env);
    REQUIRE(done.results.size() == 2000);
    CHECK(done.results[1998].reply.code == 250);
    CHECK(done.results[1999].reply.code == 550);
    CHECK(f.drive.writes.size() > 3);
    for (const auto& write : f.drive.writes) CHECK(write.size() < 17000);
    SECTION("and end with a refused MAIL") {
        get<ClientSession::Ready>(f.drive.run());
        f.drive.writes.clear();
        f.upstream.mail = "550 5.7.1 no\r\n";
        f.upstream.rcpt.clear();
        CHECK(f.deliver(env).results.size() == 2000);
        CHECK(f.drive.writes.size() == 1);
        get<ClientSession::Ready>(f.drive.run());
    }
}

TEST_CASE("client: deadlines of a transaction") {
    using std::chrono::minutes;
    Upstream upstream;
    upstream.ehlo = ehlo_without("PIPELINING");
    Fixture f(upstream);
    const auto env = envelope({"a@a.example"});
    f.session.send_message(message(env));
    std::vector<std::pair<Stage, std::chrono::seconds>> seen;
    f.drive.fault = [&](Drive&, const ClientSession::Action& action) {
        if (const auto* read = std::get_if<ClientSession::Read>(&action)) {
            seen.emplace_back(read->stage, read->deadline);
        }
        return false;
    };
    get<ClientSession::MessageDone>(f.drive.run());
    CHECK(seen == std::vector<std::pair<Stage, std::chrono::seconds>>{{Stage::mail, minutes(5)},
                                                                      {Stage::rcpt, minutes(5)},
                                                                      {Stage::data, minutes(2)},
                                                                      {Stage::dot, minutes(10)}});
}

TEST_CASE("client: whatever step fails, the message is settled, in doubt, or untouched") {
    const bool pipelining = GENERATE(true, false);
    const int fault = GENERATE(0, 1, 2, 3);
    Upstream upstream;
    if (!pipelining) upstream.ehlo = ehlo_without("PIPELINING");
    upstream.rcpt["a@a.example"] = "550 5.1.1 no\r\n";
    const auto env = envelope({"a@a.example", "b@b.example"});
    // How many steps does a run without faults take?
    Fixture whole(upstream);
    whole.drive.steps = 0;
    whole.deliver(env);
    const std::size_t steps = whole.drive.steps;
    REQUIRE(steps >= 6);
    for (std::size_t at = 1; at <= steps; ++at) {
        CAPTURE(pipelining, fault, at);
        Fixture f(upstream);
        f.drive.steps = 0;
        bool dot_given = false;
        f.drive.fault = [&](Drive& d, const ClientSession::Action& action) {
            if (std::holds_alternative<ClientSession::Send>(action) &&
                d.session.output() == ".\r\n") {
                dot_given = true;
            }
            if (d.steps != at) return false;
            switch (fault) {
                case 0:
                    d.session.eof();
                    break;
                case 1:
                    d.session.timed_out();
                    break;
                case 2:
                    d.session.feed("nonsense\r\n");
                    if (!std::holds_alternative<ClientSession::Read>(action)) d.carry_out(action);
                    break;
                default:
                    if (!std::holds_alternative<ClientSession::Read>(action)) return false;
                    d.session.feed("421 4.3.2 bye\r\n");
                    break;
            }
            return true;
        };
        f.session.send_message(message(env));
        const auto end = f.drive.run();
        if (const auto* failed = std::get_if<ClientSession::Failed>(&end)) {
            CHECK(failed->dot_sent == dot_given);
            for (const auto& result : failed->results) CHECK(result.index == 0);
            CHECK(std::holds_alternative<ClientSession::Failed>(f.session.next()));
        } else {
            // Only the dot's own step can still be answered, by 421.
            const auto done = get<ClientSession::MessageDone>(end);
            CHECK(done.results.size() == 2);
            if (fault < 2) FAIL("a broken connection gave an answer");
        }
    }
}

TEST_CASE("client: the dot's answer in half is in doubt") {
    Fixture f;
    f.upstream.dot = "250-2.0.0 que";
    const auto env = envelope({"a@a.example"});
    f.session.send_message(message(env));
    const auto failed = get<ClientSession::Failed>(f.drive.run());
    CHECK(failed.kind == Kind::timeout);
    CHECK(failed.stage == Stage::dot);
    CHECK(failed.dot_sent);
    CHECK(failed.results.empty());
}
