#include "relay/oauth/token_answer.hpp"

#include <string>

#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using postern::proto::Secret;

namespace {

using FaultKind = oauth::TokenFault::Kind;

config::UpstreamOAuth client() {
    config::UpstreamOAuth out;
    out.client_id = "relay 1";
    out.client_secret = Secret("s&cr=t");
    out.scope = "https://mail.example/ offline";
    return out;
}

}  // namespace

TEST_CASE("the form asks by refresh token, with everything escaped") {
    CHECK(oauth::token_form(client(), "1//a+b~c").reveal() ==
          "grant_type=refresh_token&client_id=relay%201&client_secret=s%26cr%3Dt&"
          "refresh_token=1%2F%2Fa%2Bb~c&scope=https%3A%2F%2Fmail.example%2F%20offline");
    auto open = client();
    open.client_secret = {};
    open.scope.clear();
    CHECK(oauth::token_form(open, "r").reveal() ==
          "grant_type=refresh_token&client_id=relay%201&refresh_token=r");
}

TEST_CASE("a token server's answer: token, life, a new refresh token") {
    struct Row {
        const char* body;
        const char* token;
        std::chrono::seconds life;
        const char* refresh;
    };
    const Row table[] = {
        {R"({"access_token":"a","token_type":"Bearer","expires_in":3599,"scope":"x"})", "a", 3599s,
         ""},
        {R"({"access_token":"a","token_type":"bearer","refresh_token":"r2"})", "a", 3600s, "r2"},
        {R"({"access_token":"a","expires_in":"1800"})", "a", 1800s, ""},
        {R"({"access_token":"a","expires_in":90.5})", "a", 90s, ""},
        {R"({"access_token":"a","expires_in":999999999999})", "a", oauth::longest_token_life, ""},
        {R"({"access_token":"a","refresh_token":"two\r\nlines"})", "a", 3600s, ""},
    };
    for (const Row& row : table) {
        CAPTURE(row.body);
        const auto got = oauth::read_token_answer(200, row.body);
        REQUIRE(got.has_value());
        CHECK(got->token.reveal() == row.token);
        CHECK(got->life == row.life);
        CHECK(got->refresh_token.reveal() == row.refresh);
    }
}

TEST_CASE("what is no token passes, what is a refusal is one") {
    struct Row {
        unsigned status;
        std::string body;
        FaultKind kind;
        std::string what;
    };
    const Row table[] = {
        {200, "", FaultKind::passing, "the token server's answer is no JSON object"},
        {200, "[]", FaultKind::passing, "the token server's answer is no JSON object"},
        {200, R"({"error":"x"})", FaultKind::passing,
         "the token server's answer holds no access_token"},
        {200, R"({"access_token":7})", FaultKind::passing,
         "the token server's answer holds no access_token"},
        {200, R"({"access_token":"a b"})", FaultKind::passing,
         "the token server's answer holds no access_token"},
        {200, R"({"access_token":"a\u0001auth=x"})", FaultKind::passing,
         "the token server's answer holds no access_token"},
        {200, R"({"access_token":")" + std::string(8193, 'a') + R"("})", FaultKind::passing,
         "the token server's answer holds no access_token"},
        {200, R"({"access_token":"a","token_type":"mac"})", FaultKind::passing,
         "the token server's token is no Bearer token"},
        {200, R"({"access_token":"a","expires_in":0})", FaultKind::passing,
         "the token server's expires_in is no number of seconds"},
        {200, R"({"access_token":"a","expires_in":"soon"})", FaultKind::passing,
         "the token server's expires_in is no number of seconds"},
        {400, R"({"error":"invalid_grant","error_description":"Token has\nexpired"})",
         FaultKind::grant, "the token server answered 400 invalid_grant: Token has expired"},
        {401, R"({"error":"invalid_client"})", FaultKind::refused,
         "the token server answered 401 invalid_client"},
        {403, "<html>", FaultKind::refused, "the token server answered 403"},
        {404, "", FaultKind::refused, "the token server answered 404"},
        {429, "", FaultKind::passing, "the token server answered 429"},
        {400, R"({"error":"temporarily_unavailable"})", FaultKind::passing,
         "the token server answered 400 temporarily_unavailable"},
        {302, "", FaultKind::passing, "the token server answered 302"},
        {503, "", FaultKind::passing, "the token server answered 503"},
    };
    for (const Row& row : table) {
        CAPTURE(row.status, row.body.substr(0, 100));
        const auto got = oauth::read_token_answer(row.status, row.body);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error().kind == row.kind);
        CHECK(got.error().what == row.what);
    }
}

TEST_CASE("what a server says at length is cut") {
    const auto got = oauth::read_token_answer(400, R"({"error":")" + std::string(5000, 'e') +
                                                       R"(","error_description":")" +
                                                       std::string(5000, 'd') + R"("})");
    CHECK(got.error().what.size() < 500);
}
