// The session machine: what it asks of its caller, in which order, and how it ends.

#include "proto/session.hpp"

#include "tests/catch.hpp"
#include "tests/session_driver.hpp"

using namespace postern::proto;
using postern::tests::SessionDriver;

namespace {

constexpr std::size_t cuts[] = {1, 7, 1U << 20U};
constexpr std::string_view envelope =
    "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\n";
constexpr std::string_view mail =
    "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nFrom: "
    "ann@example.net\r\n\r\nhello\r\n.\r\n";
const std::string mark = " [" + std::string(SessionDriver::ref) + "]";

std::string joined(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& word : words) out += out.empty() ? word : ", " + word;
    return out;
}

/// The codes that were said, with their enhanced codes.
std::string codes(const std::string& said) {
    std::string out;
    for (std::size_t at = 0; at < said.size();) {
        const std::size_t end = said.find("\r\n", at);
        const std::string line = said.substr(at, end - at);
        if (!out.empty()) out += ' ';
        out += line.substr(0, 3);
        if (line.size() > 8 && line[5] == '.') out += '/' + line.substr(4, line.find(' ', 4) - 4);
        at = end + 2;
    }
    return out;
}

}  // namespace

TEST_CASE("a transaction asks at each stage and commits once") {
    for (const std::size_t cut : cuts) {
        auto driver = SessionDriver::logged_in();
        driver.feed(mail, cut);
        CHECK(joined(driver.events) == "ask mail, ask rcpt, ask data, commit");
        CHECK(driver.messages ==
              std::vector<std::string>{"From: ann@example.net\r\n\r\nhello\r\n"});
        CHECK(codes(driver.said) == "250/2.1.0 250/2.1.5 354 250/2.0.0");
        CHECK_FALSE(driver.session.in_transaction());
        CHECK(driver.session.ref().empty());
    }
}

TEST_CASE("replies to pipelined commands leave in one write") {
    auto driver = SessionDriver::logged_in();
    driver.feed("MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n", 4096);
    CHECK(driver.sends == 1);
    driver.feed("From: ann@example.net\r\n\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n", 4096);
    CHECK(driver.sends == 2);
    CHECK(joined(driver.events) == "ask mail, ask rcpt, ask data, commit, finish clean");
}

TEST_CASE("each transaction ends in one commit or one discard") {
    struct Row {
        const char* name;
        std::string octets;
        std::string events;
    };
    const std::string start(envelope);
    const std::string data = start + "DATA\r\ntext\r\n";
    const Row rows[] = {
        {"RSET", start + "RSET\r\n", "ask mail, ask rcpt, discard"},
        {"EHLO", start + "EHLO again\r\n", "ask mail, ask rcpt, discard"},
        {"QUIT", start + "QUIT\r\n", "ask mail, ask rcpt, discard, finish clean"},
        {"lone LF in data", data + "a\nb\r\n.\r\n", "ask mail, ask rcpt, discard"},
        {"RSET without", "RSET\r\nRSET\r\n", ""},
        {"two mails", std::string(mail) + std::string(mail),
         "ask mail, ask rcpt, ask data, commit, ask mail, ask rcpt, ask data, commit"},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.name << " cut in " << cut);
            auto driver = SessionDriver::logged_in();
            driver.feed(row.octets, cut);
            CHECK(joined(driver.events) == row.events);
        }
    }
}

TEST_CASE("a refusal at any stage discards, and names the message") {
    const Reply no{.code = 550, .enhanced = "5.7.1", .text = "no"};
    for (const std::string stage : {"mail", "data"}) {
        auto driver = SessionDriver::logged_in();
        driver.answers[stage].push_back(no);
        driver.feed(mail.substr(0, mail.find("DATA")), 4096);
        driver.feed(stage == "data" ? "DATA\r\ntext\r\n.\r\n" : "", 4096);
        CHECK(driver.said.find("550 5.7.1 no" + mark + "\r\n") != std::string::npos);
        CHECK(std::ranges::count(driver.events, "discard") == 1);
        CHECK(std::ranges::count(driver.events, "commit") == 0);
    }
    auto driver = SessionDriver::logged_in();
    driver.answers["rcpt"].push_back(no);
    driver.feed(mail.substr(0, mail.find("DATA")), 4096);
    CHECK(driver.session.envelope().recipients.empty());
    driver.feed("DATA\r\n", 4096);
    CHECK(codes(driver.said) == "250/2.1.0 550/5.7.1 503/5.5.1");
    CHECK(joined(driver.events) == "ask mail, ask rcpt");
}

TEST_CASE("an overlong command is answered, one without end ends the connection") {
    for (const std::size_t cut : {std::size_t{4096}, std::size_t{65'536}}) {
        auto driver = SessionDriver::logged_in();
        driver.feed("NOOP " + std::string(70'000, 'x') + "\r\nNOOP\r\n", cut);
        CHECK(codes(driver.said) == "500/5.5.2 250/2.0.0");
        driver.feed(std::string(1'040'000, 'x'), cut);
        CHECK(driver.open);
        driver.feed(std::string(100'000, 'x'), cut);
        CHECK(codes(driver.said) == "500/5.5.2 250/2.0.0 500/5.5.2");
        CHECK(driver.events.back() == "finish");
    }
    SessionDriver exchange(SessionDriver::implicit_tls());
    exchange.run();
    exchange.start_tls();
    exchange.feed("EHLO there\r\nAUTH PLAIN\r\n", 4096);
    exchange.feed(std::string(1'100'000, 'x'), 4096);
    CHECK(exchange.said.ends_with("500 5.5.2 line without end\r\n"));
    CHECK(exchange.events.back() == "finish");
}

TEST_CASE("what the upstream said becomes the client's answer") {
    auto driver = SessionDriver::logged_in();
    driver.answers["commit"].push_back(
        Reply{.code = 554, .enhanced = "", .text = "spam\r\n250 ok\x07"});
    driver.feed(mail, 4096);
    CHECK(driver.said.ends_with("554-5.0.0 spam\r\n554 5.0.0 250 ok?" + mark + "\r\n"));
}

TEST_CASE("a reply can end the connection") {
    auto driver = SessionDriver::logged_in();
    driver.answers["data"].push_back(
        Reply{.code = 550, .enhanced = "5.7.1", .text = "suspended", .close_after = true});
    driver.feed(std::string(mail) + "NOOP\r\n", 4096);
    CHECK(driver.said.ends_with("550 5.7.1 suspended" + mark + "\r\n"));
    CHECK(joined(driver.events) == "ask mail, ask rcpt, ask data, discard, finish");

    auto parting = SessionDriver::logged_in();
    parting.feed(std::string(envelope) + "DATA\r\ntext\r\n", 4096);
    parting.session.shut_down({.code = 421, .enhanced = "4.7.0", .text = "closing"});
    parting.run();
    CHECK(parting.open);
    parting.feed(".\r\nNOOP\r\n", 4096);
    CHECK(codes(parting.said) == "250/2.1.0 250/2.1.5 354 250/2.0.0 421/4.7.0");
    CHECK(parting.events.back() == "finish");
}

TEST_CASE("shutting down an idle session says so once") {
    auto driver = SessionDriver::logged_in();
    driver.feed(envelope, 4096);
    driver.said.clear();
    for (int i = 0; i < 2; ++i) {
        driver.session.shut_down({.code = 421, .enhanced = "4.3.2", .text = "shutting down"});
        driver.run();
    }
    CHECK(driver.said == "421 4.3.2 shutting down\r\n");
    CHECK(joined(driver.events) == "ask mail, ask rcpt, discard, finish");
}

TEST_CASE("a client that leaves behind its final dot is served, before it is forgotten") {
    auto driver = SessionDriver::logged_in();
    driver.run();
    // The write of 354 fails, while the whole message lies in the buffer.
    const std::string octets(mail);
    driver.session.feed(octets);
    std::vector<std::string> seen;
    for (bool open = true; open;) {
        auto action = driver.session.next();
        if (std::holds_alternative<Session::Send>(action)) driver.session.eof();
        if (const auto* ask = std::get_if<Session::Ask>(&action)) {
            seen.push_back("ask " + std::to_string(static_cast<int>(ask->stage)));
            driver.session.accept();
        }
        if (std::holds_alternative<Session::Commit>(action)) {
            seen.emplace_back("commit");
            driver.session.committed({.code = 250, .enhanced = "2.0.0", .text = "ok"});
        }
        if (std::holds_alternative<Session::Discard>(action)) seen.emplace_back("discard");
        open = !std::holds_alternative<Session::Finish>(action);
    }
    CHECK(joined(seen) == "ask 0, ask 1, ask 2, commit");

    auto early = SessionDriver::logged_in();
    early.feed(std::string(envelope) + "DATA\r\ntext\r\n.", 4096);
    early.session.eof();
    early.run();
    CHECK(joined(early.events) == "ask mail, ask rcpt, discard, finish");
    CHECK(early.messages.empty());
}

TEST_CASE("silence is answered and ends the connection") {
    for (const std::string_view before : {std::string_view{}, envelope}) {
        auto driver = SessionDriver::logged_in();
        driver.feed(before, 4096);
        driver.said.clear();
        driver.session.timed_out();
        driver.run();
        CHECK(driver.said == "421 4.4.2 too slow\r\n");
        CHECK(driver.events.back() == "finish");
        CHECK(std::ranges::count(driver.events, "discard") == (before.empty() ? 0 : 1));
    }
}

TEST_CASE("reads carry the deadlines of RFC 5321") {
    auto driver = SessionDriver::logged_in();
    driver.run();
    CHECK(driver.last_read.deadline == std::chrono::seconds(300));
    CHECK_FALSE(driver.last_read.in_data);
    driver.feed(std::string(envelope) + "BDAT 100\r\nabc", 4096);
    CHECK(driver.last_read.deadline == std::chrono::seconds(180));
    CHECK(driver.last_read.in_data);
    CHECK(driver.last_read.want == 97);
}

TEST_CASE("a connection can be refused instead of greeted") {
    SessionDriver driver;
    driver.session.refuse_connection(
        {.code = 421, .enhanced = "4.7.0", .text = "too many connections"});
    driver.run();
    CHECK(driver.said == "421 4.7.0 too many connections\r\n");
    CHECK(joined(driver.events) == "finish");
}

TEST_CASE("a client that speaks first is refused") {
    Session session(std::make_shared<SessionSettings>(SessionDriver::defaults()),
                    [] { return std::string("R"); });
    session.feed("EHLO there\r\n");
    REQUIRE(std::holds_alternative<Session::Send>(session.next()));
    CHECK(session.output() == "554 5.5.1 wait for the greeting\r\n");
    session.sent();
    CHECK(std::holds_alternative<Session::Finish>(session.next()));

    // Found out while the greeting is being written.
    Session late(std::make_shared<SessionSettings>(SessionDriver::defaults()),
                 [] { return std::string("R"); });
    REQUIRE(std::holds_alternative<Session::Send>(late.next()));
    late.feed("EHLO there\r\n");
    late.sent();
    REQUIRE(std::holds_alternative<Session::Send>(late.next()));
    CHECK(late.output() == "554 5.5.1 wait for the greeting\r\n");
    late.sent();
    CHECK(std::holds_alternative<Session::Finish>(late.next()));
}

TEST_CASE("what is no SMTP ends the connection at once") {
    struct Row {
        std::string octets;
        std::string codes;
    };
    const Row rows[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "220 421/4.7.0"},
        {"get /\r\n", "220 421/4.7.0"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "220 421/4.7.0"},
        {"GET / HTTP/1.0\n\n", "220 421/4.7.0"},
        {"\x16\x03\x01\x02", "220 554/5.5.1"},
        {std::string("\0\0\0", 3), "220 554/5.5.1"},
        {"\xff\xf4", "220 554/5.5.1"},
        {"SSH\x01-2.0\r\n", "220 554/5.5.1"},
        {"\xc3\xa9", "220 554/5.5.1"},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            SessionDriver driver;
            driver.feed(row.octets, cut);
            INFO(row.octets << " cut in " << cut);
            CHECK(codes(driver.said) == row.codes);
            CHECK_FALSE(driver.open);
        }
    }
}

TEST_CASE("octets behind STARTTLS are dropped with the connection") {
    SessionDriver driver;
    driver.feed("EHLO there\r\nSTARTTLS\r\nRSET\r\n", 4096);
    CHECK_FALSE(driver.open);
    CHECK_FALSE(driver.tls_wanted);
    CHECK(driver.said.ends_with("250 STARTTLS\r\n"));

    SessionDriver late;
    late.feed("STARTTLS\r\n", 4096);
    REQUIRE(late.tls_wanted);
    late.session.feed("RSET\r\n");
    late.tls_wanted = false;
    late.run();
    CHECK_FALSE(late.open);
    CHECK(late.said.ends_with("220 2.0.0 ready to start TLS\r\n"));
}

TEST_CASE("nothing said in clear counts behind TLS") {
    SessionDriver driver;
    driver.feed("EHLO there\r\nSTARTTLS\r\n", 4096);
    driver.start_tls();
    CHECK(driver.session.ehlo().empty());
    CHECK_FALSE(driver.session.esmtp());
    driver.said.clear();
    driver.feed(
        "AUTH PLAIN AGFubkBleGFtcGxlLm5ldABjb3JyZWN0IGhvcnNl\r\nMAIL FROM:<ann@example.net>\r\n",
        4096);
    CHECK(codes(driver.said) == "503/5.5.1 530/5.7.0");
}

TEST_CASE("a handshake that fails ends quietly") {
    SessionDriver driver;
    driver.feed("STARTTLS\r\n", 4096);
    driver.said.clear();
    driver.session.eof();
    driver.tls_wanted = false;
    driver.run();
    CHECK(driver.said.empty());
    CHECK(joined(driver.events) == "finish");
}

TEST_CASE("EHLO tells what is offered") {
    SessionDriver driver(SessionDriver::implicit_tls());
    driver.run();
    driver.start_tls();
    driver.said.clear();
    driver.session.offer({.max_size = 26214400});
    driver.feed("EHLO there\r\n", 4096);
    CHECK(driver.said ==
          "250-smtp.example.net\r\n250-PIPELINING\r\n250-SIZE "
          "26214400\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
          "250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-CHUNKING\r\n250-AUTH SCRAM-SHA-256 PLAIN "
          "LOGIN\r\n"
          "250 LIMITS RCPTMAX=100\r\n");
    driver.said.clear();
    driver.feed("EHLO with \x7f control\r\nEHLO\r\nHELO there\r\n", 4096);
    CHECK(codes(driver.said) == "500/5.5.2 501/5.5.4 250");
}

TEST_CASE("odd EHLO names are taken and cleaned") {
    for (const std::string name : {"my_phone", "192.0.2.7", "[IPv6:::1]", "with spaces",
                                   "b\xc3\xbc"
                                   "ro",
                                   "bad\xff"}) {
        SessionDriver driver;
        driver.run();
        driver.said.clear();
        driver.feed("EHLO " + name + "\r\n", 4096);
        CHECK(driver.said.starts_with("250-smtp.example.net\r\n"));
        CHECK(driver.session.ehlo() == clean_text(name));
    }
    SessionDriver driver;
    driver.feed("EHLO " + std::string(3000, 'e') + "\r\n", 4096);
    CHECK(driver.session.ehlo().size() == 255);
}

TEST_CASE("an exchange that breaks is forgotten") {
    struct Row {
        std::string octets;
        std::string codes;
        std::string events;
    };
    const Row rows[] = {
        {"AUTH LOGIN\r\n*\r\n", "334 501/5.7.0", "auth LOGIN, abort"},
        {"AUTH LOGIN\r\n???\r\n", "334 501/5.5.2", "auth LOGIN, abort"},
        {"AUTH LOGIN\r\nYQ==\nYQ==\r\nNOOP\r\n", "334 501/5.5.2 250/2.0.0", "auth LOGIN, abort"},
        {"AUTH LOGIN\r\n" + std::string(12287, 'Y') + "\r\nNOOP\r\n", "334 500/5.5.6 250/2.0.0",
         "auth LOGIN, abort"},
        {"AUTH PLAIN " + std::string(12276, 'Y') + "\r\nNOOP\r\n", "500/5.5.6 250/2.0.0", ""},
        {"AUTH PLAIN " + std::string(12272, 'Y') + "\r\nNOOP\r\n", "535/5.7.8 250/2.0.0",
         "auth PLAIN"},
        {"AUTH PLAIN =\r\nNOOP\r\n", "535/5.7.8 250/2.0.0", "auth PLAIN"},
        {"AUTH plain\r\n\r\n", "334 535/5.7.8", "auth PLAIN"},
        {"AUTH NTLM x\r\n", "504/5.5.4", ""},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.octets.substr(0, 40) << " cut in " << cut);
            SessionDriver driver(SessionDriver::implicit_tls());
            driver.run();
            driver.start_tls();
            driver.feed("EHLO there\r\n", 4096);
            driver.said.clear();
            driver.events.clear();
            driver.feed(row.octets, cut);
            CHECK(codes(driver.said) == row.codes);
            CHECK(joined(driver.events) == row.events);
            CHECK_FALSE(driver.session.authenticated());
        }
    }
}

TEST_CASE("half an exchange and then nothing") {
    for (const bool silent : {false, true}) {
        SessionDriver driver(SessionDriver::implicit_tls());
        driver.run();
        driver.start_tls();
        driver.feed("EHLO there\r\nAUTH LOGIN\r\nYW5u", 4096);
        driver.events.clear();
        driver.said.clear();
        if (silent) {
            driver.session.timed_out();
        } else {
            driver.session.eof();
        }
        driver.run();
        CHECK(joined(driver.events) == "abort, finish");
        CHECK(driver.said == (silent ? "421 4.4.2 too slow\r\n" : ""));
    }
}

TEST_CASE("a verifier's refusal is said as it is, and may close") {
    SessionDriver driver(SessionDriver::implicit_tls());
    driver.run();
    driver.start_tls();
    driver.answers["auth"].push_back(Reply{.code = 454, .enhanced = "4.7.0", .text = "try later"});
    driver.answers["auth"].push_back(Reply{.code = 525,
                                           .enhanced = "5.7.13",
                                           .text = "suspended, write to help@example.net",
                                           .close_after = true});
    driver.feed("EHLO there\r\nAUTH PLAIN YQ==\r\nAUTH PLAIN YQ==\r\nNOOP\r\n", 4096);
    CHECK(driver.said.ends_with(
        "454 4.7.0 try later\r\n525 5.7.13 suspended, write to help@example.net\r\n"));
    CHECK_FALSE(driver.open);
}

TEST_CASE("errors are counted between accepted messages") {
    auto driver = SessionDriver::logged_in();
    for (int i = 0; i < 19; ++i) driver.feed("BOGUS\r\n", 4096);
    driver.feed(mail, 4096);
    for (int i = 0; i < 19; ++i) driver.feed("BOGUS\r\n", 4096);
    driver.feed("NOOP\r\n", 4096);
    CHECK(driver.open);
    driver.said.clear();
    driver.feed("BOGUS\r\nNOOP\r\n", 4096);
    CHECK(driver.said == "421 4.7.0 too many errors\r\n");
    CHECK_FALSE(driver.open);

    auto refused = SessionDriver::logged_in();
    refused.feed("MAIL FROM:<ann@example.net>\r\n", 4096);
    for (int i = 0; i < 999; ++i) refused.feed("RCPT TO:<nobody>\r\n", 4096);
    CHECK(refused.open);
    refused.said.clear();
    refused.feed("RCPT TO:<nobody>\r\nNOOP\r\n", 4096);
    CHECK(refused.said == "421 4.7.0 too many errors\r\n");
    CHECK_FALSE(refused.open);
}

TEST_CASE("notes tell of each reply") {
    auto driver = SessionDriver::logged_in();
    driver.feed("MAIL FROM:<ann@example.net> X=1\r\nBOGUS\r\n", 4096);
    driver.feed(mail, 4096);
    const auto notes = driver.session.take_notes();
    REQUIRE(notes.size() == 6);
    CHECK(notes[0].command == "MAIL");
    CHECK(notes[0].code == 555);
    CHECK(notes[0].enhanced == "5.5.4");
    CHECK(notes[0].ref == SessionDriver::ref);
    CHECK(notes[0].text == "parameter not known" + mark);
    CHECK(notes[1].command == "?");
    CHECK(notes[1].ref.empty());
    CHECK(notes[2].command == "MAIL");
    CHECK(notes[2].text.empty());
    CHECK(notes[4].command == "DATA");
    CHECK(notes[4].code == 354);
    CHECK(notes[5].command == "end-of-data");
    CHECK(driver.session.take_notes().empty());
}

TEST_CASE("no octet of a client's reaches a reply") {
    const std::string evil = "\x1b[2Jinjected";
    auto driver = SessionDriver::logged_in();
    driver.feed("EHLO " + evil + "\r\n" + evil + "\r\nMAIL FROM:<" + evil + "@x>\r\nHELP " + evil +
                    "\r\nVRFY injected\r\nNOOP injected\r\nMAIL FROM:<ann@example.net> "
                    "INJECTED=1\r\nRCPT TO:<injected>\r\n",
                4096);
    CHECK(driver.said.find("njected") == std::string::npos);
    CHECK(driver.said.find("NJECTED") == std::string::npos);
    CHECK(driver.said.find('\x1b') == std::string::npos);
}

TEST_CASE("a long command line is refused, once, and the session goes on") {
    for (const std::size_t cut : {std::size_t{1}, std::size_t{1000}, std::size_t{1} << 20U}) {
        auto driver = SessionDriver::logged_in();
        driver.feed("NOOP " + std::string(70000, 'x') + "\r\nNOOP\r\n", cut);
        CHECK(codes(driver.said) == "500/5.5.2 250/2.0.0");
    }
}

TEST_CASE("mechanisms that change count from the next EHLO on") {
    SessionDriver driver(SessionDriver::implicit_tls());
    driver.mechanisms = {"SCRAM-SHA-256", "PLAIN"};
    driver.run();
    driver.start_tls();
    driver.feed("EHLO there\r\n", 4096);
    CHECK(driver.said.contains("AUTH SCRAM-SHA-256 PLAIN\r\n"));
    driver.session.change_mechanisms({"PLAIN"});
    CHECK(driver.session.mechanisms() == std::vector<std::string>{"SCRAM-SHA-256", "PLAIN"});
    driver.feed("AUTH SCRAM-SHA-256\r\n*\r\n", 4096);
    CHECK(codes(driver.said).ends_with("501/5.7.0"));
    driver.said.clear();
    driver.feed("EHLO there\r\nAUTH SCRAM-SHA-256\r\n", 4096);
    CHECK(driver.said.contains("AUTH PLAIN\r\n"));
    CHECK(codes(driver.said).ends_with("504/5.5.4"));
    CHECK(driver.session.mechanisms() == std::vector<std::string>{"PLAIN"});
    // None at all is nothing to name.
    driver.session.change_mechanisms({});
    driver.feed("EHLO there\r\n", 4096);
    CHECK(driver.session.mechanisms().empty());
}
