#include "auth/scram_login.hpp"

#include <optional>
#include <string>

#include "auth/token_message.hpp"
#include "tests/catch.hpp"

using namespace postern::auth;

namespace {

// RFC 7677 3.
const std::string our_nonce = "rOprNGfwEbeRWgbNEkqO";
const std::string whole_nonce = our_nonce + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const std::string salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
const std::string server_first = "r=" + whole_nonce + ",s=" + salt + ",i=4096";
const std::string server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramLogin begun() {
    auto login = ScramLogin::begin("user", our_nonce);
    REQUIRE(login);
    return *login;
}

ScramLogin answered() {
    ScramLogin login = begun();
    const auto asked = login.take_first(server_first);
    REQUIRE(asked.has_value());
    (void)login.final(derive_scram_keys("pencil", asked->salt, asked->iterations));
    return login;
}

}  // namespace

TEST_CASE("a login by SCRAM-SHA-256 is the RFC's example to the octet") {
    ScramLogin login = begun();
    CHECK(login.first() == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    const auto asked = login.take_first(server_first);
    REQUIRE(asked.has_value());
    CHECK(asked->iterations == 4096);
    CHECK(asked->salt.size() == 16);
    CHECK(login.final(derive_scram_keys("pencil", asked->salt, asked->iterations)) ==
          "c=biws,r=" + whole_nonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    CHECK_FALSE(login.proven());
    CHECK(login.take_final(server_final) == std::nullopt);
    CHECK(login.proven());
}

TEST_CASE("a server's first word that lies or lacks something ends the exchange") {
    struct Row {
        std::string message;
        ScramFault fault;
    };
    const std::string tail = ",s=" + salt + ",i=4096";
    const Row table[] = {
        {"", ScramFault::malformed},
        {"hello", ScramFault::malformed},
        {"r=" + whole_nonce, ScramFault::malformed},
        {"r=" + whole_nonce + ",s=" + salt, ScramFault::malformed},
        {"r=" + whole_nonce + ",i=4096,s=" + salt, ScramFault::malformed},
        {"s=" + salt + ",r=" + whole_nonce + ",i=4096", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=,i=4096", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=!!!!,i=4096", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=" + salt + ",i=", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=" + salt + ",i=04096", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=" + salt + ",i=4096x", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=" + salt + ",i=-4096", ScramFault::malformed},
        {"r=" + whole_nonce + ",s=" + salt + ",i=99999999999999999999", ScramFault::iterations},
        {std::string(max_scram_message + 1, 'r'), ScramFault::malformed},
        {"m=new," + server_first, ScramFault::extension},
        {"e=unknown-user", ScramFault::refused},
        // Of the nonce: another's, ours alone, one cut short, a character that none has.
        {"r=somebodyelses" + tail, ScramFault::nonce},
        {"r=" + our_nonce + tail, ScramFault::nonce},
        {"r=" + our_nonce.substr(1) + "xyz" + tail, ScramFault::nonce},
        {"r=" + our_nonce + "a b" + tail, ScramFault::nonce},
        {"r=" + our_nonce + "\x7f" + tail, ScramFault::nonce},
        {"r=" + tail, ScramFault::nonce},
        // A cheap guess, and a bomb.
        {"r=" + whole_nonce + ",s=" + salt + ",i=1", ScramFault::iterations},
        {"r=" + whole_nonce + ",s=" + salt + ",i=4095", ScramFault::iterations},
        {"r=" + whole_nonce + ",s=" + salt + ",i=1000001", ScramFault::iterations},
        {"r=" + whole_nonce + ",s=" + salt + ",i=999999999", ScramFault::iterations},
    };
    for (const Row& row : table) {
        CAPTURE(row.message.substr(0, 80));
        ScramLogin login = begun();
        const auto asked = login.take_first(row.message);
        REQUIRE_FALSE(asked.has_value());
        CHECK(asked.error() == row.fault);
        CHECK_FALSE(describe(row.fault).empty());
        // There is no way on from there.
        CHECK(login.final({}).empty());
        CHECK(login.take_first(server_first).has_error());
        CHECK(login.take_final(server_final) == ScramFault::order);
        CHECK_FALSE(login.proven());
    }
}

TEST_CASE("the bounds of rounds and salt are taken, and optional extensions passed over") {
    for (const unsigned rounds : {min_asked_iterations, max_asked_iterations}) {
        ScramLogin login = begun();
        const auto asked = login.take_first("r=" + whole_nonce + ",s=" + salt +
                                            ",i=" + std::to_string(rounds) + ",x=later");
        REQUIRE(asked.has_value());
        CHECK(asked->iterations == rounds);
    }
}

TEST_CASE("only the right signature proves a server") {
    struct Row {
        const char* message;
        ScramFault fault;
    };
    const Row table[] = {
        {"", ScramFault::malformed},
        {"v=", ScramFault::unproven},
        {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", ScramFault::malformed},
        {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95GA=", ScramFault::unproven},
        {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl9", ScramFault::unproven},
        {"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", ScramFault::unproven},
        {"x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", ScramFault::malformed},
        {"e=invalid-proof", ScramFault::refused},
    };
    for (const Row& row : table) {
        CAPTURE(row.message);
        ScramLogin login = answered();
        CHECK(login.take_final(row.message) == row.fault);
        CHECK_FALSE(login.proven());
        // A second try proves nothing.
        CHECK(login.take_final(server_final) == ScramFault::order);
        CHECK_FALSE(login.proven());
    }
}

TEST_CASE("a server that skips a step proves nothing") {
    ScramLogin login = begun();
    CHECK(login.take_final(server_final) == ScramFault::order);
    ScramLogin other = begun();
    REQUIRE(other.take_first(server_first).has_value());
    CHECK(other.take_final(server_final) == ScramFault::order);
    CHECK_FALSE(other.proven());
}

TEST_CASE("another password gives another proof, and takes the server for a liar") {
    ScramLogin login = begun();
    const auto asked = login.take_first(server_first);
    (void)login.final(derive_scram_keys("pencils", asked->salt, asked->iterations));
    CHECK(login.take_final(server_final) == ScramFault::unproven);
}

TEST_CASE("names and passwords are prepared by SASLprep") {
    CHECK(ScramLogin::begin("a=b,c", "n")->first() == "n,,n=a=3Db=2Cc,r=n");
    CHECK(ScramLogin::begin("I\xc2\xadX", "n")->first() == "n,,n=IX,r=n");
    CHECK_FALSE(ScramLogin::begin("a\x07", "n"));
    CHECK_FALSE(ScramLogin::begin("", "n"));
    CHECK_FALSE(ScramLogin::begin("\xff", "n"));
    CHECK(prepared_password("I\xc2\xadX")->reveal() == "IX");
    CHECK(prepared_password("\xe2\x85\xa8")->reveal() == "IX");
    CHECK_FALSE(prepared_password("a\x07"));
    CHECK_FALSE(prepared_password(""));
}

TEST_CASE("what we say by token is what our own server reads") {
    const auto google = make_xoauth2("ann@example.net", "ya29.abc");
    CHECK(google.reveal() ==
          "user=ann@example.net\x01"
          "auth=Bearer ya29.abc\x01\x01");
    const auto read = parse_xoauth2(google.reveal());
    REQUIRE(read);
    CHECK(read->user == "ann@example.net");
    CHECK(read->token == "ya29.abc");
    const auto bearer = make_oauthbearer("a,b=c@example.net", "mx.example.org", 587, "ya29.abc");
    const auto other = parse_oauthbearer(bearer.reveal());
    REQUIRE(other);
    CHECK(other->user == "a,b=c@example.net");
    CHECK(other->token == "ya29.abc");
    CHECK_FALSE(other->binds);
}
