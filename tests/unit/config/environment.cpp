#include "surroundings.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::config;
using namespace std::chrono_literals;
using test::least;
using test::load;
using test::messages;
using test::World;

namespace {

ConfigPtr good(const World& world, const std::string& text = least) {
    const auto loaded = load(text, world);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    return loaded.config;
}

std::vector<std::string> bad(std::vector<std::pair<std::string, std::string>> environment) {
    World world;
    world.environment = std::move(environment);
    return messages(load(least, world));
}

}  // namespace

TEST_CASE("variables beat the file at any depth") {
    World world;
    world.environment = {{"POSTERN_SERVER_HOSTNAME", "other.example.net"},
                         {"POSTERN_SERVER_METRICS_FROM", "192.0.2.0/24, 2001:db8::/32"},
                         {"POSTERN_SERVER_LISTEN", "[::1]:2587 starttls,127.0.0.1:2465 tls name=x"},
                         {"POSTERN_SERVER_STATE", "relative"},
                         {"POSTERN_MESSAGE_MAX_SIZE", "1MiB"},
                         {"POSTERN_MESSAGE_MAX_RECIPIENTS", "5"},
                         {"POSTERN_MESSAGE_RECEIVED_CLIENT_IP", "true"},
                         {"POSTERN_DELIVERY_RETRY_FIRST", "10s"},
                         {"POSTERN_DELIVERY_RETRY_JITTER", "0.5"},
                         {"POSTERN_LIMITS_TRANSACTIONAL_MESSAGES", "1/min,20/hour"},
                         {"POSTERN_LIMITS_MY_PLAN_RECIPIENTS", "[]"},
                         {"POSTERN_TLS_CERTIFICATES_0_CERTIFICATE", "a.pem"},
                         {"POSTERN_TLS_CERTIFICATES_0_KEY", "/a.key"},
                         {"POSTERN_UPSTREAM_0_CONCURRENCY", "3"},
                         {"POSTERN_UPSTREAM_1_ADDRESS", "b.example"},
                         {"POSTERN_UPSTREAM_1_ROLE", "fallback"}};
    const auto c = good(world);
    CHECK(c->server.hostname == "other.example.net");
    CHECK(c->server.metrics_from.size() == 2);
    REQUIRE(c->server.listen.size() == 2);
    CHECK(c->server.listen[0] == Listen{"::1", 2587, ListenTls::starttls, false, "2587"});
    CHECK(c->server.listen[1].name == "x");
    CHECK(c->server.state == "/cwd/relative");
    CHECK(c->message.max_size == 1ULL << 20U);
    CHECK(c->message.max_recipients == 5);
    CHECK(c->message.received_client_ip);
    CHECK(c->delivery.retry.first == 10s);
    CHECK(c->delivery.retry.jitter == 0.5);
    CHECK(c->limits.find("transactional")->second.messages.size() == 2);
    REQUIRE(c->limits.contains("my_plan"));
    CHECK(c->limits.find("my_plan")->second.recipients.empty());
    REQUIRE(c->tls.certificates.size() == 1);
    CHECK(c->tls.certificates[0] == Certificate{"/cwd/a.pem", "/a.key"});
    REQUIRE(c->upstream.size() == 2);
    CHECK(c->upstream[0].address.host == "smtp.provider.example");
    CHECK(c->upstream[0].concurrency == 3);
    CHECK(c->upstream[1].name == "fallback");
}

TEST_CASE("brackets and braces in a variable are TOML") {
    World world;
    world.environment = {
        {"POSTERN_AUTH_MECHANISMS", R"(["PLAIN", "LOGIN"])"},
        {"POSTERN_DELIVERY_RETRY", R"({ first = "2s", give_up = "1h", warn_after = "10m" })"},
        {"POSTERN_SERVER_PROXY_FROM", "[]"},
        {"POSTERN_UPSTREAM", R"([{ address = "x.example" }, { address = "y.example" }])"},
        {"POSTERN_UPSTREAM_1_NAME", "second"}};
    const auto c = good(world);
    CHECK(c->auth.mechanisms.size() == 2);
    CHECK(c->delivery.retry.first == 2s);
    CHECK(c->delivery.retry.give_up == 1h);
    REQUIRE(c->upstream.size() == 2);
    CHECK(c->upstream[1].name == "second");
    CHECK(c->upstream[1].address.host == "y.example");
}

TEST_CASE("a value comes from a file by _FILE, less its last newline") {
    World world;
    world.files = {
        {"/run/name", "from.example.net\n"}, {"/cwd/pw", "secret\n\n"}, {"/run/pw", "word\n"}};
    world.environment = {{"POSTERN_SERVER_HOSTNAME_FILE", "/run/name"},
                         {"POSTERN_UPSTREAM_0_USERNAME", "u"},
                         {"POSTERN_UPSTREAM_0_PASSWORD_FILE", "/run/pw"}};
    const auto c = good(world);
    CHECK(c->server.hostname == "from.example.net");
    CHECK(c->upstream[0].password.reveal() == "word");

    world.environment.back().second = "pw";
    CHECK(
        messages(load(least, world)) ==
        std::vector<std::string>{
            "environment POSTERN_UPSTREAM_0_PASSWORD_FILE: upstream.0.password_file: /cwd/pw must "
            "hold the secret on one line"});
    CHECK(bad({{"POSTERN_SERVER_HOSTNAME_FILE", "/gone"}}) ==
          std::vector<std::string>{"environment POSTERN_SERVER_HOSTNAME_FILE: server.hostname: "
                                   "cannot read /gone: No such file or directory"});
    CHECK(bad({{"POSTERN_TLS_KEY_FILE", "/run/name"}}).size() == 1);
}

TEST_CASE("a secret in a variable replaces the file that the configuration names") {
    World world;
    world.environment = {{"POSTERN_UPSTREAM_0_PASSWORD", "direct"}};
    const auto c = good(world, least + "username = \"u\"\npassword_file = \"/gone\"\n");
    CHECK(c->upstream[0].password.reveal() == "direct");
}

TEST_CASE("wrong variables in a known section are errors, others are passed over") {
    CHECK(bad({{"POSTERN_SERVER_HOSTNAM", "x"}}) ==
          std::vector<std::string>{"environment POSTERN_SERVER_HOSTNAM: no key of that name; did "
                                   "you mean POSTERN_SERVER_HOSTNAME?"});
    CHECK(bad({{"POSTERN_DELIVERY_RETRY_FRIST", "x"}}) ==
          std::vector<std::string>{
              "environment POSTERN_DELIVERY_RETRY_FRIST: no key of that name; did you mean "
              "POSTERN_DELIVERY_RETRY_FIRST?"});
    CHECK(bad({{"POSTERN_UPSTREAM_2_ADDRESS", "x"}}) ==
          std::vector<std::string>{"environment POSTERN_UPSTREAM_2_ADDRESS: upstream.2.address: "
                                   "there are 1 entries; the next one is number 1"});
    CHECK(bad({{"POSTERN_MESSAGE_MAX_SIZE", "1"}}) ==
          std::vector<std::string>{
              "environment POSTERN_MESSAGE_MAX_SIZE: message.max_size: \"1\" is no size; write one "
              "like \"25MiB\" (B, KiB, MiB, GiB, TiB)"});
    CHECK(
        bad({{"POSTERN_MESSAGE_MAX_RECIPIENTS", "x"}}) ==
        std::vector<std::string>{
            "environment POSTERN_MESSAGE_MAX_RECIPIENTS: message.max_recipients: \"x\" is no whole "
            "number from 1 to 10000"});
    CHECK(bad({{"POSTERN_SERVER_PROXY_FROM", "[1"}}) ==
          std::vector<std::string>{
              "environment POSTERN_SERVER_PROXY_FROM: server.proxy_from: no TOML value: a list is "
              "[\"a\", \"b\"], a table { key = \"value\" }"});

    World world;
    world.environment = {{"POSTERN_MODE", "x"},
                         {"POSTERN_SERVICE_HOST", "10.0.0.1"},
                         {"POSTERN_SERVER_SERVICE_HOST", "10.0.0.1"},
                         {"POSTERN_SERVER_PORT_587_TCP", "tcp://"},
                         {"POSTERN_SERVER_PORT", "tcp://"},
                         {"POSTERN_CONFIG", "/x"},
                         {"PATH", "/bin"}};
    const auto c = good(world);
    CHECK(c->notices.size() == 5);
}

TEST_CASE("later keys in variables are taken and named") {
    World world;
    world.environment = {{"POSTERN_CONTENT_MODEL", "mine.model"},
                         {"POSTERN_UPSTREAM_0_WEIGHT", "2"},
                         {"POSTERN_ZONE_0_NAME", "xbl.example"},
                         {"POSTERN_LIMITS_GOLD_CUSTOMER_MESSAGES", "1/min"}};
    const auto c = good(world);
    CHECK(c->notices.size() == 3);
    CHECK(c->upstream[0].weight == 2);
    CHECK(bad({{"POSTERN_CONTENT_MODL", "mine.model"}}).size() == 1);
}

TEST_CASE("signatures by variables: a list of words, and a domain in its form") {
    World world;
    world.environment = {{"POSTERN_DKIM_ALGORITHMS", "ed25519"},
                         {"POSTERN_DKIM_DEFAULT_DOMAIN", "M\xc3\xbcller.example"}};
    const auto c = good(world);
    CHECK(c->notices.empty());
    CHECK(c->dkim.algorithms == std::vector{proto::DkimAlgorithm::ed25519});
    CHECK(c->dkim.default_domain == "xn--mller-kva.example");
    world.environment = {{"POSTERN_DKIM_ALGORITHMS", "ed25519,rsa"}};
    CHECK(good(world)->dkim.algorithms ==
          std::vector{proto::DkimAlgorithm::ed25519, proto::DkimAlgorithm::rsa});
    CHECK(bad({{"POSTERN_DKIM_ALGORITM", "rsa"}}).size() == 1);
    CHECK(bad({{"POSTERN_DKIM_ALGORITHMS", "dsa"}}).size() == 1);
}

TEST_CASE("the names of other mail images stand for ours, and ours win") {
    World world;
    world.environment = {{"RELAYHOST", "[smtp.other.example]:2525"},
                         {"RELAYHOST_USERNAME", "u"},
                         {"RELAYHOST_PASSWORD", "p"},
                         {"HOSTNAME", "pod.example.net"},
                         {"ALLOWED_SENDER_DOMAINS", "a.example b.example"}};
    const auto c = good(
        world, least.substr(least.find("[tls]"), least.find("[[upstream]]") - least.find("[tls]")));
    CHECK(c->server.hostname == "pod.example.net");
    REQUIRE(c->upstream.size() == 1);
    CHECK(c->upstream[0].address == Address{"smtp.other.example", 2525});
    CHECK(c->upstream[0].username == "u");
    CHECK(c->upstream[0].password.reveal() == "p");
    CHECK(c->notices.size() == 6);

    world.environment.emplace_back("POSTERN_UPSTREAM_0_ADDRESS", "mine.example");
    CHECK(good(world)->upstream[0].address.host == "mine.example");
    CHECK(good(world)->server.hostname == "smtp.example.net");
}

TEST_CASE("an upstream in the environment makes do without a file") {
    World world;
    world.environment = {{"RELAYHOST", "a.example"},
                         {"POSTERN_SERVER_HOSTNAME", "smtp.example.net"},
                         {"POSTERN_TLS_CERTIFICATE", "/c"},
                         {"POSTERN_TLS_KEY", "/k"}};
    const auto around = world.around();
    const auto loaded =
        relay::config::load("/etc/postern/postern.toml", false, around, Need::everything);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    CHECK(loaded.config->file.empty());
    CHECK_FALSE(
        relay::config::load("/etc/postern/postern.toml", true, around, Need::everything).config);
    world.environment.erase(world.environment.begin());
    CHECK_FALSE(
        relay::config::load("/etc/postern/postern.toml", false, world.around(), Need::everything)
            .config);
}

TEST_CASE("a host name without a dot in HOSTNAME counts for nothing") {
    World world;
    world.environment = {{"HOSTNAME", "4f1c2d"}};
    world.hostname = "relay.example.net";
    CHECK(good(world, least.substr(least.find("[tls]")))->server.hostname == "relay.example.net");
}
