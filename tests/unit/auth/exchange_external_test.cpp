#include "certificates.hpp"
#include "login_bench.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::LoginBench;
using test::noon;
using test::outcome;
using test::says;

const std::string laptop(64, 'a');
const std::string strange(64, 'b');

ClientCertificate shown(std::string fingerprint, std::optional<std::string> name = std::nullopt) {
    ClientCertificate out;
    out.fingerprint = std::move(fingerprint);
    out.no_name = name ? "" : "unable to get local issuer certificate";
    out.name = std::move(name);
    return out;
}

struct Bench : LoginBench {
    Bench() {
        REQUIRE(
            store->add_certificate("ann@example.net", {"Laptop", laptop, ""}, noon).has_value());
    }

    [[nodiscard]] std::unique_ptr<Exchange> begin_with(
        std::optional<ClientCertificate> certificate) const {
        ExchangeContext made = context("EXTERNAL");
        made.certificate = std::move(certificate);
        return server->begin(std::move(made));
    }
    [[nodiscard]] StepResult log_in(std::optional<ClientCertificate> certificate,
                                    std::string_view authzid = {}) const {
        return begin_with(std::move(certificate))->step(says(authzid));
    }
};

const Failure& failure(const StepResult& result) {
    return std::get<Failure>(result);
}

TEST_CASE("a certificate that was bound to an account logs it in") {
    const Bench bench;
    const StepResult result = bench.log_in(shown(laptop));
    REQUIRE(outcome(result) == "success ann@example.net");
    const Identity& who = std::get<Success>(result).identity;
    CHECK(who.credential == "laptop");
    CHECK(who.authzid == "ann@example.net");
    CHECK(who.rests_on == Identity::RestsOn::credential);
    // What an authority says of it comes second.
    CHECK(outcome(bench.log_in(shown(laptop, "sue@example.net"))) == "success ann@example.net");
    CHECK(outcome(bench.log_in(shown(strange))) == "bad_credentials");
    CHECK(outcome(bench.log_in(std::nullopt)) == "bad_credentials");
}

TEST_CASE("without an initial response the authorization identity is asked for") {
    const Bench bench;
    const auto exchange = bench.begin_with(shown(laptop));
    CHECK(outcome(exchange->step(std::nullopt)) == "challenge ");
    CHECK(outcome(exchange->step(says(""))) == "success ann@example.net");
    CHECK(outcome(exchange->step(says(""))) == "malformed");
    const auto silent = bench.begin_with(shown(laptop));
    (void)silent->step(std::nullopt);
    CHECK(outcome(silent->step(std::nullopt)) == "malformed");
}

TEST_CASE("a name that an authority vouches for logs in the account of that name") {
    const Bench bench;
    const StepResult result = bench.log_in(shown(strange, "Ann@Example.net"));
    REQUIRE(outcome(result) == "success ann@example.net");
    CHECK(std::get<Success>(result).identity.credential == certificate_credential);
    CHECK(std::get<Success>(result).identity.rests_on == Identity::RestsOn::account);
    CHECK(outcome(bench.log_in(shown(strange, "nopass@example.net"))) ==
          "success nopass@example.net");
    CHECK(outcome(bench.log_in(shown(strange, "nobody@example.net"))) == "bad_credentials");
    CHECK(outcome(bench.log_in(shown(strange, "ann@example.net+laptop"))) == "bad_credentials");
    CHECK(outcome(bench.log_in(shown(strange, "\xE2\x80\x8B"))) == "bad_credentials");
}

TEST_CASE("certificates out of their time are refused, bound or vouched for") {
    const Bench bench;
    for (const auto validity :
         {ClientCertificate::Validity::expired, ClientCertificate::Validity::not_yet}) {
        ClientCertificate late = shown(laptop, "ann@example.net");
        late.validity = validity;
        CHECK(outcome(bench.log_in(late)) == "bad_credentials");
    }
}

TEST_CASE("the authorization identity must be one's own or granted") {
    const Bench bench;
    CHECK(outcome(bench.log_in(shown(laptop), "ann@example.net")) == "success ann@example.net");
    CHECK(outcome(bench.log_in(shown(laptop), "ANN@example.net+laptop")) ==
          "success ann@example.net");
    CHECK(outcome(bench.log_in(shown(laptop), "ann@example.net+phone")) == "bad_credentials");
    CHECK(outcome(bench.log_in(shown(laptop), "sue@example.net")) == "bad_credentials");
    CHECK(outcome(bench.log_in(shown(strange, "ann@example.net"), "sue@example.net")) ==
          "bad_credentials");
    AccountChange change;
    change.authzids = {"bob@example.net"};
    REQUIRE(bench.store->set("ann@example.net", change, noon).has_value());
    const StepResult granted = bench.log_in(shown(laptop), "Bob@example.net");
    REQUIRE(outcome(granted) == "success ann@example.net");
    CHECK(std::get<Success>(granted).identity.authzid == "bob@example.net");
}

TEST_CASE("a message that is no authorization identity is malformed") {
    const Bench bench;
    const std::string rows[] = {"\0"s, "ann@example.net\0"s, "\xFF\xFE", std::string(1025, 'a')};
    for (const std::string& message : rows)
        CHECK(outcome(bench.log_in(shown(laptop), message)) == "malformed");
}

TEST_CASE("a suspended account is told so once its certificate was right") {
    const Bench bench;
    REQUIRE(bench.store->suspend("ann@example.net", {}, noon).has_value());
    CHECK(outcome(bench.log_in(shown(laptop))) == "suspended");
    CHECK(outcome(bench.log_in(shown(strange, "sue@example.net"))) == "suspended");
    CHECK(outcome(bench.log_in(shown(strange))) == "bad_credentials");
}

TEST_CASE("what a failure says: the name in the certificate, else where its fingerprint begins") {
    const Bench bench;
    const StepResult nobody = bench.log_in(shown(strange, "nobody@example.net"));
    CHECK(failure(nobody).account == "nobody@example.net");
    CHECK_FALSE(failure(nobody).known);
    const StepResult foreign = bench.log_in(shown(strange));
    CHECK(failure(foreign).account == "certificate:bbbbbbbbbbbbbbbb");
    CHECK(failure(foreign).detail == "unable to get local issuer certificate");
    CHECK(failure(foreign).secret_hash.empty());
    // The guard asks before anything is judged.
    CHECK(bench.begin_with(shown(strange, "Nobody@Example.net"))->name_in(std::nullopt) ==
          "nobody@example.net");
    CHECK(bench.begin_with(shown(strange))->name_in(std::nullopt) ==
          "certificate:bbbbbbbbbbbbbbbb");
}

TEST_CASE(
    "a login by certificate stands as long as that is the account's, or the account is there") {
    const Bench bench;
    const auto identity = [](const StepResult& result) {
        return std::get<Success>(result).identity;
    };
    const auto now = [&] {
        const auto found = bench.store->find("ann@example.net");
        return found ? *found : AccountPtr();
    };
    const Identity bound = identity(bench.log_in(shown(laptop)));
    const Identity vouched = identity(bench.log_in(shown(strange, "ann@example.net")));
    REQUIRE(bench.store->passwd("ann@example.net", proto::Secret("another"), noon).has_value());
    CHECK(stands(bound, now().get()));
    CHECK(stands(vouched, now().get()));
    REQUIRE(bench.store->revoke_credential("ann@example.net", "laptop").has_value());
    CHECK_FALSE(stands(bound, now().get()));
    CHECK(stands(vouched, now().get()));
    CHECK(outcome(bench.log_in(shown(laptop))) == "bad_credentials");
    // Another certificate under the same name is another proof.
    REQUIRE(
        bench.store->add_certificate("ann@example.net", {"laptop", strange, ""}, noon).has_value());
    CHECK_FALSE(stands(bound, now().get()));
    REQUIRE(bench.store->suspend("ann@example.net", {}, noon).has_value());
    CHECK_FALSE(stands(vouched, now().get()));
    REQUIRE(bench.store->remove("ann@example.net").has_value());
    CHECK_FALSE(stands(vouched, now().get()));
    CHECK(outcome(bench.log_in(shown(strange))) == "bad_credentials");
    CHECK(outcome(bench.log_in(shown(strange, "ann@example.net"))) == "bad_credentials");
}

TEST_CASE("a certificate is one credential's, and each credential has its name") {
    const Bench bench;
    const auto add = [&](const char* account, const char* name, const std::string& fingerprint) {
        const auto added = bench.store->add_certificate(account, {name, fingerprint, ""}, noon);
        return added ? boost::system::error_code() : added.error();
    };
    CHECK(add("ann@example.net", "again", laptop) == AuthError::certificate_taken);
    CHECK(add("sue@example.net", "laptop", laptop) == AuthError::certificate_taken);
    CHECK(add("ann@example.net", "laptop", strange) == AuthError::credential_exists);
    CHECK(add("nobody@example.net", "laptop", strange) == AuthError::not_found);
    CHECK(add("ann@example.net", "", strange) == AuthError::invalid_credential);
    CHECK(add("ann@example.net", "empty", "") == AuthError::invalid_certificate);
    CHECK(outcome(bench.log_in(shown(laptop))) == "success ann@example.net");
    CHECK(bench.store->find_by_certificate("").error() == AuthError::not_found);
    // A password of the account does not log in by the certificate's name.
    CHECK(outcome(bench.begin("PLAIN")->step(
              says(test::plain("ann@example.net+laptop", "pencil")))) == "bad_credentials");
}

}  // namespace
}  // namespace postern::auth
