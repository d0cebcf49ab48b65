#include <array>

#include "login_bench.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::LoginBench;
using test::outcome;
using test::plain;
using test::says;

/// Name and password by PLAIN with and without initial response, and by LOGIN in both of its forms:
/// all must end alike.
std::array<StepResult, 4> all_ways(const LoginBench& bench, std::string_view name,
                                   std::string_view password) {
    const auto at_once = bench.begin("PLAIN");
    const auto asked = bench.begin("PLAIN");
    CHECK(outcome(asked->step(std::nullopt)) == "challenge ");
    const auto login = bench.begin("LOGIN");
    CHECK(outcome(login->step(std::nullopt)) == "challenge Username:");
    CHECK(outcome(login->step(says(name))) == "challenge Password:");
    const auto login_initial = bench.begin("LOGIN");
    CHECK(outcome(login_initial->step(says(name))) == "challenge Password:");
    return {at_once->step(says(plain(name, password))), asked->step(says(plain(name, password))),
            login->step(says(password)), login_initial->step(says(password))};
}

TEST_CASE("the right password opens, the wrong one does not, whoever asks in whichever way") {
    const LoginBench bench;
    struct Row {
        std::string_view name;
        std::string_view password;
        const char* expected;
    };
    const Row rows[] = {
        {"ann@example.net", "pencil", "success ann@example.net"},
        {"ANN@Example.NET", "pencil", "success ann@example.net"},
        {"ann@example.net",
         "p\xC2\xAD"
         "encil",
         "success ann@example.net"},  // SASLprep drops the soft hyphen.
        {"ann@example.net", "Pencil", "bad_credentials"},
        {"ann@example.net", "pencil ", "bad_credentials"},
        {" ann@example.net", "pencil", "bad_credentials"},
        {"ann@example.net ", "pencil", "bad_credentials"},
        {"ann", "pencil", "bad_credentials"},
        {"nobody@example.net", "pencil", "bad_credentials"},
        {"nopass@example.net", "pencil", "bad_credentials"},
        {"sue@example.net", "pencil", "suspended"},
        {"sue@example.net", "eraser", "bad_credentials"},
        {"ann@example.net", "bell\x07", "bad_credentials"},
        {"bell\x07@example.net", "pencil", "bad_credentials"},
    };
    for (const Row& row : rows) {
        INFO(row.name << " " << row.password);
        for (const StepResult& result : all_ways(bench, row.name, row.password))
            CHECK(outcome(result) == row.expected);
    }
}

TEST_CASE("failures tell the guard what it has to know and the client nothing") {
    const LoginBench bench;
    auto results = all_ways(bench, "Ann@example.net", "wrong");
    std::string hash;
    for (const StepResult& result : results) {
        const Failure& failure = std::get<Failure>(result);
        CHECK(failure.known);
        CHECK(failure.account == "ann@example.net");
        CHECK(failure.secret_hash.size() == 16);
        if (!hash.empty()) CHECK(failure.secret_hash == hash);
        hash = failure.secret_hash;
    }
    for (const StepResult& result : all_ways(bench, "Nobody@example.net", "wrong")) {
        const Failure& failure = std::get<Failure>(result);
        CHECK_FALSE(failure.known);
        CHECK(failure.account == "Nobody@example.net");
        CHECK(failure.secret_hash.size() == 16);
        CHECK(failure.text.empty());
    }
    for (const StepResult& result : all_ways(bench, "sue@example.net", "pencil"))
        CHECK(std::get<Failure>(result).text == "write to help@example.net");
}

TEST_CASE("long names are shown cut, between characters") {
    const LoginBench bench;
    std::string name = "x";
    while (name.size() < 600) name += "\xC3\xA9";
    const StepResult result = bench.begin("PLAIN")->step(says(plain(name, "pencil")));
    const Failure& failure = std::get<Failure>(result);
    CHECK(failure.account.size() == 319);
    CHECK(name.starts_with(failure.account));
}

TEST_CASE("malformed messages end the exchange with a syntax error, never with anything else") {
    const LoginBench bench;
    const std::string_view plain_rows[] = {
        ""sv,
        "\0"sv,
        "\0\0"sv,
        "ann"sv,
        "\0ann@example.net\0"sv,
        "\0\0pencil"sv,
        "\0ann@example.net\0pencil\0"sv,
        "\0ann@example.net\0pen\0cil"sv,
        "\0\xFF@example.net\0pencil"sv,
        "\0ann@example.net\0\xFF"sv,
        "ann@example.net\0ann@example.net"sv,
    };
    for (const std::string_view row : plain_rows) {
        CHECK(outcome(bench.begin("PLAIN")->step(says(row))) == "malformed");
        const auto asked = bench.begin("PLAIN");
        (void)asked->step(std::nullopt);
        CHECK(outcome(asked->step(says(row))) == "malformed");
    }
    const std::string long_text(1025, 'a');
    for (const std::string_view row :
         {""sv, "ann\0"sv, "\0ann"sv, "\xC3"sv, std::string_view(long_text)}) {
        CHECK(outcome(bench.begin("LOGIN")->step(says(row))) == "malformed");
        const auto login = bench.begin("LOGIN");
        CHECK(outcome(login->step(says("ann@example.net"))) == "challenge Password:");
        CHECK(outcome(login->step(says(row))) == "malformed");
    }
    CHECK(outcome(bench.begin("PLAIN")->step(
              says(plain(std::string(1024, 'a'), std::string(1024, 'b'))))) == "bad_credentials");
}

TEST_CASE("an exchange that ended answers no more") {
    const LoginBench bench;
    const auto exchange = bench.begin("PLAIN");
    CHECK(outcome(exchange->step(says(plain("ann@example.net", "pencil")))) ==
          "success ann@example.net");
    CHECK(outcome(exchange->step(says(plain("ann@example.net", "pencil")))) == "malformed");
    const auto twice = bench.begin("PLAIN");
    CHECK(outcome(twice->step(std::nullopt)) == "challenge ");
    CHECK(outcome(twice->step(std::nullopt)) == "malformed");
}

TEST_CASE("only what was offered is served") {
    const LoginBench bench;
    ExchangeContext context = LoginBench::context("PLAIN");
    context.offered = {"SCRAM-SHA-256"};
    CHECK(outcome(bench.server->begin(context)->step(says(plain("ann@example.net", "pencil")))) ==
          "not_offered");
    for (const char* const mechanism :
         {"SCRAM-SHA-1-PLUS", "CRAM-MD5", "DIGEST-MD5", "ANONYMOUS", "", "plain"})
        CHECK(outcome(bench.begin(mechanism)->step(std::nullopt)) == "not_offered");
    // Offered by mistake: there is still nothing behind it.
    context.mechanism = "ANONYMOUS";
    context.offered = {"ANONYMOUS"};
    CHECK(outcome(bench.server->begin(context)->step(says("x"))) == "not_offered");
}

TEST_CASE("an authorization identity must be one's own or granted") {
    const LoginBench bench;
    const auto as = [&](std::string_view authzid, std::string_view password = "pencil") {
        return bench.begin("PLAIN")->step(says(plain("ann@example.net", password, authzid)));
    };
    CHECK(outcome(as("ann@example.net")) == "success ann@example.net");
    CHECK(outcome(as("ANN@example.net")) == "success ann@example.net");
    CHECK(outcome(as("bob@example.net")) == "bad_credentials");
    AccountChange change;
    change.authzids = {"bob@example.net"};
    REQUIRE(bench.store->set("ann@example.net", change, test::noon).has_value());
    const StepResult granted = as("Bob@example.net");
    REQUIRE(outcome(granted) == "success ann@example.net");
    CHECK(std::get<Success>(granted).identity.authzid == "bob@example.net");
    CHECK(outcome(as("bob@example.net", "wrong")) == "bad_credentials");
    CHECK(outcome(as("carol@example.net")) == "bad_credentials");
}

TEST_CASE("a password that was right comes from memory the next time, by PLAIN and LOGIN") {
    const LoginBench bench;
    const auto quick_plain = [&](std::string_view password) {
        return bench.begin("PLAIN")->try_quick(says(plain("Ann@example.net", password)));
    };
    CHECK_FALSE(quick_plain("pencil"));
    CHECK(outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil")))) ==
          "success ann@example.net");
    const auto known = quick_plain("pencil");
    REQUIRE(known);
    CHECK(std::get<Success>(*known).remembered);
    CHECK(std::get<Success>(*known).identity.account->name == "ann@example.net");
    CHECK_FALSE(quick_plain("wrong"));
    const auto login = bench.begin("LOGIN");
    REQUIRE(login->try_quick(std::nullopt));
    REQUIRE(login->try_quick(says("ann@example.net")));
    const auto by_login = login->try_quick(says("pencil"));
    REQUIRE(by_login);
    CHECK(std::get<Success>(*by_login).remembered);
    const auto foreign = bench.begin("PLAIN")->try_quick(
        says(plain("ann@example.net", "pencil", "bob@example.net")));
    REQUIRE(foreign);
    CHECK(outcome(*foreign) == "bad_credentials");
}

TEST_CASE("a change of the account makes the memory void") {
    const LoginBench bench;
    const auto try_quick = [&](std::string_view password) {
        return bench.begin("PLAIN")->try_quick(says(plain("ann@example.net", password)));
    };
    const auto log_in = [&](std::string_view password) {
        return outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", password))));
    };
    REQUIRE(log_in("pencil") == "success ann@example.net");
    REQUIRE(try_quick("pencil"));
    REQUIRE(bench.store->suspend("ann@example.net", {}, test::noon).has_value());
    CHECK_FALSE(try_quick("pencil"));
    CHECK(log_in("pencil") == "suspended");
    CHECK_FALSE(try_quick("pencil"));
    REQUIRE(bench.store->release("ann@example.net").has_value());
    CHECK_FALSE(try_quick("pencil"));
    CHECK(log_in("pencil") == "success ann@example.net");
    REQUIRE(
        bench.store->passwd("ann@example.net", proto::Secret("eraser"), test::noon).has_value());
    CHECK_FALSE(try_quick("pencil"));
    CHECK(log_in("pencil") == "bad_credentials");
    CHECK(log_in("eraser") == "success ann@example.net");
    REQUIRE(bench.store->remove("ann@example.net").has_value());
    CHECK_FALSE(try_quick("eraser"));
    CHECK(log_in("eraser") == "bad_credentials");
}

TEST_CASE("the name for the pool's queue is known before the work") {
    const LoginBench bench;
    CHECK(bench.begin("PLAIN")->name_in(says(plain("Ann@Example.net", "x"))) == "ann@example.net");
    CHECK(bench.begin("PLAIN")->name_in(says("garbage")) == "");
    CHECK(bench.begin("PLAIN")->name_in(std::nullopt) == std::nullopt);
    CHECK(bench.begin("SCRAM-SHA-256")->name_in(says("n,,n=Ann@example.net,r=abc")) ==
          "ann@example.net");
    const auto login = bench.begin("LOGIN");
    (void)login->step(says("Ann@example.net"));
    CHECK(login->name_in(says("pencil")) == "ann@example.net");
    CHECK(bench.begin("LOGIN")->name_in(std::nullopt) == std::nullopt);
    CHECK(bench.begin("LOGIN")->name_in(says("Bob@Example.net")) == "bob@example.net");
    CHECK(login->typed_name() == "Ann@example.net");
}

TEST_CASE("a login stands until its account or credential goes") {
    const LoginBench bench;
    const StepResult result = bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil")));
    const Identity identity = std::get<Success>(result).identity;
    CHECK(identity.generation == bench.store->generation());
    const auto now = [&] { return bench.store->find("ann@example.net").value(); };
    CHECK(stands(identity, now().get()));
    AccountChange change;
    change.plan = "marketing";
    REQUIRE(bench.store->set("ann@example.net", change, test::noon).has_value());
    CHECK(identity.generation != bench.store->generation());
    CHECK(stands(identity, now().get()));
    REQUIRE(bench.store->suspend("ann@example.net", {}, test::noon).has_value());
    CHECK_FALSE(stands(identity, now().get()));
    REQUIRE(bench.store->release("ann@example.net").has_value());
    CHECK(stands(identity, now().get()));
    REQUIRE(
        bench.store->passwd("ann@example.net", proto::Secret("pencil"), test::noon).has_value());
    CHECK_FALSE(stands(identity, now().get()));
    CHECK_FALSE(stands(identity, nullptr));
}

}  // namespace
}  // namespace postern::auth
