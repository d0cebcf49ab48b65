#include <chrono>
#include <memory>
#include <string>

#include "auth/exchange_token.hpp"
#include "login_bench.hpp"
#include "token_maker.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::ec_issuer;
using test::Issuer;
using test::LoginBench;
using test::outcome;
using test::says;

/// The bench, with an authority whose clocks the test moves.
struct TokenBench : LoginBench {
    Time wall = test::noon;
    std::chrono::steady_clock::time_point steady;
    TokenAuthorityPtr authority;

    TokenBench() {
        TokenAuthority::Settings settings;
        settings.rules = {"https://issuer.example/", "smtp", "email"};
        settings.now = [this] { return steady; };
        settings.wall = [this] { return wall; };
        authority = std::make_shared<TokenAuthority>(std::move(settings));
        use(ec_issuer());
    }
    void use(const Issuer& issuer) const {
        auto keys = KeySet::parse(issuer.key_set());
        REQUIRE(keys.has_value());
        authority->use(*keys);
    }
    void pass(std::chrono::seconds time) {
        wall += time;
        steady += time;
    }
    [[nodiscard]] std::unique_ptr<Exchange> token_exchange(std::string mechanism) const {
        ExchangeContext made = context(std::move(mechanism));
        made.tokens = authority;
        return server->begin(std::move(made));
    }
    [[nodiscard]] std::string token(std::string_view account, std::chrono::seconds lasts = 1h,
                                    const Issuer& issuer = ec_issuer()) const {
        const auto ends =
            std::chrono::duration_cast<std::chrono::seconds>((wall + lasts).time_since_epoch());
        return issuer.token(R"({"iss":"https://issuer.example/","aud":"smtp","email":")" +
                            std::string(account) + R"(","exp":)" + std::to_string(ends.count()) +
                            "}");
    }
};

std::string bearer(const std::string& token, const std::string& user = {}) {
    return "n," + (user.empty() ? "" : "a=" + user) + ",\x01" + "auth=Bearer " + token + "\x01\x01";
}
std::string xoauth2(const std::string& token, const std::string& user) {
    return "user=" + user + "\x01" + "auth=Bearer " + token + "\x01\x01";
}

TEST_CASE("a right token opens its account by either mechanism, at once or when asked") {
    const TokenBench bench;
    const std::string token = bench.token("ann@example.net");
    CHECK(outcome(bench.token_exchange("OAUTHBEARER")->step(says(bearer(token)))) ==
          "success ann@example.net");
    CHECK(outcome(
              bench.token_exchange("OAUTHBEARER")->step(says(bearer(token, "ANN@example.net")))) ==
          "success ann@example.net");
    const auto asked = bench.token_exchange("XOAUTH2");
    CHECK(outcome(asked->step(std::nullopt)) == "challenge ");
    const auto said = asked->step(says(xoauth2(token, "ann@example.net")));
    CHECK(outcome(said) == "success ann@example.net");
    const Identity& identity = std::get<Success>(said).identity;
    CHECK(identity.rests_on == Identity::RestsOn::account);
    CHECK(identity.credential == token_credential);
    CHECK(identity.authzid == "ann@example.net");
    CHECK(outcome(bench.token_exchange("XOAUTH2")->step(says(xoauth2(
              bench.token("Ann@EXAMPLE.net"), "ann@example.net")))) == "success ann@example.net");
}

TEST_CASE("a wrong token is told why by a challenge, and counts by its keyed hash") {
    const TokenBench bench;
    const Issuer stranger(Issuer::Kind::p256, "ec-1");
    const std::string forged = bench.token("ann@example.net", 1h, stranger);
    const auto said = bench.token_exchange("OAUTHBEARER")->step(says(bearer(forged)));
    REQUIRE(outcome(said) == "bad_credentials");
    const Failure& failure = std::get<Failure>(said);
    CHECK(failure.challenge ==
          R"({"status":"invalid_token","schemes":"bearer","scope":"openid email"})");
    CHECK(failure.detail == "signature");
    CHECK(failure.account == "ann@example.net");
    CHECK(failure.known);
    CHECK(failure.secret_hash.size() == 16);
    const auto again =
        bench.token_exchange("XOAUTH2")->step(says(xoauth2(forged, "ann@example.net")));
    CHECK(std::get<Failure>(again).secret_hash == failure.secret_hash);
    CHECK(std::get<Failure>(again).challenge.starts_with(R"({"status":"401")"));
    const auto other = bench.token_exchange("OAUTHBEARER")
                           ->step(says(bearer(bench.token("ann@example.net", -2h))));
    CHECK(std::get<Failure>(other).detail == "expired");
    CHECK(std::get<Failure>(other).secret_hash != failure.secret_hash);

    const auto garbage =
        bench.token_exchange("XOAUTH2")->step(says(xoauth2("garbage", "Bob@example.org")));
    REQUIRE(outcome(garbage) == "bad_credentials");
    CHECK(std::get<Failure>(garbage).account == "Bob@example.org");
    CHECK_FALSE(std::get<Failure>(garbage).known);
    CHECK_FALSE(std::get<Failure>(garbage).challenge.empty());
}

TEST_CASE("a right token for nobody, for a suspended account, in another's name") {
    const TokenBench bench;
    const auto says_who = [&](std::string_view account, const std::string& user) {
        return bench.token_exchange("XOAUTH2")->step(says(xoauth2(bench.token(account), user)));
    };
    CHECK(outcome(says_who("nobody@example.net", "nobody@example.net")) == "bad_credentials");
    CHECK(outcome(says_who("not an address", "ann@example.net")) == "bad_credentials");
    CHECK(outcome(says_who("ann@example.net+phone", "ann@example.net")) == "bad_credentials");
    const auto suspended = says_who("sue@example.net", "sue@example.net");
    CHECK(outcome(suspended) == "suspended");
    CHECK(std::get<Failure>(suspended).text == "write to help@example.net");
    CHECK(std::get<Failure>(suspended).challenge.empty());
    const auto foreign = says_who("ann@example.net", "nopass@example.net");
    CHECK(outcome(foreign) == "bad_credentials");
    CHECK_FALSE(std::get<Failure>(foreign).challenge.empty());
    CHECK(outcome(says_who("ann@example.net", "ann@example.net+phone")) == "bad_credentials");

    AccountChange granted;
    granted.authzids = {"nopass@example.net"};
    REQUIRE(bench.store->set("ann@example.net", granted, test::noon).has_value());
    const auto acting = says_who("ann@example.net", "nopass@example.net");
    CHECK(outcome(acting) == "success ann@example.net");
    CHECK(std::get<Success>(acting).identity.authzid == "nopass@example.net");
}

TEST_CASE("malformed messages, a binding, no authority, no keys") {
    const TokenBench bench;
    CHECK(outcome(bench.token_exchange("OAUTHBEARER")->step(says(""))) == "malformed");
    CHECK(outcome(bench.token_exchange("XOAUTH2")->step(says("\x01"))) == "malformed");
    CHECK(outcome(bench.token_exchange("OAUTHBEARER")
                      ->step(says("p=tls-exporter,,\x01"
                                  "auth=Bearer x\x01\x01"))) == "bad_credentials");
    const auto none = bench.begin("OAUTHBEARER");  // Of a listener without [auth.oauth].
    CHECK(outcome(none->step(says(bearer(bench.token("ann@example.net"))))) == "unavailable");
    bench.authority->use(nullptr);
    const auto exchange = bench.token_exchange("OAUTHBEARER");
    const auto response = says(bearer(bench.token("ann@example.net")));
    CHECK(exchange->lacks_key(response));
    CHECK(outcome(exchange->step(response)) == "unavailable");
}

TEST_CASE("a key that is not there is told before the token is judged") {
    const TokenBench bench;
    const Issuer next(Issuer::Kind::p256, "ec-2");
    const auto rotated = says(bearer(bench.token("ann@example.net", 1h, next)));
    const auto exchange = bench.token_exchange("OAUTHBEARER");
    CHECK(exchange->lacks_key(rotated));
    CHECK_FALSE(exchange->lacks_key(says(bearer(bench.token("ann@example.net")))));
    CHECK_FALSE(exchange->lacks_key(says(bearer("garbage"))));
    CHECK_FALSE(exchange->lacks_key(says("garbage")));
    CHECK_FALSE(exchange->lacks_key(std::nullopt));
    bench.use(next);
    CHECK_FALSE(exchange->lacks_key(rotated));
    CHECK(outcome(exchange->step(rotated)) == "success ann@example.net");
}

TEST_CASE("the guard is told the account of the token, else the one that the client names") {
    const TokenBench bench;
    const auto exchange = bench.token_exchange("XOAUTH2");
    CHECK(exchange->name_in(says(xoauth2(bench.token("Ann@example.net"), "x@y.net"))) ==
          "ann@example.net");
    CHECK(exchange->name_in(says(xoauth2("garbage", "Bob@example.net"))) == "bob@example.net");
    CHECK(exchange->name_in(says("garbage")) == "");
    CHECK(exchange->name_in(std::nullopt) == std::nullopt);
    CHECK(bench.token_exchange("OAUTHBEARER")->name_in(says(bearer("garbage"))) == "");
}

/// Whether memory alone lets it in.
bool quick(const TokenBench& bench, const std::string& token) {
    const auto said = bench.token_exchange("OAUTHBEARER")->try_quick(says(bearer(token)));
    return said && outcome(*said) == "success ann@example.net";
}

TEST_CASE("a right token is remembered ten minutes, until it expires, until anything changes") {
    TokenBench bench;
    const std::string token = bench.token("ann@example.net");
    const auto log_in = [&](const std::string& with) {
        return outcome(bench.token_exchange("OAUTHBEARER")->step(says(bearer(with))));
    };
    CHECK_FALSE(quick(bench, token));
    REQUIRE(log_in(token) == "success ann@example.net");
    CHECK(quick(bench, token));
    CHECK_FALSE(quick(bench, token.substr(0, token.size() - 1)));
    bench.pass(9min + 59s);
    CHECK(quick(bench, token));
    bench.pass(1s);
    CHECK_FALSE(quick(bench, token));

    SECTION("its end comes sooner") {
        const std::string brief = bench.token("ann@example.net", 2min);
        REQUIRE(log_in(brief) == "success ann@example.net");
        bench.pass(119s);
        CHECK(quick(bench, brief));
        bench.pass(1s);
        CHECK_FALSE(quick(bench, brief));
        CHECK(log_in(brief) == "success ann@example.net");  // The leeway.
        CHECK_FALSE(quick(bench, brief));
        bench.pass(60s);
        CHECK(log_in(brief) == "bad_credentials");
    }
    SECTION("the account changes") {
        REQUIRE(log_in(token) == "success ann@example.net");
        REQUIRE(
            bench.store->passwd("ann@example.net", proto::Secret("other"), test::noon).has_value());
        CHECK_FALSE(quick(bench, token));
        CHECK(log_in(token) == "success ann@example.net");
    }
    SECTION("the account is suspended") {
        REQUIRE(log_in(token) == "success ann@example.net");
        REQUIRE(bench.store->suspend("ann@example.net", {}, test::noon).has_value());
        CHECK_FALSE(quick(bench, token));
        CHECK(log_in(token) == "suspended");
    }
    SECTION("other keys hold") {
        REQUIRE(log_in(token) == "success ann@example.net");
        bench.use(ec_issuer());
        CHECK(quick(bench, token));  // The same ones, read again.
        bench.use(Issuer(Issuer::Kind::p256, "ec-1"));
        CHECK_FALSE(quick(bench, token));
        CHECK(log_in(token) == "bad_credentials");
    }
}

TEST_CASE("a session by token stands while its account does, whatever its passwords") {
    const TokenBench bench;
    const auto said =
        bench.token_exchange("OAUTHBEARER")->step(says(bearer(bench.token("ann@example.net"))));
    REQUIRE(outcome(said) == "success ann@example.net");
    const Identity& identity = std::get<Success>(said).identity;
    REQUIRE(bench.store->passwd("ann@example.net", proto::Secret("other"), test::noon).has_value());
    CHECK(stands(identity, bench.store->find("ann@example.net")->get()));
    REQUIRE(bench.store->suspend("ann@example.net", {}, test::noon).has_value());
    CHECK_FALSE(stands(identity, bench.store->find("ann@example.net")->get()));
    REQUIRE(bench.store->remove("ann@example.net").has_value());
    CHECK_FALSE(stands(identity, nullptr));
    REQUIRE(bench.store->add(test::account_named("ann@example.net"), test::noon).has_value());
    CHECK_FALSE(stands(identity, bench.store->find("ann@example.net")->get()));
}

}  // namespace
}  // namespace postern::auth
