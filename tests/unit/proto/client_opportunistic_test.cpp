#include "tests/catch.hpp"
#include "tests/unit/proto/client_script.hpp"

using namespace postern::proto;
using namespace postern::proto::test;

namespace {

ClientSession::Settings opportunistic(std::string username = {}) {
    auto out = settings();
    out.starttls_if_offered = true;
    out.username = std::move(username);
    return out;
}

using Written = std::vector<std::string>;

}  // namespace

TEST_CASE("client: STARTTLS where it is offered, clear text where it is not") {
    Upstream upstream;
    SECTION("offered") {
        ClientSession session(opportunistic("relay"));
        Drive drive{session, upstream};
        CHECK(std::holds_alternative<ClientSession::Ready>(drive.run()));
        CHECK(upstream.tls);
        CHECK(drive.writes.back().starts_with("AUTH PLAIN "));
    }
    SECTION("not offered, nothing secret to say") {
        upstream.ehlo = GENERATE("250-mx\r\n250 PIPELINING\r\n", "500 what\r\n");
        ClientSession session(opportunistic());
        Drive drive{session, upstream};
        CHECK(std::holds_alternative<ClientSession::Ready>(drive.run()));
        CHECK_FALSE(upstream.tls);
        CHECK(drive.writes.front() == "EHLO relay.example.net\r\n");
    }
    SECTION("not offered, and a login: it is not said") {
        upstream.ehlo = GENERATE("250-mx\r\n250 AUTH PLAIN LOGIN\r\n", "500 what\r\n");
        ClientSession session(opportunistic("relay"));
        Drive drive{session, upstream};
        const auto action = drive.run();
        const auto* failed = std::get_if<ClientSession::Failed>(&action);
        REQUIRE(failed != nullptr);
        CHECK(failed->kind == ClientSession::Failed::Kind::no_tls);
        CHECK(failed->stage == UpstreamStage::starttls);
        CHECK(failed->reply.text.contains("not sent in clear text"));
        for (const std::string& written : drive.writes) CHECK_FALSE(written.starts_with("AUTH"));
    }
    SECTION("offered and refused is a failure, not a reason for clear text") {
        upstream.starttls = "454 4.7.0 not now\r\n";
        ClientSession session(opportunistic());
        Drive drive{session, upstream};
        const auto action = drive.run();
        const auto* failed = std::get_if<ClientSession::Failed>(&action);
        REQUIRE(failed != nullptr);
        CHECK(failed->kind == ClientSession::Failed::Kind::refused);
        CHECK(failed->reply.code == 454);
    }
}

TEST_CASE("client: TLS that is asked for is asked for, offered or not") {
    Upstream upstream;
    upstream.ehlo = "250-mx\r\n250 PIPELINING\r\n";
    auto with = settings();
    with.username.clear();
    ClientSession session(with);
    Drive drive{session, upstream};
    const auto action = drive.run();
    const auto* failed = std::get_if<ClientSession::Failed>(&action);
    REQUIRE(failed != nullptr);
    CHECK(failed->kind == ClientSession::Failed::Kind::no_tls);
}
