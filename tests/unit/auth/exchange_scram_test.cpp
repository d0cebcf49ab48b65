#include <fstream>

#include "login_bench.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::LoginBench;
using test::outcome;
using test::run_scram;
using test::says;
using test::ScramClient;

const std::string exporter(32, 'e');
const std::string end_point("\0point\xFF", 7);

StepResult scram(const LoginBench& bench, const std::string& mechanism, ScramClient client) {
    return run_scram(*bench.begin(mechanism), client);
}

TEST_CASE("SCRAM-SHA-256 lets in who knows the password, where -PLUS is not offered") {
    const LoginBench bench;
    const auto log_in = [&](std::string name, std::string password) {
        ExchangeContext context = LoginBench::context("SCRAM-SHA-256");
        context.offered = {"SCRAM-SHA-256", "PLAIN"};
        ScramClient client{.name = std::move(name), .password = std::move(password), .binding = {}};
        return outcome(run_scram(*bench.server->begin(context), client));
    };
    CHECK(log_in("ann@example.net", "pencil") == "success ann@example.net");
    CHECK(log_in("ANN@EXAMPLE.NET", "pencil") == "success ann@example.net");
    CHECK(log_in("ann@example.net",
                 "p\xC2\xAD"
                 "encil") == "success ann@example.net");
    CHECK(log_in("ann@example.net", "Pencil") == "bad_credentials");
    CHECK(log_in("nobody@example.net", "pencil") == "bad_credentials");
    CHECK(log_in("nopass@example.net", "pencil") == "bad_credentials");
    CHECK(log_in("sue@example.net", "pencil") == "suspended");
    CHECK(log_in("sue@example.net", "eraser") == "bad_credentials");
    CHECK(log_in(" ann@example.net", "pencil") == "bad_credentials");
    CHECK(log_in("ann@example.net ", "pencil") == "bad_credentials");
    CHECK(log_in("ann,=@example.net", "pencil") == "bad_credentials");
}

TEST_CASE("SCRAM-SHA-256-PLUS takes each binding that is to be had") {
    const LoginBench bench;
    CHECK(outcome(scram(bench, "SCRAM-SHA-256-PLUS",
                        {"ann@example.net", "pencil", "p=tls-exporter,,", exporter})) ==
          "success ann@example.net");
    CHECK(outcome(scram(bench, "SCRAM-SHA-256-PLUS",
                        {"ann@example.net", "pencil", "p=tls-server-end-point,,", end_point})) ==
          "success ann@example.net");
    CHECK(outcome(scram(bench, "SCRAM-SHA-256-PLUS",
                        {"ann@example.net", "pencil", "p=tls-exporter,a=ann@example.net,",
                         exporter})) == "success ann@example.net");
    CHECK(outcome(scram(bench, "SCRAM-SHA-256-PLUS",
                        {"sue@example.net", "pencil", "p=tls-exporter,,", exporter})) ==
          "suspended");
    CHECK(outcome(scram(bench, "SCRAM-SHA-256-PLUS",
                        {"ann@example.net", "wrong", "p=tls-exporter,,", exporter})) ==
          "bad_credentials");
}

TEST_CASE("lying flags and foreign bindings are refused, with the right password too") {
    const LoginBench bench;
    struct Row {
        const char* what;
        std::string mechanism;
        std::string gs2;
        std::string binding;
        const char* expected;
    };
    const Row rows[] = {
        {"y where -PLUS is offered", "SCRAM-SHA-256", "y,,", "", "bad_credentials"},
        {"n with -PLUS", "SCRAM-SHA-256-PLUS", "n,,", "", "bad_credentials"},
        {"y with -PLUS", "SCRAM-SHA-256-PLUS", "y,,", "", "bad_credentials"},
        {"p without -PLUS", "SCRAM-SHA-256", "p=tls-exporter,,", exporter, "bad_credentials"},
        {"unknown binding", "SCRAM-SHA-256-PLUS", "p=tls-imaginary,,", exporter, "bad_credentials"},
        {"binding not to be had", "SCRAM-SHA-256-PLUS", "p=tls-unique,,", exporter,
         "bad_credentials"},
        {"somebody else's TLS", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", std::string(32, 'x'),
         "bad_credentials"},
        {"binding cut short", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", std::string(31, 'e'),
         "bad_credentials"},
        {"binding too long", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", std::string(33, 'e'),
         "bad_credentials"},
        {"binding left out", "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", "", "bad_credentials"},
        {"end-point cut at its NUL", "SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", "",
         "bad_credentials"},
        {"octets behind n", "SCRAM-SHA-256", "n,,", exporter, "bad_credentials"},
    };
    for (const Row& row : rows) {
        INFO(row.what);
        const StepResult result =
            scram(bench, row.mechanism, {"ann@example.net", "pencil", row.gs2, row.binding});
        CHECK(outcome(result) == row.expected);
    }
}

TEST_CASE("the gs2 header that is sent must be the one that is signed") {
    const LoginBench bench;
    const auto exchange = bench.begin("SCRAM-SHA-256");
    ScramClient client{.name = "ann@example.net", .password = "pencil", .binding = {}};
    const StepResult challenge = exchange->step(says(client.first()));
    client.gs2 = "y,,";
    CHECK(outcome(exchange->step(says(client.final(std::get<Challenge>(challenge).octets)))) ==
          "bad_credentials");
}

TEST_CASE("flag y is right where -PLUS is not offered") {
    const LoginBench bench;
    ExchangeContext context = LoginBench::context("SCRAM-SHA-256");
    context.offered = {"SCRAM-SHA-256"};
    ScramClient client{
        .name = "ann@example.net", .password = "pencil", .gs2 = "y,,", .binding = {}};
    CHECK(outcome(run_scram(*bench.server->begin(context), client)) == "success ann@example.net");
}

TEST_CASE("SCRAM's authorization identity must be one's own or granted") {
    const LoginBench bench;
    const auto as = [&](const std::string& gs2) {
        return scram(bench, "SCRAM-SHA-256", {"ann@example.net", "pencil", gs2, {}});
    };
    CHECK(outcome(as("n,a=Ann@example.net,")) == "success ann@example.net");
    CHECK(outcome(as("n,a=bob@example.net,")) == "bad_credentials");
    AccountChange change;
    change.authzids = {"bob@example.net"};
    REQUIRE(bench.store->set("ann@example.net", change, test::noon).has_value());
    const StepResult granted = as("n,a=bob@example.net,");
    REQUIRE(outcome(granted) == "success ann@example.net");
    CHECK(std::get<Success>(granted).identity.authzid == "bob@example.net");
}

TEST_CASE("an unknown user is answered like a known one, always with the same salt") {
    const LoginBench bench;
    const auto challenge_to = [&](std::string name) {
        ScramClient client{.name = std::move(name), .password = "x", .binding = {}};
        const StepResult result = bench.begin("SCRAM-SHA-256")->step(says(client.first()));
        client.server_first = std::get<Challenge>(result).octets;
        return std::pair(client.field('s'), client.field('i'));
    };
    const auto known = challenge_to("ann@example.net");
    const auto unknown = challenge_to("nobody@example.net");
    CHECK(known.first.size() == unknown.first.size());
    CHECK(known.second == unknown.second);
    CHECK(unknown == challenge_to("NOBODY@example.net"));
    CHECK(unknown != challenge_to("somebody@example.net"));
    CHECK(challenge_to("nopass@example.net").second == known.second);
}

TEST_CASE("malformed SCRAM messages are syntax errors") {
    const LoginBench bench;
    for (const std::string_view row :
         {""sv, "n"sv, "n,,"sv, "n,,n=,r=abc"sv, "n,,n=a\0b,r=abc"sv, "n,,n=a=b,r=abc"sv,
          "n,,m=x,n=ann,r=abc"sv, "n,,n=\xC3,r=abc"sv, "n,,n=ann@example.net,r="sv, "garbage"sv})
        CHECK(outcome(bench.begin("SCRAM-SHA-256")->step(says(row))) == "malformed");
    for (const std::string_view row : {""sv, "c=biws"sv, "c=biws,r=x"sv, "c=biws,r=x,p="sv,
                                       "c=b\0ws,r=x,p=AAAA"sv, "garbage"sv}) {
        const auto exchange = bench.begin("SCRAM-SHA-256");
        ScramClient client{.name = "ann@example.net", .password = "pencil", .binding = {}};
        REQUIRE(std::holds_alternative<Challenge>(exchange->step(says(client.first()))));
        CHECK(outcome(exchange->step(says(row))) == "malformed");
    }
    for (const std::string_view row :
         {"c=biws,r=otherNonce,p=AAAA"sv, "c=AAAA,r=rOprNGfwEbeRWgbNEkqO,p=AAAA"sv}) {
        const auto exchange = bench.begin("SCRAM-SHA-256");
        ScramClient client{.name = "ann@example.net", .password = "pencil", .binding = {}};
        REQUIRE(std::holds_alternative<Challenge>(exchange->step(says(client.first()))));
        CHECK(outcome(exchange->step(says(row))) == "bad_credentials");
    }
}

TEST_CASE("names and nonces of any length are answered or refused, and nothing else") {
    const LoginBench bench;
    for (const std::size_t size : {1UL, 255UL, 1023UL, 1024UL, 1025UL, 9000UL}) {
        ScramClient client{.name = std::string(size, 'n'), .password = "x", .binding = {}};
        const std::string result =
            outcome(bench.begin("SCRAM-SHA-256")->step(says(client.first())));
        CHECK((size <= 1024 ? result.starts_with("challenge") : result == "malformed"));
    }
    const auto with_nonce = [&](std::size_t size) {
        ScramClient client{.name = "ann@example.net",
                           .password = "pencil",
                           .binding = {},
                           .nonce = std::string(size, 'r')};
        return outcome(run_scram(*bench.begin("SCRAM-SHA-256"), client));
    };
    CHECK(with_nonce(500) == "success ann@example.net");
    CHECK(with_nonce(8000) == "malformed");  // Cyrus' bound on a message
}

TEST_CASE("what changes before SCRAM's last step counts") {
    const LoginBench bench;
    const auto until_last = [&](Exchange& exchange) {
        ScramClient client{.name = "ann@example.net", .password = "pencil", .binding = {}};
        StepResult result = exchange.step(says(client.first()));
        result = exchange.step(says(client.final(std::get<Challenge>(result).octets)));
        REQUIRE(std::holds_alternative<Challenge>(result));
    };
    auto exchange = bench.begin("SCRAM-SHA-256");
    until_last(*exchange);
    CHECK(outcome(exchange->try_quick(says("")).value()) == "success ann@example.net");

    exchange = bench.begin("SCRAM-SHA-256");
    until_last(*exchange);
    bench.store->set_iterations(8192);
    REQUIRE(bench.store->add(test::account_named("bob@example.net"), test::noon).has_value());
    CHECK_FALSE(exchange->try_quick(says("")));
    CHECK(outcome(exchange->step(says(""))) == "success ann@example.net");

    exchange = bench.begin("SCRAM-SHA-256");
    until_last(*exchange);
    REQUIRE(bench.store->suspend("ann@example.net", {}, test::noon).has_value());
    CHECK(outcome(exchange->step(says(""))) == "suspended");
    REQUIRE(bench.store->release("ann@example.net").has_value());

    exchange = bench.begin("SCRAM-SHA-256");
    until_last(*exchange);
    REQUIRE(
        bench.store->passwd("ann@example.net", proto::Secret("pencil"), test::noon).has_value());
    CHECK(outcome(exchange->step(says(""))) == "bad_credentials");

    exchange = bench.begin("SCRAM-SHA-256");
    until_last(*exchange);
    CHECK(outcome(exchange->step(says("x"))) == "malformed");
}

TEST_CASE("a proof cannot be used twice") {
    const LoginBench bench;
    ScramClient client{.name = "ann@example.net", .password = "pencil", .binding = {}};
    const auto first = bench.begin("SCRAM-SHA-256");
    const StepResult challenge = first->step(says(client.first()));
    const std::string proof = client.final(std::get<Challenge>(challenge).octets);
    REQUIRE(std::holds_alternative<Challenge>(first->step(says(proof))));
    const auto second = bench.begin("SCRAM-SHA-256");
    REQUIRE(std::holds_alternative<Challenge>(second->step(says(client.first()))));
    CHECK(outcome(second->step(says(proof))) == "bad_credentials");
}

TEST_CASE("Cyrus without its plug-ins is a fault with the package's name") {
    const test::Scratch scratch;
    const auto store = test::open_store(test::settings_at(scratch / "accounts.db"));
    PasswordMemory memory;
    const auto server = SaslServer::start({.plugins = scratch / "nothing", .elsewhere = {}}, *store,
                                          memory, FakeVerifiers("key"));
    REQUIRE_FALSE(server.has_value());
    CHECK(server.error().code == AuthError::mechanism_missing);
    CHECK(server.error().text.find("libsasl2-modules") != std::string::npos);
}

}  // namespace
}  // namespace postern::auth
