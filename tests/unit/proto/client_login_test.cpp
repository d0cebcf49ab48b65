#include "client_script.hpp"

#include "tests/catch.hpp"

using namespace postern::proto;
using namespace postern::proto::test;
using Kind = ClientSession::Failed::Kind;
using Strings = std::vector<std::string>;

namespace {

template <class T>
T get(const ClientSession::Action& action) {
    REQUIRE(std::holds_alternative<T>(action));
    return std::get<T>(action);
}

ClientSession::Failed failure(Upstream upstream, ClientSession::Settings with = settings(),
                              std::size_t cut = 100000) {
    ClientSession session(std::move(with));
    Drive drive{session, upstream, cut};
    return get<ClientSession::Failed>(drive.run());
}

}  // namespace

TEST_CASE("client: greeting, EHLO, STARTTLS, EHLO, AUTH, ready, however cut") {
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    ClientSession session(settings());
    Upstream upstream;
    Drive drive{session, upstream, cut};
    get<ClientSession::Ready>(drive.run());
    CHECK(drive.writes == Strings{"EHLO relay.example.net\r\n", "STARTTLS\r\n",
                                  "EHLO relay.example.net\r\n",
                                  "AUTH PLAIN AHJlbGF5AHNlY3JldA==\r\n"});
    CHECK(session.offer() == UpstreamOffer{.esmtp = true,
                                           .pipelining = true,
                                           .eight_bit_mime = true,
                                           .smtputf8 = true,
                                           .dsn = true,
                                           .starttls = false,
                                           .size = true,
                                           .max_size = 10000000,
                                           .auth = {"PLAIN", "LOGIN"}});
    CHECK(session.output().empty());
}

TEST_CASE("client: implicit TLS and no login need neither STARTTLS nor AUTH") {
    auto with = settings();
    with.implicit_tls = true;
    with.username.clear();
    ClientSession session(with);
    Upstream upstream;
    Drive drive{session, upstream};
    get<ClientSession::Ready>(drive.run());
    CHECK(drive.writes == Strings{"EHLO relay.example.net\r\n"});
}

TEST_CASE("client: what was offered before TLS is forgotten") {
    Upstream upstream;
    upstream.ehlo_tls = "250-mx\r\n250 AUTH PLAIN\r\n";
    ClientSession session(settings());
    Drive drive{session, upstream};
    get<ClientSession::Ready>(drive.run());
    CHECK_FALSE(session.offer().pipelining);
    CHECK_FALSE(session.offer().size);
}

TEST_CASE("client: AUTH LOGIN where PLAIN is not offered") {
    Upstream upstream;
    upstream.ehlo_tls = "250-mx\r\n250 AUTH login CRAM-MD5\r\n";
    ClientSession session(settings());
    Drive drive{session, upstream};
    get<ClientSession::Ready>(drive.run());
    CHECK(Strings(drive.writes.end() - 3, drive.writes.end()) ==
          Strings{"AUTH LOGIN\r\n", "cmVsYXk=\r\n", "c2VjcmV0\r\n"});
}

TEST_CASE("client: AUTH= of old servers is read, also beside the new form") {
    Upstream upstream;
    upstream.ehlo_tls = "250-mx\r\n250-AUTH=PLAIN\r\n250 auth=login plain\r\n";
    ClientSession session(settings());
    Drive drive{session, upstream};
    get<ClientSession::Ready>(drive.run());
    CHECK(session.offer().auth == Strings{"PLAIN", "LOGIN"});
}

TEST_CASE("client: a PLAIN response too long for a command line waits for the 334") {
    auto with = settings();
    with.password = Secret(std::string(500, 'x'));
    ClientSession session(with);
    Upstream upstream;
    upstream.auth = "334 \r\n";
    Drive drive{session, upstream};
    drive.fault = [&](Drive& d, const ClientSession::Action& action) {
        if (std::holds_alternative<ClientSession::Send>(action) &&
            session.output().starts_with("AHJ")) {
            CHECK(session.output().size() == (2 + 5 + 500 + 2) / 3 * 4 + 2);
            session.sent();
            d.pending += "235 2.7.0 ok\r\n";
            return true;
        }
        return false;
    };
    get<ClientSession::Ready>(drive.run());
    CHECK(drive.writes.back() == "AUTH PLAIN\r\n");
}

TEST_CASE("client: HELO only where EHLO is not known") {
    Upstream upstream;
    SECTION("500 and 502") {
        upstream.ehlo = GENERATE("500 5.5.1 what\r\n", "502 not here\r\n");
        ClientSession session(plain_settings());
        Drive drive{session, upstream};
        get<ClientSession::Ready>(drive.run());
        CHECK(drive.writes == Strings{"EHLO relay.example.net\r\n", "HELO relay.example.net\r\n"});
        CHECK(session.offer() == UpstreamOffer{});
    }
    SECTION("other refusals end it") {
        upstream.ehlo =
            GENERATE("550 no\r\n", "554 no\r\n", "421 no\r\n", "451 no\r\n", "501 no\r\n");
        const auto failed = failure(upstream, plain_settings());
        CHECK(failed.stage == UpstreamStage::ehlo);
        CHECK(failed.kind == Kind::refused);
    }
    SECTION("no TLS with HELO") {
        upstream.ehlo = "500 what\r\n";
        CHECK(failure(upstream).kind == Kind::no_tls);
    }
    SECTION("HELO refused") {
        upstream.ehlo = "500 what\r\n";
        upstream.helo = "500 what\r\n";
        const auto failed = failure(upstream, plain_settings());
        CHECK(failed.kind == Kind::refused);
        CHECK(failed.reply.code == 500);
    }
}

TEST_CASE("client: each step before Ready may be refused") {
    struct Row {
        std::string Upstream::* field;
        std::string text;
        UpstreamStage stage;
        Kind kind;
        int code;
    };
    const auto row = GENERATE(
        Row{&Upstream::greeting, "554 no service\r\n", UpstreamStage::greeting, Kind::refused, 554},
        Row{&Upstream::greeting, "421 4.3.2 busy\r\n", UpstreamStage::greeting, Kind::refused, 421},
        Row{&Upstream::greeting, "354 what\r\n", UpstreamStage::greeting, Kind::protocol, 354},
        Row{&Upstream::greeting, "SSH-2.0-OpenSSH\r\n", UpstreamStage::greeting, Kind::protocol, 0},
        Row{&Upstream::greeting, "", UpstreamStage::greeting, Kind::timeout, 0},
        Row{&Upstream::greeting, "220 mx\r\n250 early\r\n", UpstreamStage::ehlo, Kind::protocol, 0},
        Row{&Upstream::ehlo, "250-mx\r\n220 mixed\r\n", UpstreamStage::ehlo, Kind::protocol, 0},
        Row{&Upstream::ehlo, "250-mx\r\n250-SIZE 10\r\n250 AUTH PLAIN\r\n", UpstreamStage::starttls,
            Kind::no_tls, 0},
        Row{&Upstream::ehlo, "250-mx\r\n250 STARTTLS\r\n250 early\r\n", UpstreamStage::starttls,
            Kind::protocol, 0},
        Row{&Upstream::starttls, "454 4.7.0 not now\r\n", UpstreamStage::starttls, Kind::refused,
            454},
        Row{&Upstream::starttls, "501 5.5.4 no\r\n", UpstreamStage::starttls, Kind::refused, 501},
        Row{&Upstream::starttls, "220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n", UpstreamStage::starttls,
            Kind::protocol, 0},
        Row{&Upstream::starttls, "220 go\r\n2", UpstreamStage::starttls, Kind::protocol, 0},
        Row{&Upstream::ehlo_tls, "550 no\r\n", UpstreamStage::ehlo, Kind::refused, 550},
        Row{&Upstream::ehlo_tls, "250-mx\r\n250 AUTH CRAM-MD5\r\n", UpstreamStage::auth,
            Kind::no_auth, 0},
        Row{&Upstream::ehlo_tls, "250 mx\r\n", UpstreamStage::auth, Kind::no_auth, 0},
        Row{&Upstream::auth, "535 5.7.8 wrong\r\n", UpstreamStage::auth, Kind::refused, 535},
        Row{&Upstream::auth, "530 5.7.0 TLS first\r\n", UpstreamStage::auth, Kind::refused, 530},
        Row{&Upstream::auth, "538 5.7.11 weak\r\n", UpstreamStage::auth, Kind::refused, 538},
        Row{&Upstream::auth, "454 4.7.0 later\r\n", UpstreamStage::auth, Kind::refused, 454},
        Row{&Upstream::auth, "421 4.7.0 bye\r\n", UpstreamStage::auth, Kind::refused, 421},
        Row{&Upstream::auth, "250 ok\r\n", UpstreamStage::auth, Kind::protocol, 250},
        Row{&Upstream::auth, "334 \r\n334 \r\n", UpstreamStage::auth, Kind::protocol, 334});
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{100000});
    Upstream upstream;
    upstream.*row.field = row.text;
    CAPTURE(row.text, cut);
    // Octets behind a reply are told apart from the next answer only when they have come with it.
    const bool extra = row.kind == Kind::protocol && row.text.find("\r\n") + 2 < row.text.size() &&
                       !row.text.starts_with("250-mx\r\n220");
    if (extra && cut < row.text.size()) return;
    const auto failed = failure(upstream, settings(), cut);
    CHECK(name(failed.stage) == name(row.stage));
    CHECK(failed.kind == row.kind);
    CHECK(failed.reply.code == row.code);
    CHECK_FALSE(failed.dot_sent);
    CHECK(failed.results.empty());
}

TEST_CASE("client: replies over 64 KiB and replies without end are the path's fault") {
    Upstream upstream;
    const auto cut = GENERATE(std::size_t{4096}, std::size_t{1000000});
    SECTION("many lines") {
        upstream.ehlo.clear();
        for (int i = 0; i < 8000; ++i) upstream.ehlo += "250-XTENSION\r\n";
    }
    SECTION("one line") {
        upstream.ehlo = "250-" + std::string(100000, 'x');
    }
    const auto failed = failure(upstream, settings(), cut);
    CHECK(failed.kind == Kind::protocol);
    CHECK(failed.stage == UpstreamStage::ehlo);
}

TEST_CASE("client: noop, quit, and the end of an idle connection") {
    ClientSession session(plain_settings());
    Upstream upstream;
    Drive drive{session, upstream};
    get<ClientSession::Ready>(drive.run());
    SECTION("noop") {
        session.noop();
        get<ClientSession::Ready>(drive.run());
        CHECK(drive.writes.back() == "NOOP\r\n");
    }
    SECTION("noop refused") {
        upstream.noop = "500 5.5.2 no\r\n";
        session.noop();
        const auto failed = get<ClientSession::Failed>(drive.run());
        CHECK(failed.stage == UpstreamStage::noop);
        CHECK(failed.kind == Kind::refused);
    }
    SECTION("quit") {
        session.quit();
        const auto failed = get<ClientSession::Failed>(drive.run());
        CHECK(failed.stage == UpstreamStage::quit);
        CHECK(failed.kind == Kind::eof);
        CHECK(failed.reply.code == 221);
    }
    SECTION("closed while idle, with and without a farewell") {
        const bool farewell = GENERATE(true, false);
        if (farewell) session.feed("421 4.4.2 idle\r\n");
        session.eof();
        const auto failed = get<ClientSession::Failed>(drive.run());
        CHECK(failed.stage == UpstreamStage::quit);
        CHECK(failed.kind == Kind::eof);
        CHECK(failed.reply.code == (farewell ? 421 : 0));
    }
    SECTION("octets nobody asked for") {
        session.feed("250 ok\r\n");
        const auto failed = get<ClientSession::Failed>(drive.run());
        CHECK(failed.kind == Kind::protocol);
    }
    SECTION("the end is told again and again") {
        session.eof();
        get<ClientSession::Failed>(session.next());
        session.feed("250 ok\r\n");
        session.noop();
        get<ClientSession::Failed>(session.next());
    }
}

TEST_CASE("client: deadlines by stage") {
    using std::chrono::minutes;
    ClientSession session(plain_settings());
    CHECK(get<ClientSession::Read>(session.next()).deadline == minutes(5));
    CHECK(get<ClientSession::Read>(session.next()).stage == UpstreamStage::greeting);
}
