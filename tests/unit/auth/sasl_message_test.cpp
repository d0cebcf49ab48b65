#include "auth/sasl_message.hpp"

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

using namespace std::literals;

TEST_CASE("PLAIN messages are taken apart at their two NULs") {
    const auto message = parse_plain("bob\0ann@example.net\0pass word"sv);
    REQUIRE(message);
    CHECK(message->authzid == "bob");
    CHECK(message->authcid == "ann@example.net");
    CHECK(message->password == "pass word");
    REQUIRE(parse_plain("\0a\0b"sv));
    CHECK(parse_plain("\0a\0b"sv)->authzid.empty());
    CHECK(parse_plain("\0 a \0 b "sv)->authcid == " a ");
    CHECK(parse_plain("\0 a \0 b "sv)->password == " b ");
}

TEST_CASE("malformed PLAIN messages are refused whole") {
    const std::string_view rows[] = {
        ""sv,          "a"sv,         "\0"sv,         "\0\0"sv,      "\0a\0"sv,
        "\0\0b"sv,     "a\0b"sv,      "\0a\0b\0"sv,   "\0a\0b\0c"sv, "a\0b\0c\0d"sv,
        "\0\xFF\0b"sv, "\0a\0\xC3"sv, "\xFF\0a\0b"sv, "\0a\0\0b"sv,
    };
    for (const std::string_view row : rows) CHECK_FALSE(parse_plain(row));
    const std::string nul(1, '\0');
    CHECK_FALSE(parse_plain(nul + std::string(1025, 'a') + nul + "b"));
    CHECK_FALSE(parse_plain(nul + "a" + nul + std::string(1025, 'b')));
    CHECK(parse_plain(nul + std::string(1024, 'a') + nul + std::string(1024, 'b')));
}

TEST_CASE("SCRAM client-first messages say flag, identities and nonce") {
    const auto plain = parse_scram_first("n,,n=user,r=abc");
    REQUIRE(plain);
    CHECK(plain->flag == BindingFlag::unsupported);
    CHECK(plain->name == "user");
    CHECK(plain->authzid.empty());
    const auto bound = parse_scram_first("p=tls-exporter,a=b=2Cob,n=a=3Dnn,r=abc,x=ext,y=more");
    REQUIRE(bound);
    CHECK(bound->flag == BindingFlag::used);
    CHECK(bound->binding == "tls-exporter");
    CHECK(bound->header == "p=tls-exporter,a=b=2Cob,");
    CHECK(plain->header == "n,,");
    CHECK(bound->authzid == "b,ob");
    CHECK(bound->name == "a=nn");
    CHECK(parse_scram_first("y,,n=user,r=abc")->flag == BindingFlag::unoffered);
}

TEST_CASE("malformed SCRAM client-first messages are refused") {
    const std::string_view rows[] = {
        ""sv,
        "n"sv,
        "n,"sv,
        "n,,"sv,
        "n,,n=user"sv,
        "n,,n=user,"sv,
        "n,,n=user,r="sv,
        "n,,n=,r=abc"sv,
        "n,,r=abc,n=user"sv,
        "n,,m=ext,n=user,r=abc"sv,
        "n,b=x,n=user,r=abc"sv,
        "n,a=,n=user,r=abc"sv,
        "n,,n=us=er,r=abc"sv,
        "n,,n=us=2c,r=abc"sv,
        "n,,n=us=2,r=abc"sv,
        "n,,n=us\0er,r=abc"sv,
        "n,,n=user,r=a\0b"sv,
        "n,,n=user,r=a b"sv,
        "n,,n=user,r=abc,"sv,
        "n,,n=user,r=abc,x"sv,
        "n,,n=user,r=abc,1=x"sv,
        "n,,n=\xFF,r=abc"sv,
        "N,,n=user,r=abc"sv,
        "x,,n=user,r=abc"sv,
        "p=,,n=user,r=abc"sv,
        "p,,n=user,r=abc"sv,
        "p=tls exporter,,n=user,r=abc"sv,
        "nn,,n=user,r=abc"sv,
    };
    for (const std::string_view row : rows) {
        INFO(row);
        CHECK_FALSE(parse_scram_first(row));
    }
}

TEST_CASE("SCRAM client-final messages are known by their form") {
    CHECK(binding_of_final("c=biws,r=abcdef,p=AAAA") == "biws");
    CHECK(binding_of_final("c=biws,r=abcdef,x=ext,p=AA==") == "biws");
    const std::string_view rows[] = {
        ""sv,
        "c=biws"sv,
        "c=biws,r=abc"sv,
        "c=biws,r=abc,p="sv,
        "c=,r=abc,p=AAAA"sv,
        "c=bi ws,r=abc,p=AAAA"sv,
        "r=abc,c=biws,p=AAAA"sv,
        "c=biws,r=abc,p=AAAA,x=ext"sv,
        "c=biws,r=abc,p=AAA"sv,
        "c=biws,r=abc,p=A==A"sv,
        "c=biws,r=a\0c,p=AAAA"sv,
        "c=biws,r=abc,x,p=AAAA"sv,
        "c=biws,r=abc,p=AAAA\0"sv,
    };
    for (const std::string_view row : rows) {
        INFO(row);
        CHECK_FALSE(binding_of_final(row));
    }
}

}  // namespace
}  // namespace postern::auth
