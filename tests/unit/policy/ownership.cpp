#include "policy/ownership.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "tests/catch.hpp"

using namespace postern;

namespace {

bool has(const policy::Owned& owned, std::string_view text) {
    const auto address = proto::parse_mailbox(text, true);
    REQUIRE(address.has_value());
    return owned.has(*address);
}

}  // namespace

TEST_CASE("an account owns its name and its addresses, with any tag") {
    const std::vector<std::string> addresses{"ann@example.com", "list+tag@example.net",
                                             "sales@example.net"};
    const policy::Owned owned{
        .everything = false, .account = "ann@example.net", .addresses = addresses, .domains = {}};
    for (const std::string_view mine :
         {"ann@example.net", "Ann@EXAMPLE.net", "sales@example.net", "ann+shop@example.net",
          "ann+a+b@example.net", "list+tag@example.net", "ann@example.com", "ann+x@example.com"})
        CHECK(has(owned, mine));
    for (const std::string_view foreign :
         {"bob@example.net", "ann@example.org", "list@example.net", "list+other@example.net",
          "an@example.net", "annn@example.net", "+ann@example.net", "an+n@example.net",
          "\"ann+x@victim.example\"@example.net"})
        CHECK_FALSE(has(owned, foreign));
}

TEST_CASE("an account owns whole domains, and not those below or beside") {
    const std::vector<std::string> domains{"other.example", "shop.example",
                                           "xn--bcher-kva.example"};
    const policy::Owned owned{
        .everything = false, .account = "app", .addresses = {}, .domains = domains};
    for (const std::string_view mine :
         {"anybody@shop.example", "a+b@shop.example", "x@Other.Example", "x@xn--bcher-kva.example",
          "x@b\xC3\xBC"
          "cher.example"})
        CHECK(has(owned, mine));
    for (const std::string_view foreign :
         {"x@sub.shop.example", "x@notshop.example", "app@example.net", "x@example"})
        CHECK_FALSE(has(owned, foreign));
}

TEST_CASE("a star owns every address") {
    const policy::Owned owned{.everything = true, .account = "mx", .addresses = {}, .domains = {}};
    CHECK(has(owned, "who@ever.example"));
}

TEST_CASE("a list of recipients holds addresses and whole domains") {
    const std::vector<std::string> list{"@xn--bcher-kva.example", "bob@example.org"};
    const auto among = [&](std::string_view text) {
        const auto address = proto::parse_mailbox(text, true);
        REQUIRE(address.has_value());
        return policy::is_among(list, *address);
    };
    for (const std::string_view is :
         {"bob@example.org", "BOB@Example.ORG", "x@xn--bcher-kva.example",
          "y@B\xc3\xbc"
          "cher.example"})
        CHECK(among(is));
    for (const std::string_view is_not :
         {"bob+tag@example.org", "ann@example.org", "x@sub.xn--bcher-kva.example",
          "\"x@xn--bcher-kva.example\"@example.net", "bob@example.org.example.net"})
        CHECK_FALSE(among(is_not));
    CHECK_FALSE(policy::is_among(list, proto::Address{"postmaster", ""}));
    CHECK_FALSE(policy::is_among({}, proto::Address{"bob", "example.org"}));
}
