#include "relay/config/reload.hpp"
#include "surroundings.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::config;
using test::least;
using test::load;
using test::messages;

namespace {

const std::string hook = R"([[intake.webhook]]
name = "ses"
format = "ses"
secret = "s3cret"
)";

std::string with_listen(const std::string& listen) {
    return least + "[intake]\nlisten = [" + listen + "]\n";
}

}  // namespace

TEST_CASE("listeners of the intake say where, and what is spoken there") {
    const auto loaded = load(with_listen(
                                 R"("127.0.0.1:2424 lmtp", "[::1]:2525  smtp", "10.1.2.3:8090 http",
 "0.0.0.0:8443 http tls")") + hook);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const Intake& intake = loaded.config->intake;
    CHECK(intake.listen == std::vector<IntakeListen>{
                               {"127.0.0.1", 2424, IntakeSpeech::lmtp},
                               {"::1", 2525, IntakeSpeech::smtp},
                               {"10.1.2.3", 8090, IntakeSpeech::http},
                               {"0.0.0.0", 8443, IntakeSpeech::https},
                           });
    CHECK(intake.listen[1].place() == "[::1]:2525");
    CHECK(intake.from == loopback_networks());
    REQUIRE(intake.webhook.size() == 1);
    CHECK(intake.webhook[0].format == WebhookFormat::ses);
    CHECK(intake.webhook[0].secret.reveal() == "s3cret");
    CHECK(loaded.config->notices == std::vector<std::string>());
}

TEST_CASE("without a word the intake is closed") {
    const auto loaded = load(least);
    REQUIRE(loaded.config);
    CHECK(loaded.config->intake.listen.empty());
    CHECK(loaded.config->intake.webhook.empty());
}

TEST_CASE("a webhook of one's own says by pointers where things stand") {
    test::World world;
    world.files["/run/secret"] = "s3cret\n";
    const auto loaded = load(with_listen("\"127.0.0.1:8090 http\"") + R"([[intake.webhook]]
name = "our-own-2"
map = { rcpt = "/mail/to", kind = "" }
secret_file = "/run/secret"
)",
                             world);
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const Webhook& webhook = loaded.config->intake.webhook.at(0);
    CHECK(webhook.format == WebhookFormat::own);
    CHECK(webhook.map == std::map<std::string, std::string>{{"kind", ""}, {"rcpt", "/mail/to"}});
    CHECK(webhook.secret.reveal() == "s3cret");
}

TEST_CASE("what is wrong with an intake is said, and what would be right") {
    struct Wrong {
        std::string text;
        std::string message;
    };
    const std::string place = "\"127.0.0.1:8090 http\"";
    const std::string http = with_listen(place);
    const Wrong table[] = {
        {with_listen("\"127.0.0.1:2424\""), "says neither lmtp, smtp, http nor http tls"},
        {with_listen("\"127.0.0.1:2424 lmtp tls\""), "says neither lmtp, smtp, http nor http tls"},
        {with_listen("\"localhost:2424 lmtp\""), "is no address and port"},
        {with_listen("\"127.0.0.1 lmtp\""), "is no address and port"},
        {with_listen("\"0.0.0.0:8090 http\""), "would take secrets in the clear"},
        {with_listen("\"192.0.2.1:8090 http\""), "would take secrets in the clear"},
        {with_listen(place + ", " + place), "is listed twice"},
        {with_listen("\"[::]:587 smtp\""), "is listened on by [server] already"},
        {http + "[[intake.webhook]]\nformat = \"ses\"\nsecret = \"x\"\n",
         "intake.webhook.0.name: not set"},
        {http + "[[intake.webhook]]\nname = \"Ses\"\nformat = \"ses\"\nsecret = \"x\"\n",
         "is no name of a webhook"},
        {http + "[[intake.webhook]]\nname = \"a/b\"\nformat = \"ses\"\nsecret = \"x\"\n",
         "is no name of a webhook"},
        {http + hook + hook, "is the name of another webhook"},
        {http + "[[intake.webhook]]\nname = \"ses\"\nsecret = \"x\"\n",
         "intake.webhook.0.format: not set"},
        {http + "[[intake.webhook]]\nname = \"ses\"\nformat = \"ses\"\n",
         "intake.webhook.0.secret_file: not set"},
        {http + "[[intake.webhook]]\nname = \"ses\"\nformat = \"ses\"\nsecret = \"\"\n",
         "intake.webhook.0.secret: is empty"},
        {http + hook + "map = { rcpt = \"/to\" }\n", "is for services that have no format"},
        {http + "[[intake.webhook]]\nname = \"x\"\nmap = { rcpt = \"to\" }\nsecret = \"x\"\n",
         "intake.webhook.0.map.rcpt: \"to\" is no JSON pointer"},
        {http + "[[intake.webhook]]\nname = \"x\"\nmap = { rcpt = \"/a~2\" }\nsecret = \"x\"\n",
         "is no JSON pointer"},
    };
    for (const Wrong& wrong : table) {
        const auto loaded = load(wrong.text);
        const auto all = messages(loaded);
        CAPTURE(wrong.text, all);
        CHECK_FALSE(loaded.config);
        REQUIRE(all.size() == 1);
        CHECK(all[0].find(wrong.message) != std::string::npos);
        CHECK(all[0].find("s3cret") == std::string::npos);
    }
}

TEST_CASE("what stands open, or is of no use, is said") {
    const auto open = load(with_listen("\"0.0.0.0:2424 lmtp\""));
    REQUIRE(open.config);
    REQUIRE(open.config->notices.size() == 1);
    CHECK(open.config->notices[0].find("can be reached from outside") != std::string::npos);

    const auto idle = load(with_listen("\"127.0.0.1:2424 lmtp\"") + hook);
    REQUIRE(idle.config);
    REQUIRE(idle.config->notices.size() == 1);
    CHECK(idle.config->notices[0].find("cannot be called") != std::string::npos);
}

TEST_CASE("a reload takes a new secret and nothing else of the intake") {
    const std::string before = with_listen("\"127.0.0.1:8090 http\"") + hook;
    const auto a = load(before);
    const auto restarts = [&](const std::string& text) {
        const auto b = load(text);
        REQUIRE(b.config);
        return needing_restart(differences(*a.config, *b.config));
    };
    std::string other = before;
    other.replace(other.find("s3cret"), 6, "fresh");
    CHECK(restarts(other).empty());
    CHECK(restarts(with_listen("\"127.0.0.1:8091 http\"") + hook) ==
          std::vector<std::string>{"intake.listen"});
    CHECK(restarts(with_listen("\"127.0.0.1:8090 http\"")) ==
          std::vector<std::string>{"intake.webhook"});
    CHECK(restarts(with_listen("\"127.0.0.1:8090 http\"") + "from = [\"10.0.0.0/8\"]\n" + hook) ==
          std::vector<std::string>{"intake.from"});
}
