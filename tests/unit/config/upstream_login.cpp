#include "surroundings.hpp"

#include "tests/catch.hpp"

using namespace postern::relay::config;
using namespace postern::test;

namespace {

const std::string by_token = R"(username = "u"
oauth = { token_url = "https://a.example/token", client_id = "c", refresh_token = "r" }
)";

std::vector<std::string> told(const std::string& text) {
    return messages(load(least + text));
}

}  // namespace

TEST_CASE("how an upstream is logged in to: by password, by token, by a mechanism by name") {
    const auto plain = load(least + "username = \"u\"\npassword = \"p\"\n");
    REQUIRE(plain.config);
    CHECK(plain.config->upstream[0].mechanism.empty());
    CHECK(plain.config->upstream[0].oauth.token_url.empty());
    const auto named =
        load(least + "username = \"u\"\npassword = \"p\"\nmechanism = \"scram-sha-256\"\n");
    REQUIRE(named.config);
    CHECK(named.config->upstream[0].mechanism == "SCRAM-SHA-256");
    CHECK(named.config->notices.empty());

    World world;
    world.files["/etc/secret"] = "s\n";
    world.files["/etc/token"] = "1//r\n";
    const auto token = load(least + R"(username = "u"
mechanism = "XOAUTH2"
oauth = { token_url = "HTTPS://A.example:8443/t?x=1", client_id = "c", client_secret_file = "secret", refresh_token_file = "token", scope = "a b" }
)",
                            world);
    REQUIRE(messages(token) == std::vector<std::string>());
    CHECK(token.config->notices.empty());
    const UpstreamOAuth& oauth = token.config->upstream[0].oauth;
    CHECK(oauth.token_url.url == "https://A.example:8443/t?x=1");
    CHECK(oauth.token_url.host == "a.example");
    CHECK(oauth.token_url.port == 8443);
    CHECK(oauth.token_url.target == "/t?x=1");
    CHECK(oauth.client_secret.reveal() == "s");
    CHECK(oauth.refresh_token.reveal() == "1//r");
    CHECK(oauth.scope == "a b");
    // Both: by token where it is offered.
    CHECK(told(by_token + "password = \"p\"\n").empty());
    CHECK(told(by_token).empty());
}

TEST_CASE("the environment names the keys of tokens, too") {
    World world;
    world.environment = {{"POSTERN_UPSTREAM_0_USERNAME", "u"},
                         {"POSTERN_UPSTREAM_0_MECHANISM", "xoauth2"},
                         {"POSTERN_UPSTREAM_0_OAUTH_TOKEN_URL", "http://127.0.0.1:9/token"},
                         {"POSTERN_UPSTREAM_0_OAUTH_CLIENT_ID", "c"},
                         {"POSTERN_UPSTREAM_0_OAUTH_REFRESH_TOKEN_FILE", "/run/token"}};
    world.files["/run/token"] = "r\n";
    const auto loaded = load(least, world);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    CHECK(loaded.config->upstream[0].oauth.refresh_token.reveal() == "r");
    CHECK(loaded.config->upstream[0].oauth.token_url.clear_text);
    CHECK(loaded.config->upstream[0].mechanism == "XOAUTH2");
}

TEST_CASE("a login that lacks something says what") {
    struct Row {
        std::string text;
        std::string message;
    };
    const std::string url = "token_url = \"https://a.example/token\"";
    const Row table[] = {
        {"username = \"u\"\npassword = \"p\"\nmechanism = \"SCRAM-SHA-256-PLUS\"\n",
         "10: upstream.0.mechanism: \"SCRAM-SHA-256-PLUS\" is not \"SCRAM-SHA-256\", \"PLAIN\", "
         "\"LOGIN\", \"XOAUTH2\" or \"OAUTHBEARER\"; left out, it is the best that both know"},
        {"mechanism = \"PLAIN\"\n",
         "8: upstream.0.mechanism: says how to log in, and username is not set; write it, or leave "
         "both out"},
        {"username = \"u\"\npassword = \"p\"\nmechanism = \"XOAUTH2\"\n",
         "10: upstream.0.mechanism: \"XOAUTH2\" needs tokens, and oauth is not set; write it, or "
         "another mechanism"},
        {by_token + "mechanism = \"SCRAM-SHA-256\"\n",
         "10: upstream.0.mechanism: \"SCRAM-SHA-256\" needs a password, and only oauth is set; "
         "write \"XOAUTH2\", or leave it out"},
        {by_token + "password = \"p\"\nmechanism = \"PLAIN\"\n",
         "11: upstream.0.mechanism: \"PLAIN\" leaves oauth without effect; take one of them out"},
        {"oauth = { " + url + ", client_id = \"c\", refresh_token = \"r\" }\n",
         "6: upstream.0.username: not set, but oauth is; write whose tokens they are, or leave "
         "both out"},
        {"username = \"u\"\noauth = { client_id = \"c\", refresh_token = \"r\" }\n",
         "9: upstream.0.oauth.token_url: not set; write where tokens are fetched, like "
         "\"https://a.example/token\""},
        {"username = \"u\"\noauth = { " + url + ", refresh_token = \"r\" }\n",
         "9: upstream.0.oauth.client_id: not set; write the name under which the token server "
         "knows this relay"},
        {"username = \"u\"\noauth = { " + url + ", client_id = \"c\" }\n",
         "9: upstream.0.oauth.refresh_token_file: not set; name the file with the refresh token"},
        {"username = \"u\"\noauth = { " + url +
             ", client_id = \"c\", refresh_token = \"r\", xyzzy = \"s\" }\n",
         "9: upstream.0.oauth.xyzzy: unknown key"},
        {"username = \"u\"\noauth = { token_url = \"http://a.example/t\", client_id = \"c\", "
         "refresh_token = \"r\" }\n",
         "9: upstream.0.oauth.token_url: \"http://a.example/t\" would send secrets in the clear to "
         "anybody on the way; only loopback may be; write one like \"https://a.example/token\""},
        {"username = \"u\"\noauth = { token_url = \"a.example\", client_id = \"c\", refresh_token "
         "= \"r\" }\n",
         "9: upstream.0.oauth.token_url: \"a.example\" is no https URL; write one like "
         "\"https://a.example/token\""},
        {"username = \"u\"\noauth = { " + url +
             ", client_id = \"c\", refresh_token_file = \"/gone\" }\n",
         "9: upstream.0.oauth.refresh_token_file: cannot read /gone: No such file or directory"},
    };
    for (const Row& row : table) {
        CAPTURE(row.text);
        CHECK(told(row.text) == std::vector<std::string>{"/etc/p.toml:" + row.message});
    }
}

TEST_CASE("a fault shows no secret of a token server") {
    for (const std::string& line :
         told("username = \"u\"\noauth = { token_url = 7, client_secret = \"hush\", refresh_token "
              "= \"quiet\" }\n")) {
        CHECK_FALSE(line.contains("hush"));
        CHECK_FALSE(line.contains("quiet"));
    }
}
