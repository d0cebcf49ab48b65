// Further passwords of an account: made, used by every mechanism, revoked.
#include "login_bench.hpp"

namespace postern::auth {
namespace {

using test::account_named;
using test::LoginBench;
using test::noon;
using test::outcome;
using test::plain;
using test::run_scram;
using test::says;
using test::ScramClient;

constexpr std::string_view ann = "ann@example.net";

AccountPtr add(LoginBench& bench, std::string name, std::string_view password,
               std::string plan = "") {
    const auto added = bench.store->add_credential(
        ann, {std::move(name), proto::Secret(password), std::move(plan)}, noon);
    REQUIRE(added.has_value());
    return *added;
}

/// "success ann@example.net phone"
std::string opened(const StepResult& result) {
    const auto* success = std::get_if<Success>(&result);
    return success == nullptr ? outcome(result)
                              : outcome(result) + " " + success->identity.credential;
}

std::string by_plain(const LoginBench& bench, std::string_view name, std::string_view password) {
    const auto exchange = bench.begin("PLAIN");
    return opened(exchange->step(says(plain(name, password))));
}

std::string by_scram(const LoginBench& bench, std::string name, std::string password) {
    ExchangeContext context = LoginBench::context("SCRAM-SHA-256");
    context.offered = {"SCRAM-SHA-256", "PLAIN"};
    ScramClient client{.name = std::move(name), .password = std::move(password), .binding = {}};
    return opened(run_scram(*bench.server->begin(context), client));
}

std::string salt_shown(const LoginBench& bench, std::string name) {
    ExchangeContext context = LoginBench::context("SCRAM-SHA-256");
    context.offered = {"SCRAM-SHA-256"};
    ScramClient client{.name = std::move(name), .password = "x", .binding = {}};
    const auto exchange = bench.server->begin(context);
    const StepResult step = exchange->step(says(client.first()));
    const std::string challenge = std::get<Challenge>(step).octets;
    return challenge.substr(challenge.find(",s="));  // Salt and rounds.
}

TEST_CASE("the bare name tries all passwords, a label names one") {
    LoginBench bench;
    add(bench, "Phone", "crayon");
    add(bench, "laptop", "marker");
    CHECK(by_plain(bench, ann, "pencil") == "success ann@example.net ");
    CHECK(by_plain(bench, ann, "crayon") == "success ann@example.net phone");
    CHECK(by_plain(bench, ann, "marker") == "success ann@example.net laptop");
    // Again, from memory.
    CHECK(by_plain(bench, ann, "crayon") == "success ann@example.net phone");
    CHECK(by_plain(bench, "ann@example.net+PHONE", "crayon") == "success ann@example.net phone");
    CHECK(by_plain(bench, "ann@example.net+laptop", "crayon") == "bad_credentials");
    CHECK(by_plain(bench, "ann@example.net+phone", "pencil") == "bad_credentials");
    CHECK(by_plain(bench, "ann@example.net+none", "pencil") == "bad_credentials");
    CHECK(by_plain(bench, "ann@example.net+", "pencil") == "bad_credentials");

    CHECK(by_scram(bench, std::string(ann), "pencil") == "success ann@example.net ");
    CHECK(by_scram(bench, std::string(ann), "crayon") == "bad_credentials");
    CHECK(by_scram(bench, "ann@example.net+phone", "crayon") == "success ann@example.net phone");
    CHECK(by_scram(bench, "ann@example.net+phone", "pencil") == "bad_credentials");
    CHECK(by_scram(bench, "ann@example.net+none", "pencil") == "bad_credentials");
}

TEST_CASE("what SCRAM shows does not tell which labels there are") {
    LoginBench bench;
    add(bench, "phone", "crayon");
    const std::string shown = salt_shown(bench, std::string(ann));
    CHECK(salt_shown(bench, "ann@example.net+phone") == shown);
    CHECK(salt_shown(bench, "ann@example.net+none") == shown);
    const std::string nobodys = salt_shown(bench, "nobody@example.net");
    CHECK(salt_shown(bench, "nobody@example.net+phone") == nobodys);
    CHECK(nobodys != shown);
}

TEST_CASE("all passwords of an account go on sharing one salt") {
    LoginBench bench;
    add(bench, "phone", "crayon");
    const auto changed = bench.store->passwd(ann, proto::Secret("quill"), noon);
    REQUIRE(changed.has_value());
    CHECK(by_plain(bench, ann, "quill") == "success ann@example.net ");
    CHECK(by_plain(bench, ann, "crayon") == "success ann@example.net phone");
    CHECK(by_plain(bench, ann, "pencil") == "bad_credentials");

    AccountChange none;
    none.drop_password = true;
    REQUIRE(bench.store->set(ann, none, noon).has_value());
    CHECK(by_plain(bench, ann, "quill") == "bad_credentials");
    CHECK(by_scram(bench, std::string(ann), "quill") == "bad_credentials");
    CHECK(by_plain(bench, ann, "crayon") == "success ann@example.net phone");
    CHECK(by_scram(bench, "ann@example.net+phone", "crayon") == "success ann@example.net phone");
}

TEST_CASE("an account without a first password may have others") {
    LoginBench bench;
    REQUIRE(bench.store
                ->add_credential("nopass@example.net", {"app", proto::Secret("crayon"), ""}, noon)
                .has_value());
    CHECK(by_plain(bench, "nopass@example.net", "crayon") == "success nopass@example.net app");
    CHECK(by_scram(bench, "nopass@example.net", "crayon") == "bad_credentials");
    CHECK(by_scram(bench, "nopass@example.net+app", "crayon") == "success nopass@example.net app");
}

TEST_CASE("the own login name is the own identity, with the label that was typed") {
    LoginBench bench;
    add(bench, "phone", "crayon");
    add(bench, "laptop", "marker");
    const auto acting = [&](std::string_view name, std::string_view password,
                            std::string_view authzid) {
        return opened(bench.begin("PLAIN")->step(says(plain(name, password, authzid))));
    };
    CHECK(acting("ann@example.net+phone", "crayon", "ann@example.net+phone") ==
          "success ann@example.net phone");
    CHECK(acting("ann@example.net+phone", "crayon", "ann@example.net") ==
          "success ann@example.net phone");
    CHECK(acting("ann@example.net+phone", "crayon", "ann@example.net+laptop") == "bad_credentials");
    CHECK(acting("ann@example.net", "crayon", "ann@example.net+laptop") == "bad_credentials");
    CHECK(acting("ann@example.net+phone", "crayon", "sue@example.net") == "bad_credentials");
}

TEST_CASE("a revoked one opens nothing any more, and what rested on it falls") {
    LoginBench bench;
    const AccountPtr before = add(bench, "phone", "crayon", "marketing");
    CHECK(find_credential(*before, "phone")->plan == "marketing");
    CHECK(by_plain(bench, ann, "crayon") == "success ann@example.net phone");
    const auto revoked = bench.store->revoke_credential(ann, "PHONE");
    REQUIRE(revoked.has_value());
    CHECK(by_plain(bench, ann, "crayon") == "bad_credentials");
    CHECK(by_plain(bench, ann, "pencil") == "success ann@example.net ");
    CHECK_FALSE(stands({before, "phone", "", 0}, revoked->get()));
    CHECK(stands({before, "", "", 0}, revoked->get()));

    // The same name again is another credential.
    const AccountPtr again = add(bench, "phone", "marker");
    CHECK_FALSE(stands({before, "phone", "", 0}, again.get()));
}

TEST_CASE("what cannot be made or revoked is told") {
    LoginBench bench;
    add(bench, "phone", "crayon");
    const auto error = [&](std::string_view account, std::string name, std::string_view password) {
        return bench.store
            ->add_credential(account, {std::move(name), proto::Secret(password), ""}, noon)
            .error();
    };
    CHECK(error(ann, "Phone", "x") == AuthError::credential_exists);
    CHECK(error(ann, "a b", "x") == AuthError::invalid_credential);
    CHECK(error(ann, "", "x") == AuthError::invalid_credential);
    CHECK(error(ann, "tablet", "") == AuthError::invalid_password);
    CHECK(error("nobody@example.net", "phone", "x") == AuthError::not_found);
    CHECK(bench.store->revoke_credential(ann, "tablet").error() == AuthError::no_credential);
    CHECK(bench.store->revoke_credential(ann, "").error() == AuthError::no_credential);
    CHECK(bench.store->revoke_credential("nobody@example.net", "phone").error() ==
          AuthError::not_found);
}

TEST_CASE("the use of each is told apart") {
    LoginBench bench;
    add(bench, "phone", "crayon");
    using namespace std::chrono_literals;
    bench.store->record_login(ann, "", "192.0.2.1", noon);
    bench.store->record_login(ann, "phone", "192.0.2.1", noon + 1min);
    for (int round = 0; round < 2; ++round) {
        const auto view = bench.store->show(ann);
        REQUIRE(view.has_value());
        REQUIRE(view->used.size() == 2);
        CHECK(view->used.at("").t == noon);
        CHECK(view->used.at("phone").t == noon + 1min);
        CHECK(view->last_login == noon + 1min);
        REQUIRE(bench.store->flush(noon - 24h).has_value());
    }
    REQUIRE(bench.store->revoke_credential(ann, "phone").has_value());
    const auto view = bench.store->show(ann);
    REQUIRE(view.has_value());
    CHECK(view->used.at("phone").t == noon + 1min);
    CHECK(view->last_login == noon + 1min);
}

}  // namespace
}  // namespace postern::auth
