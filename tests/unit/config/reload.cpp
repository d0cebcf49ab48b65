#include "relay/config/reload.hpp"

#include "surroundings.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::config;
using test::least;
using test::load;
using test::World;

namespace {

std::vector<std::string> keys(const std::vector<Difference>& all) {
    std::vector<std::string> out;
    for (const auto& one : all) out.push_back(one.key);
    return out;
}

ConfigPtr config(const std::string& text) {
    World world;
    world.files["/pw"] = "one\n";
    world.files["/pw2"] = "two\n";
    const auto loaded = load(text, world);
    REQUIRE(loaded.config);
    return loaded.config;
}

}  // namespace

TEST_CASE("equal configurations differ in nothing") {
    CHECK(differences(*config(least), *config(least)).empty());
}

TEST_CASE("what needs a restart is named, all else is classed by when it takes effect") {
    const auto running = config(least);
    const auto wanted = config(
        "[server]\nhostname = \"other.example.net\"\nlisten = [\"[::1]:2587 starttls\"]\ndrain = "
        "\"1s\"\n"
        "[tls]\ncertificate = \"/other.pem\"\nkey = \"/k.pem\"\n"
        "[[upstream]]\naddress = \"smtp.provider.example\"\nconcurrency = 2\n"
        "[limits.gold]\nmessages = []\n[delivery]\nretry = { first = \"2m\" }\n[spool]\npath = "
        "\"/x\"\n");
    const auto all = differences(*running, *wanted);
    CHECK(keys(all) == std::vector<std::string>{"server.hostname", "server.listen", "server.drain",
                                                "tls.certificate", "delivery.retry.first",
                                                "spool.path", "upstream.0.concurrency",
                                                "limits.gold"});
    CHECK(needing_restart(all) ==
          std::vector<std::string>{"server.hostname", "server.listen", "spool.path"});
    CHECK(all[2].reload == Reload::live);
    CHECK(all[3].reload == Reload::connection);
}

TEST_CASE("another back-end, or another way to it, needs a restart") {
    const auto sasldb = [](const std::string& more) {
        return config(least + "[auth]\nbackend = \"sasldb\"\n" + more);
    };
    const std::string options = "[auth.options]\n";
    CHECK(needing_restart(differences(*config(least), *sasldb(""))) ==
          std::vector<std::string>{"auth.backend"});
    CHECK(needing_restart(differences(
              *sasldb(options + "sasldb_path = \"/a\"\ntimeout = \"1s\"\nconnections = 1\n"),
              *sasldb(options + "sasldb_path = \"/b\"\ntimeout = \"2s\"\nconnections = 2\n"))) ==
          std::vector<std::string>{"auth.options.timeout", "auth.options.connections",
                                   "auth.options.sasldb_path"});
}

TEST_CASE("a changed secret is a difference, and an added upstream is one") {
    const auto one = config(least + "username = \"u\"\npassword_file = \"/pw\"\n");
    const auto two = config(least + "username = \"u\"\npassword_file = \"/pw2\"\n");
    CHECK(keys(differences(*one, *two)) == std::vector<std::string>{"upstream.0.password"});
    CHECK(keys(differences(
              *one,
              *config(least + "username = \"u\"\npassword_file = \"/pw\"\n[[upstream]]\naddress = "
                              "\"b.example\"\n"))) == std::vector<std::string>{"upstream"});
}
