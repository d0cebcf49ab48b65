#include "auth/account.hpp"

#include "tests/catch.hpp"

namespace postern::auth {
namespace {

AccountRecord account_owning(const std::vector<std::string>& texts) {
    AccountRecord account;
    account.name = "ann@example.net";
    const auto owned = parse_owned(texts);
    REQUIRE(owned.has_value());
    account.owned = *owned;
    return account;
}

TEST_CASE("an account owns its addresses, with any tag") {
    const AccountRecord account = account_owning(
        {"Ann@Example.net", "sales@example.net", "list+tag@example.net", "ann@example.com"});
    for (const std::string_view mine :
         {"ann@example.net", "sales@example.net", "ann+shop@example.net", "ann+a+b@example.net",
          "list+tag@example.net", "ann@example.com"})
        CHECK(owns(account, mine));
    for (const std::string_view foreign :
         {"", "bob@example.net", "ann@example.org", "list@example.net", "list+other@example.net",
          "an@example.net", "annn@example.net", "+ann@example.net", "ann", "@example.net", "ann@",
          "an+n@example.net"})
        CHECK_FALSE(owns(account, foreign));
}

TEST_CASE("an account owns whole domains, and not those below or beside") {
    const AccountRecord account = account_owning({"Shop.Example", "@other.example",
                                                  "b\xC3\xBC"
                                                  "cher.example"});
    CHECK(owns(account, "anybody@shop.example"));
    CHECK(owns(account, "a+b@shop.example"));
    CHECK(owns(account, "x@other.example"));
    CHECK(owns(account, "x@xn--bcher-kva.example"));
    CHECK_FALSE(owns(account, "x@sub.shop.example"));
    CHECK_FALSE(owns(account, "x@notshop.example"));
    CHECK_FALSE(owns(account, "shop.example"));
}

TEST_CASE("a star owns everything but the null address") {
    const AccountRecord account = account_owning({"*"});
    CHECK(owns(account, "who@ever.example"));
    CHECK_FALSE(owns(account, ""));
}

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
