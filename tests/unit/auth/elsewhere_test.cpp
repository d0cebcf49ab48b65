// Exchanges whose passwords are in another back-end. The back-ends themselves: tests/backends.

#include "auth/elsewhere.hpp"

#include <map>

#include "auth/exchange.hpp"
#include "login_bench.hpp"

namespace postern::auth {
namespace {

using test::noon;
using test::outcome;
using test::plain;
using test::says;
using Kind = BackendAnswer::Kind;

class Book final : public PasswordBackend {
  public:
    std::map<std::string, std::string> passwords = {{"ann@home.example", "pencil"},
                                                    {"bob@example.net", "p\xC3\xA9ncil"}};
    std::optional<Kind> instead;
    int asked = 0;

    BackendAnswer check(const BackendUser& user, std::string_view password) override {
        BackendAnswer answer = fetch(user);
        if (answer.kind == Kind::ok && answer.password.reveal() != password)
            answer.kind = Kind::failed;
        return answer;
    }
    BackendAnswer fetch(const BackendUser& user) override {
        ++asked;
        BackendAnswer answer;
        answer.kind = Kind::failed;
        if (instead) {
            answer.kind = *instead;
            answer.detail = "it is away";
        } else if (const auto found = passwords.find(user.address()); found != passwords.end()) {
            answer.kind = Kind::ok;
            answer.password = proto::Secret(found->second);
        }
        return answer;
    }
};

struct Bench {
    test::Scratch scratch;
    std::unique_ptr<AccountStore> store;
    PasswordMemory memory;
    FakeVerifiers fakes{"fake key"};
    std::unique_ptr<SaslLibrary> library;
    Elsewhere elsewhere;
    Book* book = nullptr;

    Bench() : store(test::open_store(test::settings_at(scratch / "accounts.db"))) {
        auto started_library = SaslLibrary::start({});
        if (!started_library) FAIL(started_library.error().text);
        library = std::move(*started_library);
        auto made = std::make_unique<Book>();
        book = made.get();
        elsewhere = {std::move(made), "home.example", [] { return noon; }};
    }

    [[nodiscard]] std::unique_ptr<Exchange::Impl> begin(std::string mechanism) const {
        const Backend backend{.library = *library,
                              .store = *store,
                              .memory = const_cast<PasswordMemory&>(memory),
                              .fakes = fakes,
                              .elsewhere = &elsewhere};
        return make_exchange(backend, test::LoginBench::context(std::move(mechanism)));
    }
    [[nodiscard]] StepResult plain_login(std::string_view name, std::string_view password,
                                         std::string_view authzid = {}) const {
        return begin("PLAIN")->step(says(plain(name, password, authzid)));
    }
    [[nodiscard]] std::uint64_t accounts() const { return *store->count(); }
};

StepResult scram(Exchange::Impl& exchange, test::ScramClient& client) {
    StepResult result = exchange.step(says(client.first()));
    if (!std::holds_alternative<Challenge>(result)) return result;
    result = exchange.step(says(client.final(std::get<Challenge>(result).octets)));
    if (!std::holds_alternative<Challenge>(result)) return result;
    CHECK(std::get<Challenge>(result).octets == "v=" + client.expected_signature);
    return exchange.step(says(""));
}

TEST_CASE("another back-end says who is right, and its users get accounts at their first login") {
    Bench bench;
    CHECK(outcome(bench.plain_login("ann", "wrong")) == "bad_credentials");
    CHECK(bench.accounts() == 0);
    const StepResult first = bench.plain_login("ann", "pencil");
    REQUIRE(outcome(first) == "success ann@home.example");
    const auto& made = std::get<Success>(first);
    CHECK(made.made);
    CHECK(made.identity.rests_on == Identity::RestsOn::account);
    CHECK(made.identity.credential.empty());
    CHECK(made.identity.account->owned.texts() == std::vector<std::string>{"ann@home.example"});
    CHECK(made.identity.account->credentials.empty());
    CHECK(stands(made.identity, made.identity.account.get()));
    const StepResult again = bench.plain_login("Ann@Home.example", "pencil");
    CHECK(outcome(again) == "success ann@home.example");
    CHECK_FALSE(std::get<Success>(again).made);
    CHECK(std::get<Success>(again).remembered);
    CHECK(bench.accounts() == 1);
}

TEST_CASE("the store's own passwords are not asked beside another back-end") {
    Bench bench;
    REQUIRE(bench.store->add(test::account_named("ann@home.example", "of the store"), noon)
                .has_value());
    REQUIRE(bench.store
                ->add_credential("ann@home.example",
                                 {.name = "phone", .password = proto::Secret("app"), .plan = ""},
                                 noon)
                .has_value());
    CHECK(outcome(bench.plain_login("ann@home.example", "of the store")) == "bad_credentials");
    CHECK(outcome(bench.plain_login("ann@home.example", "app")) == "bad_credentials");
    CHECK(outcome(bench.plain_login("ann@home.example+phone", "app")) == "bad_credentials");
    CHECK(outcome(bench.plain_login("ann@home.example", "pencil")) == "success ann@home.example");
}

TEST_CASE("a right password is remembered, and forgotten with any change of the account") {
    Bench bench;
    REQUIRE(outcome(bench.plain_login("ann", "pencil")) == "success ann@home.example");
    bench.book->passwords["ann@home.example"] = "eraser";
    const int asked = bench.book->asked;
    const auto exchange = bench.begin("PLAIN");
    CHECK(exchange->asks_elsewhere());
    const auto quick = exchange->try_quick(says(plain("ann", "pencil")));
    REQUIRE(quick.has_value());
    CHECK(outcome(*quick) == "success ann@home.example");
    CHECK(bench.book->asked == asked);
    CHECK_FALSE(exchange->heard_elsewhere().has_value());
    AccountChange change;
    change.plan = "trial";
    REQUIRE(bench.store->set("ann@home.example", change, noon).has_value());
    CHECK(outcome(bench.plain_login("ann", "pencil")) == "bad_credentials");
    CHECK(outcome(bench.plain_login("ann", "eraser")) == "success ann@home.example");
}

TEST_CASE("a back-end that cannot say is no failure of the peer") {
    Bench bench;
    for (const Kind kind : {Kind::error, Kind::timeout}) {
        bench.book->instead = kind;
        for (const char* const mechanism : {"PLAIN", "SCRAM-SHA-256"}) {
            const auto exchange = bench.begin(mechanism);
            test::ScramClient client("ann@home.example", "pencil");
            const StepResult result = exchange->step(says(mechanism == std::string("PLAIN")
                                                              ? plain("ann@home.example", "pencil")
                                                              : client.first()));
            CHECK(outcome(result) == "unavailable");
            CHECK(std::get<Failure>(result).detail == "it is away");
            CHECK(exchange->heard_elsewhere() == kind);
        }
    }
    CHECK(bench.accounts() == 0);
}

TEST_CASE("names that are nobody's anywhere are not asked for") {
    Bench bench;
    for (const char* const name : {"o'hara@example.net", "*@example.net", "ann@x@y", "-x"}) {
        const StepResult result = bench.plain_login(name, "pencil");
        CHECK(outcome(result) == "bad_credentials");
        CHECK(std::get<Failure>(result).secret_hash.size() == 16);
        const auto exchange = bench.begin("SCRAM-SHA-256");
        test::ScramClient client(name, "pencil");
        CHECK(outcome(scram(*exchange, client)) == "bad_credentials");
    }
    CHECK(bench.book->asked == 0);
}

TEST_CASE("SCRAM goes by the password that the back-end gives out") {
    Bench bench;
    struct Row {
        const char* name;
        const char* password;
        const char* expected;
    };
    const Row rows[] = {
        {"ann@home.example", "pencil", "success ann@home.example"},
        {"ann@home.example", "eraser", "bad_credentials"},
        {"nobody@home.example", "pencil", "bad_credentials"},
        {"nobody@home.example", "nobody's", "bad_credentials"},
    };
    for (const Row& row : rows) {
        INFO(row.name << " " << row.password);
        const auto exchange = bench.begin("SCRAM-SHA-256");
        CHECK(exchange->asks_elsewhere());
        test::ScramClient client(row.name, row.password);
        const StepResult result = scram(*exchange, client);
        CHECK(outcome(result) == row.expected);
        if (const auto* const success = std::get_if<Success>(&result)) {
            CHECK(success->made);
            CHECK(success->identity.rests_on == Identity::RestsOn::account);
        }
    }
    CHECK(bench.accounts() == 1);
}

TEST_CASE(
    "SCRAM shows those who are there and those who are not the same salt and rounds, always") {
    Bench bench;
    const auto head = [&](const char* name) {
        const auto exchange = bench.begin("SCRAM-SHA-256");
        test::ScramClient client(name, "pencil");
        const StepResult result = exchange->step(says(client.first()));
        const std::string octets = std::get<Challenge>(result).octets;
        return octets.substr(octets.find(",s="));
    };
    const std::string ann = head("ann@home.example");
    CHECK(head("ann@home.example") == ann);
    bench.book->passwords.erase("ann@home.example");
    CHECK(head("ann@home.example") == ann);
    CHECK(head("nobody@home.example") != ann);
    CHECK(head("nobody@home.example") == head("nobody@home.example"));
}

TEST_CASE("a suspended account hears so only after its proof, and is not made anew") {
    Bench bench;
    REQUIRE(outcome(bench.plain_login("ann", "pencil")) == "success ann@home.example");
    REQUIRE(bench.store->suspend("ann@home.example", {}, noon).has_value());
    CHECK(outcome(bench.plain_login("ann", "pencil")) == "suspended");
    CHECK(outcome(bench.plain_login("ann", "wrong")) == "bad_credentials");
    const auto exchange = bench.begin("SCRAM-SHA-256");
    test::ScramClient client("ann@home.example", "pencil");
    CHECK(outcome(scram(*exchange, client)) == "suspended");
}

TEST_CASE("an authorization identity without a domain is read as the name is") {
    const Bench bench;
    CHECK(outcome(bench.plain_login("ann", "pencil", "ann")) == "success ann@home.example");
    CHECK(outcome(bench.plain_login("ann", "pencil", "bob@example.net")) == "bad_credentials");
}

TEST_CASE("a message that is malformed never reaches the back-end") {
    const Bench bench;
    for (const std::string_view message :
         {std::string_view("\0ann\0", 5), std::string_view("\0\0pencil", 8),
          std::string_view("ann"), std::string_view("\0ann\0pen\0cil", 12)})
        CHECK(outcome(bench.begin("PLAIN")->step(says(message))) == "malformed");
    CHECK(bench.book->asked == 0);
}

}  // namespace
}  // namespace postern::auth
