#include "auth/scram_sha1.hpp"

#include "auth/account_rows.hpp"
#include "login_bench.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;
using test::LoginBench;
using test::noon;
using test::outcome;
using test::plain;
using test::run_scram;
using test::says;
using test::ScramClient;
using test::ScramHash;

constexpr std::string_view sha1 = "SCRAM-SHA-1";

/// Passwords of new accounts have a verifier for SCRAM-SHA-1; those of the bench's own have none.
struct Keeping : LoginBench {
    Keeping() { store->set_scram_sha1(ScramSha1::kept); }
};

ExchangeContext context() {
    ExchangeContext made = LoginBench::context(std::string(sha1));
    made.offered = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"};
    return made;
}

std::string log_in(const LoginBench& bench, std::string name, std::string password) {
    ScramClient client{.name = std::move(name),
                       .password = std::move(password),
                       .binding = {},
                       .hash = ScramHash::sha1};
    return outcome(run_scram(*bench.server->begin(context()), client));
}

/// Salt and round count that a name is shown.
std::pair<std::string, std::string> shown_to(const LoginBench& bench, const std::string& mechanism,
                                             std::string name) {
    ScramClient client{.name = std::move(name), .password = "x", .binding = {}};
    ExchangeContext made = context();
    made.mechanism = mechanism;
    const StepResult result = bench.server->begin(std::move(made))->step(says(client.first()));
    client.server_first = std::get<Challenge>(result).octets;
    return {client.field('s'), client.field('i')};
}

const Credential& first_password(const LoginBench& bench, std::string_view name, AccountPtr& hold) {
    hold = *bench.store->find(name);
    return *find_credential(*hold, "");
}

TEST_CASE("the example of RFC 5802 5 is what we keep, prove and sign") {
    const std::string salt = test::unbase64("QSXCR+Q6sek8bf92");
    const std::string kept = scram_sha1_of("pencil", salt, 4096);
    CHECK(kept ==
          "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:"
          "D+CSWLOshSulAsxiupA+qs2/fTE=");
    // Its keys, against the messages that stand there.
    const std::string stored = test::unbase64(kept.substr(34, 28));
    const std::string server = test::unbase64(kept.substr(63));
    const std::string messages =
        "n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
    std::string key = test::unbase64("v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=");
    const std::string signature = test::mac(ScramHash::sha1, stored, messages);
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<char>(key[i] ^ signature[i]);
    CHECK(test::hashed(ScramHash::sha1, key) == stored);
    CHECK(base64(test::mac(ScramHash::sha1, server, messages)) == "rmF9pqV8S7suAoZWja4dJRkFsKQ=");
}

TEST_CASE("a text fits the verifier with the same salt and round count alone") {
    Verifier beside;
    beside.salt = "sixteen octets!!";
    beside.iterations = 4096;
    const std::string good = scram_sha1_of("pencil", beside.salt, beside.iterations);
    CHECK(scram_sha1_fits(good, beside));
    CHECK(scram_sha1_fits(fake_scram_sha1(beside), beside));
    const std::string wrong[] = {
        "",
        "SCRAM-SHA-1$",
        scram_sha1_of("pencil", beside.salt, 4097),
        scram_sha1_of("pencil", "another", 4096),
        good.substr(0, good.size() - 1),
        good + "=",
        good + "\n",
        "SCRAM-SHA-256" + good.substr(11),
        good.substr(0, good.size() - 29) + ";" + good.substr(good.size() - 28),
        good.substr(0, good.size() - 2) + "==",
        good.substr(0, good.size() - 3) + "*s=",
    };
    for (const std::string& text : wrong) {
        INFO(text);
        CHECK_FALSE(scram_sha1_fits(text, beside));
    }
}

TEST_CASE("SCRAM-SHA-1 lets in who knows the password") {
    const Keeping bench;
    REQUIRE(bench.store->add(test::account_named("new@example.net", "pencil"), noon).has_value());
    CHECK(log_in(bench, "new@example.net", "pencil") == "success new@example.net");
    CHECK(log_in(bench, "NEW@example.net", "pencil") == "success new@example.net");
    CHECK(log_in(bench, "new@example.net",
                 "p\xC2\xAD"
                 "encil") == "success new@example.net");
    CHECK(log_in(bench, "new@example.net", "Pencil") == "bad_credentials");
    CHECK(log_in(bench, "nobody@example.net", "pencil") == "bad_credentials");
    CHECK(log_in(bench, "nopass@example.net", "pencil") == "bad_credentials");
    REQUIRE(bench.store->suspend("new@example.net", {}, noon).has_value());
    CHECK(log_in(bench, "new@example.net", "pencil") == "suspended");
    CHECK(log_in(bench, "new@example.net", "eraser") == "bad_credentials");
}

TEST_CASE("each way to set a password makes its verifier for SCRAM-SHA-1 while that is kept") {
    const Keeping bench;
    REQUIRE(bench.store->passwd("ann@example.net", proto::Secret("eraser"), noon).has_value());
    CHECK(log_in(bench, "ann@example.net", "eraser") == "success ann@example.net");
    REQUIRE(
        bench.store->add_credential("ann@example.net", {"phone", proto::Secret("ruler"), ""}, noon)
            .has_value());
    CHECK(log_in(bench, "ann@example.net+phone", "ruler") == "success ann@example.net");
    CHECK(log_in(bench, "ann@example.net+phone", "eraser") == "bad_credentials");
    bench.store->set_scram_sha1(ScramSha1::left_out);
    REQUIRE(bench.store->passwd("ann@example.net", proto::Secret("stylus"), noon).has_value());
    AccountPtr account;
    CHECK(first_password(bench, "ann@example.net", account).scram_sha1.empty());
}

TEST_CASE("who has no verifier for SCRAM-SHA-1 is answered like who has, and like nobody") {
    const Keeping bench;
    REQUIRE(bench.store->add(test::account_named("new@example.net", "pencil"), noon).has_value());
    // Ann's password was set before: same salt as by SCRAM-SHA-256, and no proof is right.
    CHECK(shown_to(bench, "SCRAM-SHA-1", "ann@example.net") ==
          shown_to(bench, "SCRAM-SHA-256", "ann@example.net"));
    CHECK(log_in(bench, "ann@example.net", "pencil") == "bad_credentials");
    for (const char* const name : {"new@example.net", "ann@example.net", "nobody@example.net",
                                   "nopass@example.net", "ann@example.net+nothing"}) {
        INFO(name);
        const auto once = shown_to(bench, "SCRAM-SHA-1", name);
        CHECK(once == shown_to(bench, "SCRAM-SHA-1", name));
        CHECK(once == shown_to(bench, "SCRAM-SHA-256", name));
        CHECK(once.second == "4096");
    }
}

TEST_CASE("a right password by PLAIN makes the verifier that is missing, and ends nothing") {
    const Keeping bench;
    REQUIRE(
        bench.store->add_credential("ann@example.net", {"phone", proto::Secret("ruler"), ""}, noon)
            .has_value());
    std::vector<Change> changes;
    const auto token =
        bench.store->subscribe([&](std::string_view, Change change) { changes.push_back(change); });
    ScramClient client{.name = "ann@example.net", .password = "pencil", .binding = {}};
    const StepResult before = run_scram(*bench.begin("SCRAM-SHA-256"), client);
    REQUIRE(outcome(before) == "success ann@example.net");

    CHECK(outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", "wrong")))) ==
          "bad_credentials");
    AccountPtr account;
    CHECK(first_password(bench, "ann@example.net", account).scram_sha1.empty());
    CHECK(changes.empty());

    const StepResult login = bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil")));
    REQUIRE(outcome(login) == "success ann@example.net");
    CHECK(changes == std::vector{Change::altered});
    const AccountPtr now = *bench.store->find("ann@example.net");
    CHECK(std::get<Success>(login).identity.account->version == now->version);
    CHECK(stands(std::get<Success>(before).identity, now.get()));
    CHECK(stands(std::get<Success>(login).identity, now.get()));
    CHECK(log_in(bench, "ann@example.net", "pencil") == "success ann@example.net");
    CHECK(log_in(bench, "ann@example.net+phone", "ruler") == "success ann@example.net");

    // It was remembered for the account as it is now, and nothing is written again.
    const auto again = bench.begin("PLAIN")->try_quick(says(plain("ann@example.net", "pencil")));
    REQUIRE(again.has_value());
    CHECK(std::get<Success>(*again).remembered);
    CHECK(changes.size() == 1);
    CHECK(find_credential(*now, "")->created == noon);
}

TEST_CASE("a password that is remembered is asked for once where the mechanism is new") {
    LoginBench bench;
    const auto log_in_by_plain = [&] {
        const auto exchange = bench.begin("PLAIN");
        const auto quick = exchange->try_quick(says(plain("ann@example.net", "pencil")));
        if (quick) return "quick "s + outcome(*quick);
        return "slow "s + outcome(exchange->step(says(plain("ann@example.net", "pencil"))));
    };
    CHECK(log_in_by_plain() == "slow success ann@example.net");
    CHECK(log_in_by_plain() == "quick success ann@example.net");
    bench.store->set_scram_sha1(ScramSha1::kept);
    CHECK(log_in_by_plain() == "slow success ann@example.net");
    CHECK(log_in_by_plain() == "quick success ann@example.net");
}

TEST_CASE("a login succeeds where the verifier cannot be written, and the disk is left in peace") {
    LoginBench bench;
    bench.store->set_scram_sha1(ScramSha1::kept);
    auto other = Database::open(bench.scratch / "accounts.db", std::chrono::milliseconds(50));
    REQUIRE(other.has_value());
    {
        Transaction holds_the_file(**other);
        REQUIRE_FALSE(holds_the_file.begun());
        CHECK(outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil")))) ==
              "success ann@example.net");
        AccountPtr account;
        const Credential& credential = first_password(bench, "ann@example.net", account);
        CHECK(credential.scram_sha1.empty());
        CHECK_FALSE(bench.store->wants_scram_sha1(credential));
    }
    REQUIRE(bench.store->flush(noon).has_value());
    CHECK(outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil")))) ==
          "success ann@example.net");
    CHECK(log_in(bench, "ann@example.net", "pencil") == "success ann@example.net");
}

TEST_CASE("a verifier that does not belong to the password counts as none") {
    LoginBench bench;
    bench.store->set_scram_sha1(ScramSha1::kept);
    AccountPtr account;
    const std::int64_t id = first_password(bench, "ann@example.net", account).id;
    {
        auto file = Database::open(bench.scratch / "accounts.db", std::chrono::milliseconds(50));
        REQUIRE(file.has_value());
        REQUIRE_FALSE(write_scram_sha1(**file, id, scram_sha1_of("guess", "another salt", 4096)));
    }
    // Read anew.
    bench.server.reset();
    bench.store.reset();
    bench.store = test::open_store(test::settings_at(bench.scratch / "accounts.db"));
    bench.store->set_scram_sha1(ScramSha1::kept);
    auto server = SaslServer::start({}, *bench.store, bench.memory, FakeVerifiers("fake key"));
    REQUIRE(server.has_value());
    bench.server = std::move(*server);
    CHECK(log_in(bench, "ann@example.net", "guess") == "bad_credentials");
    CHECK(shown_to(bench, "SCRAM-SHA-1", "ann@example.net") ==
          shown_to(bench, "SCRAM-SHA-256", "ann@example.net"));
    CHECK(outcome(bench.begin("PLAIN")->step(says(plain("ann@example.net", "pencil")))) ==
          "success ann@example.net");
    CHECK(log_in(bench, "ann@example.net", "pencil") == "success ann@example.net");
}

TEST_CASE("SCRAM-SHA-1's flags are judged as the others', and it has no -PLUS") {
    const Keeping bench;
    REQUIRE(bench.store->add(test::account_named("new@example.net", "pencil"), noon).has_value());
    const auto with = [&](const std::string& gs2, std::vector<std::string> offered) {
        ExchangeContext made = context();
        made.offered = std::move(offered);
        ScramClient client{.name = "new@example.net",
                           .password = "pencil",
                           .gs2 = gs2,
                           .binding = {},
                           .hash = ScramHash::sha1};
        return outcome(run_scram(*bench.server->begin(std::move(made)), client));
    };
    CHECK(with("y,,", {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"}) == "bad_credentials");
    CHECK(with("n,,", {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"}) == "success new@example.net");
    CHECK(with("y,,", {"SCRAM-SHA-256", "SCRAM-SHA-1"}) == "success new@example.net");
    CHECK(with("p=tls-exporter,,", {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"}) == "bad_credentials");
    CHECK(with("n,,", {"SCRAM-SHA-256"}) == "not_offered");
    ExchangeContext plus = LoginBench::context("SCRAM-SHA-1-PLUS");
    plus.offered.emplace_back("SCRAM-SHA-1-PLUS");
    CHECK(outcome(bench.server->begin(plus)->step(says("p=tls-exporter,,n=a,r=b"))) ==
          "not_offered");
}

TEST_CASE(
    "SCRAM-SHA-1's messages cut, doubled, out of order, overlong: refused, never our failure") {
    const Keeping bench;
    REQUIRE(bench.store->add(test::account_named("new@example.net", "pencil"), noon).has_value());
    const auto fresh = [&] { return bench.server->begin(context()); };
    ScramClient client{
        .name = "new@example.net", .password = "pencil", .binding = {}, .hash = ScramHash::sha1};
    const std::string first = client.first();
    const std::string firsts[] = {"",
                                  "n",
                                  "n,,",
                                  "n,,n=new@example.net",
                                  first.substr(0, first.size() - client.nonce.size()),
                                  first + first,
                                  "x" + first,
                                  first + std::string("\0", 1),
                                  "n,,n=\xFF\xFE,r=abc",
                                  "n,,n=" + std::string(5000, 'a') + ",r=abc"};
    for (const std::string& message : firsts) {
        INFO(message.substr(0, 60));
        CHECK(outcome(fresh()->step(says(message))) == "malformed");
    }
    const auto challenge = [&](Exchange& exchange) {
        return std::get<Challenge>(exchange.step(says(client.first()))).octets;
    };
    {
        INFO("the first message again, in place of the second");
        const auto exchange = fresh();
        (void)challenge(*exchange);
        CHECK(outcome(exchange->step(says(first))) == "malformed");
    }
    {
        INFO("the proof of another exchange");
        const auto one = fresh();
        const std::string replayed = client.final(challenge(*one));
        CHECK(outcome(one->step(says(replayed))) == "challenge v=" + client.expected_signature);
        const auto two = fresh();
        (void)challenge(*two);
        CHECK(outcome(two->step(says(replayed))) == "bad_credentials");
    }
    {
        INFO("the proof cut");
        const auto exchange = fresh();
        const std::string final = client.final(challenge(*exchange));
        CHECK(outcome(exchange->step(says(final.substr(0, final.size() - 4)))) ==
              "bad_credentials");
    }
    {
        INFO("something in the last response");
        const auto exchange = fresh();
        (void)exchange->step(says(client.final(challenge(*exchange))));
        CHECK(outcome(exchange->step(says("x"))) == "malformed");
    }
}

}  // namespace
}  // namespace postern::auth
