#include <algorithm>
#include <fstream>
#include <sstream>

#include "relay/config/reload.hpp"
#include "surroundings.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::config;
using namespace std::chrono_literals;
using test::least;
using test::load;
using test::messages;
using test::World;

TEST_CASE("the least configuration loads and has the documented defaults") {
    const auto loaded = load(least);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    REQUIRE(loaded.config);
    const Config& c = *loaded.config;
    CHECK(c.file == "/etc/p.toml");
    CHECK(c.server.hostname == "smtp.example.net");
    CHECK(c.server.state == "/var/lib/postern");
    REQUIRE(c.server.listen.size() == 2);
    CHECK(c.server.listen[0] == Listen{"::", 587, ListenTls::starttls, false, "587"});
    CHECK(c.server.listen[1] == Listen{"::", 465, ListenTls::implicit, false, "465"});
    CHECK(c.admin_socket() == "/var/lib/postern/admin.sock");
    CHECK(c.server.contact == "postmaster@example.net");
    CHECK(c.server.abuse_contact == "postmaster@example.net");
    CHECK(c.server.drain == 8s);
    CHECK(c.resources.max_connections == 16000);
    CHECK(c.resources.body_memory == 512ULL << 20U);
    CHECK(c.message.max_size == 25ULL << 20U);
    CHECK(c.message.max_recipients == 100);
    CHECK(c.message.bare_newline == BareNewline::reject);
    CHECK(c.message.trace_retention == 24h * 90);
    CHECK(c.auth.mechanisms ==
          std::vector<std::string>{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"});
    CHECK_FALSE(c.auth.scram_beside_crypt);
    CHECK(c.auth.failure_floor == 500ms);
    CHECK(c.delivery.mode == DeliveryMode::cut_through);
    CHECK(c.delivery.cut_through_deadline == 20s);
    CHECK(c.delivery.retry.give_up == 24h * 4);
    CHECK(c.spool.path == "/var/lib/postern/spool");
    REQUIRE(c.upstream.size() == 1);
    CHECK(c.upstream[0].name == "primary");
    CHECK(c.upstream[0].address == Address{"smtp.provider.example", 587});
    CHECK_FALSE(c.upstream[0].implicit_tls);
    CHECK(c.upstream[0].tls == UpstreamTls::verify);
    REQUIRE(c.limits.contains("transactional"));
    CHECK(c.limits.find("transactional")->second == policy::PlanLimits::transactional());
    CHECK(c.log.target == LogTarget{});
    CHECK(c.notices.empty());
}

TEST_CASE("every key of the first capability is read") {
    World world;
    world.files["/etc/secret"] = "s3cret\n";
    const auto loaded = load(R"(
[server]
hostname = "SMTP.Example.NET"
state = "state"
listen = ["0.0.0.0:2587 starttls proxy name=office", "[::1]:2465 tls"]
proxy_from = "192.0.2.0/24"
admin = ["127.0.0.1:8025", "unix:run/admin.sock"]
metrics_from = ["2001:db8::/32", "192.0.2.7"]
user = "mail"
contact = "help@example.net"
abuse_contact = "abuse@example.net"
threads = 4
drain = "30s"
[tls]
certificate = "c.pem"
key = "k.pem"
certificates = [{ certificate = "a.pem", key = "a.key" }, { certificate = "/b.pem", key = "/b.key" }]
[resources]
max_connections = 10
max_connections_per_source = 5
max_connections_per_account = 6
body_memory = "1GiB"
[message]
max_size = "10MiB"
max_recipients = 7
bare_newline = "normalize"
received_client_ip = true
return_path = "keep"
trace_retention = "30d"
[auth]
mechanisms = ["plain", "LOGIN", "PLAIN"]
backend = "embedded"
scram_iterations = 10000
scram_beside_crypt = true
failure_floor = "2s"
credential_separator = "#"
[delivery]
mode = "spool"
cut_through_deadline = "1500ms"
retry = { first = "30s", factor = 3, max = "1h", jitter = 0.5, give_up = "2d", warn_after = "1h" }
[spool]
path = "/fast/spool"
reserve = "1GiB"
[[upstream]]
address = "[2001:db8::1]:465"
username = "relay"
password_file = "secret"
concurrency = 3
ca = "ca.pem"
[[upstream]]
name = "other"
role = "fallback"
address = "127.0.0.1:25"
tls = "none"
[[upstream]]
role = "fallback"
address = "smtp2.example:2525"
tls = "none"
insecure = true
[limits.gold]
messages = "600/min"
[limits.transactional]
messages = []
recipients = ["9/10min", "1000/day"]
[rules]
sender_ownership = "observe"
header_from = "off"
login_guard = "enforce"
limits = "observe"
[dns]
resolvers = ["192.0.2.53", "[2001:db8::53]:5353"]
[log]
target = "file:/var/log/postern"
level = "debug"
event_retention = "7d"
)",
                             world);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const Config& c = *loaded.config;
    CHECK(c.server.hostname == "smtp.example.net");
    CHECK(c.server.state == "/etc/state");
    REQUIRE(c.server.listen.size() == 2);
    CHECK(c.server.listen[0] == Listen{"0.0.0.0", 2587, ListenTls::starttls, true, "office"});
    CHECK(c.server.listen[1] == Listen{"::1", 2465, ListenTls::implicit, false, "2465"});
    REQUIRE(c.server.proxy_from.size() == 1);
    CHECK(c.server.proxy_from[0].contains("192.0.2.200"));
    CHECK_FALSE(c.server.proxy_from[0].contains("192.0.3.1"));
    REQUIRE(c.server.admin.size() == 2);
    CHECK(c.server.admin[0] == AdminListen{"", "127.0.0.1", 8025});
    CHECK(c.admin_socket() == "/etc/run/admin.sock");
    CHECK(c.server.user == "mail");
    CHECK(c.server.contact == "help@example.net");
    CHECK(c.server.abuse_contact == "abuse@example.net");
    CHECK(c.server.threads == 4);
    CHECK(c.server.drain == 30s);
    REQUIRE(c.tls.all().size() == 3);
    CHECK(c.tls.all()[0] == Certificate{"/etc/c.pem", "/etc/k.pem"});
    CHECK(c.tls.all()[1] == Certificate{"/etc/a.pem", "/etc/a.key"});
    CHECK(c.tls.all()[2] == Certificate{"/b.pem", "/b.key"});
    CHECK(c.message.max_size == 10ULL << 20U);
    CHECK(c.message.bare_newline == BareNewline::normalize);
    CHECK(c.message.received_client_ip);
    CHECK(c.auth.mechanisms == std::vector<std::string>{"PLAIN", "LOGIN"});
    CHECK(c.auth.scram_iterations == 10000);
    CHECK(c.auth.scram_beside_crypt);
    CHECK(c.auth.failure_floor == 2s);
    CHECK(c.auth.credential_separator == "#");
    CHECK(c.delivery.mode == DeliveryMode::spool);
    CHECK(c.delivery.cut_through_deadline == 1500ms);
    CHECK(c.delivery.retry.factor == 3.0);
    CHECK(c.delivery.retry.give_up == 48h);
    CHECK(c.spool.path == "/fast/spool");
    CHECK(c.spool.reserve == 1ULL << 30U);
    REQUIRE(c.upstream.size() == 3);
    CHECK(c.upstream[0].address == Address{"2001:db8::1", 465});
    CHECK(c.upstream[0].implicit_tls);
    CHECK(c.upstream[0].username == "relay");
    CHECK(c.upstream[0].password.reveal() == "s3cret");
    CHECK(c.upstream[0].password_file == "/etc/secret");
    CHECK(c.upstream[0].ca == "/etc/ca.pem");
    CHECK(c.upstream[0].concurrency == 3);
    CHECK(c.upstream[1].name == "other");
    CHECK(c.upstream[1].role == UpstreamRole::fallback);
    CHECK(c.upstream[1].tls == UpstreamTls::none);
    CHECK(c.upstream[2].name == "fallback2");
    CHECK(c.limits.find("gold")->second.messages.size() == 1);
    CHECK(c.limits.find("gold")->second.recipients ==
          policy::PlanLimits::transactional().recipients);
    CHECK(c.limits.find("transactional")->second.messages.empty());
    CHECK(c.limits.find("transactional")->second.recipients.size() == 2);
    CHECK(c.rules.sender_ownership == Mode::observe);
    CHECK(c.rules.header_from == Mode::off);
    CHECK(c.dns.resolvers == std::vector<std::string>{"192.0.2.53", "[2001:db8::53]:5353"});
    CHECK(c.log.target == LogTarget{LogKind::file, "/var/log/postern"});
    CHECK(c.log.level == relay::event::Level::debug);
}

TEST_CASE("the sample file is the defaults, and its keys all exist") {
    std::ifstream in(std::string(POSTERN_SOURCE_DIR) + "/deploy/postern.toml");
    std::stringstream text;
    text << in.rdbuf();
    REQUIRE_FALSE(text.str().empty());
    const auto sample = load(text.str());
    REQUIRE(messages(sample) == std::vector<std::string>());
    CHECK(sample.config->notices == std::vector<std::string>());

    SECTION("each commented key, set, is taken") {
        std::string all;
        std::istringstream lines(text.str());
        for (std::string line; std::getline(lines, line);) {
            // "#key = value" and "#[section]"; "# words" are explanations.
            const bool key = line.size() > 1 && line[0] == '#' && line[1] != ' ' && line[1] != '#';
            all += key ? line.substr(1) + "\n" : line + "\n";
        }
        World world;
        world.files["/etc/postern/upstream-password"] = "x\n";
        world.files["/etc/postern/fallback-password"] = "x\n";
        world.files["/etc/postern/oauth-secret"] = "x\n";
        world.files["/etc/postern/oauth-token"] = "x\n";
        const auto full = load(all, world);
        CHECK(messages(full) == std::vector<std::string>());
        REQUIRE(full.config);
        CHECK(full.config->notices == std::vector<std::string>());

        // What stands there as a default is the default; the rest has none and is an example.
        std::vector<std::string> examples;
        for (const Difference& d : differences(*sample.config, *full.config))
            examples.push_back(d.key);
        CHECK(examples == std::vector<std::string>{"server.admin",
                                                   "server.user",
                                                   "server.contact",
                                                   "server.abuse_contact",
                                                   "tls.certificates",
                                                   "auth.oauth.issuer",
                                                   "auth.oauth.audience",
                                                   "auth.oauth.jwks",
                                                   "auth.external.ca",
                                                   "auth.external.crl",
                                                   "upstream.0.ca",
                                                   "upstream.0.username",
                                                   "upstream.0.password",
                                                   "upstream.0.mechanism",
                                                   "upstream.0.oauth.token_url",
                                                   "upstream.0.oauth.client_id",
                                                   "upstream.0.oauth.client_secret",
                                                   "upstream.0.oauth.refresh_token",
                                                   "upstream.0.source_address",
                                                   "route",
                                                   "dkim.default_domain"});
    }
}

TEST_CASE("where the keys of tokens are: a URL in its parts, or a file") {
    const auto place = [](const std::string& jwks) {
        const auto loaded = load(least + R"([auth]
mechanisms = ["PLAIN", "oauthbearer"]
[auth.oauth]
issuer = "https://a.example/"
audience = "smtp"
jwks = ")" + jwks + "\"\n");
        REQUIRE(messages(loaded) == std::vector<std::string>());
        CHECK(loaded.config->takes_tokens());
        CHECK(loaded.config->auth.oauth.claim == "email");
        return loaded.config->auth.oauth.jwks;
    };
    CHECK(place("https://A.example/jwks?v=1") ==
          KeySetPlace{"https://A.example/jwks?v=1", "a.example", 443, "/jwks?v=1", false, ""});
    CHECK(place("HTTPS://a.example:8443") ==
          KeySetPlace{"https://a.example:8443", "a.example", 8443, "/", false, ""});
    CHECK(place("https://[2001:db8::1]?x") ==
          KeySetPlace{"https://[2001:db8::1]?x", "2001:db8::1", 443, "/?x", false, ""});
    CHECK(place("http://127.0.0.1:8080/k") ==
          KeySetPlace{"http://127.0.0.1:8080/k", "127.0.0.1", 8080, "/k", true, ""});
    CHECK(place("http://localhost/k").port == 80);
    CHECK(place("keys.json") == KeySetPlace{"", "", 443, "", false, "/etc/keys.json"});
    CHECK_FALSE(load(least).config->takes_tokens());
}

TEST_CASE("a listener may offer mechanisms of its own, in place of the list for all") {
    const auto loaded = load(R"([server]
hostname = "smtp.example.net"
listen = ["[::]:587 starttls", "[::]:465 tls mechanisms=external+PLAIN+plain", "[::]:2587 starttls mechanisms=LOGIN"]
)" + least.substr(least.find("[tls]")));
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const Config& c = *loaded.config;
    CHECK(c.mechanisms_of(c.server.listen[0]) == c.auth.mechanisms);
    CHECK(c.mechanisms_of(c.server.listen[1]) == std::vector<std::string>{"EXTERNAL", "PLAIN"});
    CHECK(c.mechanisms_of(c.server.listen[2]) == std::vector<std::string>{"LOGIN"});
    CHECK(c.offers("EXTERNAL"));
    CHECK(c.offers("SCRAM-SHA-256"));
    CHECK_FALSE(c.offers("SCRAM-SHA-1"));
    // Where every listener has its own, the list for all is nobody's.
    const auto own = load(R"([server]
hostname = "smtp.example.net"
listen = ["[::]:465 tls mechanisms=PLAIN"]
)" + least.substr(least.find("[tls]")));
    REQUIRE(own.config);
    CHECK_FALSE(own.config->offers("SCRAM-SHA-256"));
}

TEST_CASE("a back-end has its options, and offers what it can serve where nothing else is named") {
    World world;
    world.files["/etc/secret"] = "s3cret\n";
    const auto loaded = load(least + R"([auth]
backend = "sql"
[auth.options]
timeout = "2s"
connections = 3
sql_engine = "pgsql"
sql_hostnames = "/run/postgresql,db.example.net:5433"
sql_user = "postern"
sql_passwd_file = "secret"
sql_database = "mail"
sql_select = "SELECT p FROM u WHERE n = '%u' AND d = '%r'"
sql_usessl = true
sasldb_path = "/etc/sasldb2"
)",
                             world);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const Auth& auth = loaded.config->auth;
    CHECK(auth.backend == AuthBackend::sql);
    CHECK(auth.options.timeout == 2s);
    CHECK(auth.options.connections == 3);
    CHECK(auth.options.sql_engine == SqlEngine::pgsql);
    CHECK(auth.options.sql_hostnames == "/run/postgresql,db.example.net:5433");
    CHECK(auth.options.sql_user == "postern");
    CHECK(auth.options.sql_passwd.reveal() == "s3cret");
    CHECK(auth.options.sql_database == "mail");
    CHECK(auth.options.sql_usessl);
    CHECK(loaded.config->notices ==
          std::vector<std::string>{
              "/etc/p.toml:20: auth.options.sasldb_path: has no effect: it is of the back-end "
              "\"sasldb\", and auth.backend is \"sql\""});

    struct Row {
        const char* backend;
        std::vector<std::string> mechanisms;
    };
    const std::vector<std::string> plain{"PLAIN", "LOGIN"};
    const std::vector<std::string> all{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"};
    for (const Row& row : {Row{"embedded", all}, Row{"saslauthd", plain}, Row{"sasldb", all}}) {
        const auto one = load(least + "[auth]\nbackend = \"" + row.backend + "\"\n");
        REQUIRE(messages(one) == std::vector<std::string>());
        CHECK(one.config->auth.mechanisms == row.mechanisms);
        CHECK(one.config->auth.options.saslauthd_path == "/run/saslauthd/mux");
    }
    const auto wrong = load(
        "[server]\nhostname = \"smtp.example.net\"\n"
        "listen = [\"[::]:465 tls mechanisms=EXTERNAL+SCRAM-SHA-256\"]\n" +
        least.substr(least.find("[tls]")) +
        "[auth]\nbackend = \"ldapdb\"\n"
        "options = { ldapdb_uri = \"ldapi:///\", ldapdb_id = \"p\", ldapdb_mech = \"PLAIN\" }\n");
    CHECK(messages(wrong) ==
          std::vector<std::string>{
              "/etc/p.toml:3: server.listen: \"SCRAM-SHA-256\" cannot be served by the back-end "
              "\"ldapdb\", which never shows what it needs; write \"PLAIN\" or \"LOGIN\""});
    const auto named = load(least + "[auth]\nbackend = \"saslauthd\"\nmechanisms = [\"LOGIN\"]\n");
    REQUIRE(messages(named) == std::vector<std::string>());
    CHECK(named.config->auth.mechanisms == std::vector<std::string>{"LOGIN"});
}

TEST_CASE("keys of a later version are taken, have no effect and are named") {
    const auto loaded = load(least + R"(pin = "sha256//x"
[intake]
listen = []
[profile]
ramp = "14d"
[first_account]
owns = ["a.example"]
[alerts]
queue_age = "1h"
[rules]
content = "off"
)");
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const auto& notices = loaded.config->notices;
    const auto told = [&](const std::string& line) {
        return std::ranges::find(notices,
                                 line + " belongs to a later version and has no effect yet") !=
               notices.end();
    };
    CHECK(notices.size() == 6);
    CHECK(told("/etc/p.toml:8: upstream.0.pin:"));
    CHECK(told("/etc/p.toml:9: intake:"));
    CHECK(told("/etc/p.toml:12: profile:") == false);
    CHECK(told("/etc/p.toml:11: profile:"));
    CHECK(told("/etc/p.toml:13: first_account:"));
    CHECK(told("/etc/p.toml:18: rules.content:"));
}

TEST_CASE("what only serving needs is not asked of other commands") {
    World world;
    const auto loaded =
        load("[[upstream]]\naddress = \"a.example\"\nusername = \"u\"\npassword_file = \"/gone\"\n",
             world, Need::a_file);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    CHECK(loaded.config->upstream[0].password.empty());

    const auto surroundings = world.around();
    CHECK(relay::config::load("/etc/postern/postern.toml", false, surroundings, Need::nothing)
              .config);
    CHECK_FALSE(
        relay::config::load("/etc/postern/postern.toml", false, surroundings, Need::a_file).config);
    CHECK_FALSE(
        relay::config::load("/etc/postern/postern.toml", true, surroundings, Need::nothing).config);
}

TEST_CASE("the file is chosen by option, variable, then place") {
    World world;
    CHECK(choose_file("", world.around()) == "/etc/postern/postern.toml");
    world.environment = {{"POSTERN_CONFIG", "/x.toml"}};
    CHECK(choose_file("", world.around()) == "/x.toml");
    CHECK(choose_file("/y.toml", world.around()) == "/y.toml");
}

TEST_CASE("plain mail to an upstream goes to near networks alone, or where it is said") {
    Upstream u;
    CHECK(may_go_plain(u, "127.0.0.1"));
    CHECK(may_go_plain(u, "::1"));
    CHECK(may_go_plain(u, "10.1.2.3"));
    CHECK(may_go_plain(u, "::ffff:192.168.0.1"));
    CHECK(may_go_plain(u, "fd00::1"));
    CHECK_FALSE(may_go_plain(u, "192.0.2.1"));
    CHECK_FALSE(may_go_plain(u, "2001:db8::1"));
    CHECK_FALSE(may_go_plain(u, "no address"));
    u.insecure = true;
    CHECK(may_go_plain(u, "192.0.2.1"));
}

TEST_CASE("networks hold what is in them") {
    CHECK(Network::parse("192.0.2.0/24")->contains("192.0.2.255"));
    CHECK(Network::parse("192.0.2.0/24")->contains("::ffff:192.0.2.9"));
    CHECK_FALSE(Network::parse("::/0")->contains("192.0.2.9"));
    CHECK(Network::parse("0.0.0.0/0")->contains("192.0.2.9"));
    CHECK_FALSE(Network::parse("0.0.0.0/0")->contains("2001:db8::1"));
    CHECK(Network::parse("2001:db8::/33")->contains("2001:db8:7fff::1"));
    CHECK_FALSE(Network::parse("2001:db8::/33")->contains("2001:db8:8000::1"));
    CHECK(Network::parse("192.0.2.7")->text() == "192.0.2.7");
    CHECK(Network::parse("2001:DB8::/32")->text() == "2001:db8::/32");
    for (const char* wrong : {"", "x", "192.0.2.0/33", "192.0.2.1/24", "192.0.2.0/", "192.0.2.0/-1",
                              "::/129", "1.2.3"}) {
        CAPTURE(wrong);
        CHECK_FALSE(Network::parse(wrong));
    }
}
