#include "auth/account.hpp"

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

TEST_CASE("what is neither address nor domain nor star is refused") {
    for (const std::string bad :
         {"", "a b@example.net", "@", "exa mple.net", "ann@", "**", "ann@example.net>", "\xFF"})
        CHECK(parse_owned({bad}).error() == AuthError::invalid_owned);
}

TEST_CASE("owned names are shown star first, once each") {
    const auto owned = parse_owned({"b.example", "z@a.example", "*", "Z@A.example", "B.example"});
    REQUIRE(owned.has_value());
    CHECK(owned->texts() == std::vector<std::string>{"*", "z@a.example", "b.example"});
}

TEST_CASE("an account acts as itself and as whom it was granted") {
    AccountRecord account;
    account.name = "ann@example.net";
    account.authzids = {"bob@example.net", "carol@example.net"};
    CHECK(may_act_as(account, "ann@example.net"));
    CHECK(may_act_as(account, "carol@example.net"));
    CHECK_FALSE(may_act_as(account, "dave@example.net"));
    CHECK_FALSE(may_act_as(account, ""));
}

}  // namespace
}  // namespace postern::auth
