#include "relay/upstream/login.hpp"

#include "relay/event/stream.hpp"
#include "tests/catch.hpp"

using namespace postern;
using relay::Login;
using Names = std::vector<std::string>;

namespace {

relay::config::Upstream there(const char* password, const char* mechanism = "") {
    relay::config::Upstream out;
    out.name = "primary";
    out.username = "relay";
    out.password = proto::Secret(password);
    out.mechanism = mechanism;
    return out;
}

}  // namespace

TEST_CASE("what an upstream may be logged in to by, best first") {
    relay::event::NullStream events;
    const auto tokens = std::make_shared<relay::oauth::TokenSource>(
        relay::oauth::TokenSource::Settings{.upstream = "primary", .oauth = {}, .file = {}},
        events);
    CHECK(Login(there("p"), nullptr, nullptr).mechanisms() ==
          Names{"SCRAM-SHA-256", "PLAIN", "LOGIN"});
    CHECK(Login(there(""), nullptr, tokens).mechanisms() == Names{"XOAUTH2", "OAUTHBEARER"});
    CHECK(Login(there("p"), nullptr, tokens).mechanisms() ==
          Names{"XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256", "PLAIN", "LOGIN"});
    CHECK(Login(there("p", "LOGIN"), nullptr, nullptr).mechanisms() == Names{"LOGIN"});
}

TEST_CASE("what a password becomes is remembered for a few salts, each with its rounds") {
    Login login(there("pencil"), nullptr, nullptr);
    const auto asked = [](int n) {
        return auth::ScramLogin::Asked{"salt" + std::to_string(n), 4096};
    };
    CHECK_FALSE(login.remembered(asked(1)));
    const auto keys = login.derive(asked(1));
    REQUIRE(keys);
    CHECK(keys->client_key == auth::derive_scram_keys("pencil", "salt1", 4096).client_key);
    REQUIRE(login.remembered(asked(1)));
    CHECK(login.remembered(asked(1))->server_key == keys->server_key);
    CHECK_FALSE(login.remembered({"salt1", 4097}));
    for (int n = 2; n <= 5; ++n) REQUIRE(login.derive(asked(n)));
    CHECK_FALSE(login.remembered(asked(1)));
    for (int n = 2; n <= 5; ++n) CHECK(login.remembered(asked(n)));
}

TEST_CASE("a password that SASLprep prohibits is none for SCRAM") {
    Login login(there("a\x07"), nullptr, nullptr);
    CHECK_FALSE(login.derive({"salt", 4096}));
}
