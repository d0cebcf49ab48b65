#include "proto/intake_session.hpp"

#include <algorithm>

#include "tests/catch.hpp"

using namespace postern::proto;
using Action = IntakeSession::Action;
using Outcome = IntakeSession::Outcome;

namespace {

/// What was said and taken for what a peer sent, cut in pieces of so many octets.
struct Talk {
    std::string said;
    std::vector<IntakeMail> mails;
    bool finished = false;
};

struct Peer {
    explicit Peer(IntakeSettings settings) : session(std::move(settings)) {}

    IntakeSession session;
    Outcome outcome = Outcome::safe;
    Talk talk;

    void run() {
        for (;;) {
            switch (session.next()) {
                case Action::read:
                    return;
                case Action::send:
                    talk.said += session.output();
                    session.sent();
                    break;
                case Action::take:
                    talk.mails.push_back(session.take_mail());
                    session.taken(outcome);
                    break;
                case Action::finish:
                    talk.finished = true;
                    return;
            }
        }
    }
    void feed(std::string_view octets, std::size_t cut) {
        run();
        while (!octets.empty() && !talk.finished) {
            session.feed(octets.substr(0, cut));
            octets.remove_prefix(std::min(cut, octets.size()));
            run();
        }
    }
};

IntakeSettings lmtp() {
    return {.hostname = "mx.example.net", .lmtp = true};
}
IntakeSettings smtp() {
    return {.hostname = "mx.example.net"};
}

Talk told(const IntakeSettings& settings, std::string_view octets,
          Outcome outcome = Outcome::safe) {
    Talk first;
    for (const std::size_t cut : {octets.size() + 1, std::size_t{7}, std::size_t{1}}) {
        Peer peer(settings);
        peer.outcome = outcome;
        peer.feed(octets, cut);
        if (cut > octets.size()) {
            first = peer.talk;
            continue;
        }
        CAPTURE(cut);
        CHECK(peer.talk.said == first.said);
        CHECK(peer.talk.finished == first.finished);
        REQUIRE(peer.talk.mails.size() == first.mails.size());
        for (std::size_t i = 0; i < first.mails.size(); ++i)
            CHECK(peer.talk.mails[i].octets == first.mails[i].octets);
    }
    return first;
}

const std::string begin = "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\n";

}  // namespace

TEST_CASE("LMTP answers once a recipient, and hands the mail over whole") {
    const Talk talk = told(lmtp(),
                           "LHLO client.example.net\r\n"
                           "MAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8\r\n"
                           "RCPT TO:<b+0123@bounce.example.net>\r\nRCPT TO:<postmaster>\r\n"
                           "DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
    CHECK(talk.said ==
          "220 mx.example.net LMTP ready\r\n"
          "250-mx.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
          "250-ENHANCEDSTATUSCODES\r\n250 SIZE 1048576\r\n"
          "250 2.1.0 sender ok\r\n250 2.1.5 recipient ok\r\n250 2.1.5 recipient ok\r\n"
          "354 end data with <CRLF>.<CRLF>\r\n"
          "250 2.0.0 taken\r\n250 2.0.0 taken\r\n221 2.0.0 bye\r\n");
    CHECK(talk.finished);
    REQUIRE(talk.mails.size() == 1);
    CHECK(talk.mails[0].mail_from.empty());
    CHECK(talk.mails[0].rcpts ==
          std::vector<std::string>{"b+0123@bounce.example.net", "postmaster"});
    CHECK(talk.mails[0].octets == "Subject: x\r\n\r\n.dot\r\n");
}

TEST_CASE("SMTP answers once, and takes one mail after the other") {
    const std::string mail =
        "MAIL FROM:<mailer-daemon@example.org>\r\nRCPT TO:<a@example.net>\r\n"
        "RCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\n";
    const Talk talk = told(smtp(), "EHLO a\r\n" + mail + mail);
    CHECK(talk.mails.size() == 2);
    CHECK(talk.mails.at(1).mail_from == "mailer-daemon@example.org");
    std::size_t taken = 0;
    for (std::size_t at = talk.said.find("2.0.0 taken"); at != std::string::npos;
         at = talk.said.find("2.0.0 taken", at + 1))
        ++taken;
    CHECK(taken == 2);
}

TEST_CASE("what is not safe is to come again") {
    const std::string mail = begin + "RCPT TO:<c@example.net>\r\nDATA\r\nx\r\n.\r\n";
    CHECK(told(lmtp(), mail, Outcome::later)
              .said.ends_with("451 4.3.1 busy, try again later\r\n"
                              "451 4.3.1 busy, try again later\r\n"));
}

TEST_CASE("a line alone is answered by what it is") {
    struct Line {
        const char* line;
        const char* reply;
        bool lmtp = true;
    };
    const Line table[] = {
        {"HELO a", "500 5.5.1"},
        {"EHLO a", "500 5.5.1"},
        {"LHLO a", "500 5.5.2", false},
        {"LHLO", "501 5.5.4"},
        {"HELO a", "250 mx.example.net", false},
        {"MAIL FROM:<>", "503 5.5.1"},
        {"RCPT TO:<a@example.net>", "503 5.5.1"},
        {"DATA", "503 5.5.1"},
        {"RSET", "250 2.0.0"},
        {"NOOP x", "250 2.0.0"},
        {"VRFY a", "252 2.5.0"},
        {"EXPN a", "502 5.5.1"},
        {"HELP", "214 2.0.0"},
        {"STARTTLS", "502 5.5.1"},
        {"AUTH PLAIN", "502 5.5.1"},
        {"BDAT 7 LAST", "502 5.5.1"},
        {"GET / HTTP/1.1", "554 5.5.1"},
        {"XYZZY", "500 5.5.2"},
        {"QUIT", "221 2.0.0"},
    };
    for (const Line& one : table) {
        CAPTURE(one.line);
        const Talk talk = told(one.lmtp ? lmtp() : smtp(), std::string(one.line) + "\r\n");
        const std::string reply = talk.said.substr(talk.said.find('\n') + 1);
        CAPTURE(reply);
        CHECK(reply.starts_with(one.reply));
    }
}

TEST_CASE("a line behind LHLO is answered by what it is") {
    struct Line {
        const char* line;
        const char* reply;
    };
    const Line table[] = {
        {"MAIL FROM:<a@example.net>", "250 2.1.0"},
        {"mail from: <a@example.net>", "250 2.1.0"},
        {"MAIL FROM:<root>", "250 2.1.0"},
        {"MAIL FROM:<\xc3\xa4@example.net> SMTPUTF8", "250 2.1.0"},
        {"MAIL FROM:<a@example.net> RET=HDRS", "250 2.1.0"},
        {"MAIL FROM:<a@example.net> SIZE=1048576", "250 2.1.0"},
        {"MAIL FROM:<a@example.net> SIZE=1048577", "552 5.3.4"},
        {"MAIL FROM:<a@example.net> BODY=BINARYMIME", "555 5.5.4"},
        {"MAIL FROM:<a@example.net> SIZE=x", "501 5.5.4"},
        {"MAIL FROM:<a@@example.net>", "501 5.5.4"},
        {"MAIL TO:<a@example.net>", "501 5.5.4"},
        {"MAIL", "501 5.5.4"},
    };
    for (const Line& one : table) {
        CAPTURE(one.line);
        const Talk talk = told(lmtp(), "LHLO a\r\n" + std::string(one.line) + "\r\n");
        const std::string reply = talk.said.substr(talk.said.find("250 SIZE") + 18);
        CAPTURE(reply);
        CHECK(reply.starts_with(one.reply));
    }
}

TEST_CASE("a mail needs one recipient that was taken, and takes no more than are allowed") {
    CHECK(told(lmtp(), "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nDATA\r\n")
              .said.ends_with("501 5.5.4 not an address\r\n503 5.5.1 no valid recipients\r\n"));
    IntakeSettings settings = lmtp();
    settings.max_recipients = 1;
    const Talk talk = told(settings, begin + "RCPT TO:<c@example.net>\r\nDATA\r\nx\r\n.\r\n");
    CHECK(talk.said.find("452 4.5.3") != std::string::npos);
    CHECK(talk.said.ends_with("250 2.0.0 taken\r\n"));
    REQUIRE(talk.mails.size() == 1);
    CHECK(talk.mails[0].rcpts == std::vector<std::string>{"b@example.net"});
}

TEST_CASE("RSET and a new greeting forget the mail") {
    for (const char* line : {"RSET\r\n", "LHLO a\r\n"}) {
        CAPTURE(line);
        CHECK(told(lmtp(), begin + line + "DATA\r\n")
                  .said.ends_with("503 5.5.1 MAIL comes first\r\n"));
    }
}

TEST_CASE("newlines of strange servers become CRLF, and end nothing") {
    const Talk talk = told(lmtp(), begin + "DATA\r\na\nb\n.\nc\r\n.\r\n");
    REQUIRE(talk.mails.size() == 1);
    CHECK(talk.mails[0].octets.starts_with("a\r\nb\r\n"));
    CHECK(talk.mails[0].octets.ends_with("c\r\n"));
    CHECK(talk.mails[0].octets.find("\nc") != std::string::npos);
}

TEST_CASE("what cannot be taken is refused behind its true end") {
    struct Bad {
        std::string octets;
        const char* reply;
    };
    const Bad table[] = {
        {"a\rb\r\n", "554 5.6.0"},
        {std::string("a\0b\r\n", 5), "554 5.6.0"},
        {std::string(70'000, 'x') + "\r\n", "554 5.6.0"},
        {std::string(200, 'x') + "\r\n" + std::string(200, 'x') + "\r\n", "552 5.3.4"},
    };
    for (const Bad& bad : table) {
        IntakeSettings settings = lmtp();
        if (bad.octets.size() < 1000) settings.max_size = 300;
        Peer peer(settings);
        peer.feed(begin + "DATA\r\n" + bad.octets + ".\r\nNOOP\r\n", 4096);
        CAPTURE(bad.octets.size(), peer.talk.said);
        CHECK(peer.talk.mails.empty());
        const std::string tail = peer.talk.said.substr(peer.talk.said.find("354"));
        CHECK(tail.substr(tail.find('\n') + 1).starts_with(bad.reply));
        CHECK(tail.ends_with("250 2.0.0 ok\r\n"));
    }
}

TEST_CASE("who only errs hears 421, and who brings mail may err now and then") {
    std::string wrong;
    for (int i = 0; i < 20; ++i) wrong += "XYZZY\r\n";
    const Talk talk = told(lmtp(), wrong + "NOOP\r\n");
    CHECK(talk.finished);
    CHECK(talk.said.ends_with("421 4.7.0 too many errors\r\n"));

    std::string now_and_then;
    for (int i = 0; i < 30; ++i) now_and_then += "XYZZY\r\n" + begin + "DATA\r\n.\r\n";
    CHECK_FALSE(told(lmtp(), now_and_then).finished);
}

TEST_CASE("at the end idle peers hear 421, and what is being taken is answered first") {
    Peer idle(lmtp());
    idle.feed(begin, 4096);
    idle.session.shut_down();
    idle.run();
    CHECK(idle.talk.finished);
    CHECK(idle.talk.said.ends_with("421 4.3.2 service shuts down, try again later\r\n"));

    Peer half(lmtp());
    half.feed(begin + "DATA\r\nx\r\n", 4096);
    half.session.shut_down();
    half.run();
    CHECK(half.talk.mails.empty());
    CHECK(half.talk.finished);

    Peer slow(lmtp());
    slow.feed(begin, 4096);
    slow.session.timed_out();
    slow.run();
    CHECK(slow.talk.finished);
    CHECK(slow.talk.said.ends_with("421 4.4.2 too slow\r\n"));

    IntakeSession taking(lmtp());
    const auto until = [&](Action wanted) {
        for (int i = 0; i < 10; ++i) {
            const Action action = taking.next();
            if (action == wanted) return;
            REQUIRE(action == Action::send);
            taking.sent();
        }
        FAIL("never came");
    };
    const std::string mail = begin + "DATA\r\nx\r\n.\r\n";
    until(Action::read);
    taking.feed(mail);
    until(Action::take);
    taking.shut_down();
    CHECK(taking.take_mail().octets == "x\r\n");
    taking.taken(Outcome::safe);
    REQUIRE(taking.next() == Action::send);
    CHECK(taking.output() ==
          "250 2.0.0 taken\r\n421 4.3.2 service shuts down, try again later\r\n");
}

TEST_CASE("a peer that goes leaves no mail but one whose end was read") {
    Peer half(lmtp());
    half.feed(begin + "DATA\r\nx\r\n", 4096);
    half.session.eof();
    half.run();
    CHECK(half.talk.finished);
    CHECK(half.talk.mails.empty());

    const std::string mail = begin + "DATA\r\nx\r\n.\r\nNOOP\r\n";
    IntakeSession session(lmtp());
    REQUIRE(session.next() == Action::send);
    session.sent();
    REQUIRE(session.next() == Action::read);
    session.feed(mail);
    REQUIRE(session.next() == Action::send);
    session.eof();  // The write failed.
    REQUIRE(session.next() == Action::take);
    CHECK(session.take_mail().octets == "x\r\n");
    session.taken(Outcome::safe);
    CHECK(session.next() == Action::finish);
}

TEST_CASE("a connection that is not wanted hears one reply") {
    Peer peer(lmtp());
    peer.session.refuse({.code = 554, .enhanced = "5.7.1", .text = "not from there"});
    peer.run();
    CHECK(peer.talk.finished);
    CHECK(peer.talk.said == "554 5.7.1 not from there\r\n");
}
