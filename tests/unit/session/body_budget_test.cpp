#include "relay/session/body_budget.hpp"

#include <utility>
#include <vector>

#include "tests/catch.hpp"

using postern::relay::BodyBudget;

TEST_CASE("what is claimed is given back") {
    BodyBudget budget(1000);
    {
        auto claim = budget.claim("ann", 100);
        REQUIRE(claim.cover(300));
        CHECK(budget.used() == 300);
        const BodyBudget::Claim moved = std::move(claim);
        CHECK(moved.bytes() == 300);
        CHECK(budget.used() == 300);
    }
    CHECK(budget.used() == 0);
}

TEST_CASE("one message may have all of it, but no more") {
    BodyBudget budget(1000);
    auto claim = budget.claim("ann", 1);
    CHECK(claim.cover(1000));
    CHECK_FALSE(claim.cover(1001));
    CHECK(claim.bytes() == 1000);
    CHECK_FALSE(budget.claim("bob", 1).cover(1));
}

TEST_CASE("an account with many messages leaves a quarter to others") {
    BodyBudget budget(1000);
    std::vector<BodyBudget::Claim> anns;
    for (int n = 0; n < 20; ++n) anns.push_back(budget.claim("ann", 100));
    CHECK(budget.used() == 700);
    CHECK_FALSE(anns.front().cover(200));

    auto bob = budget.claim("bob", 100);
    REQUIRE(bob.cover(200));
    SECTION("who has their share even then") {
        auto second = budget.claim("bob", 50);
        CHECK(second.cover(50));
        CHECK_FALSE(budget.claim("bob", 100).cover(1));
    }
    SECTION("and which comes back") {
        anns.clear();
        CHECK(budget.used() == 200);
        CHECK(budget.claim("ann", 800).cover(800));
    }
}

TEST_CASE("a smaller limit counts at once, and breaks no claim") {
    BodyBudget budget(1000);
    auto claim = budget.claim("ann", 500);
    budget.set_limit(400);
    CHECK(claim.cover(500));
    CHECK_FALSE(claim.cover(501));
    CHECK_FALSE(budget.claim("bob", 1).cover(1));
}
