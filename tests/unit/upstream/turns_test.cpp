#include "relay/upstream/turns.hpp"

#include "relay/upstream/rate_turns.hpp"
#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;

namespace {

const SteadyTime first_moment{1h};

/// Lets who is first have a connection; whose it is.
std::string serve(Turns& turns, const std::map<Turns::Number, std::string>& who) {
    const auto first = turns.first();
    REQUIRE(first);
    const std::string customer = who.at(*first);
    turns.leave(*first);
    turns.begin(customer);
    return customer;
}

}  // namespace

TEST_CASE("next is the customer with the fewest connections") {
    Turns turns;
    std::map<Turns::Number, std::string> who;
    const auto join = [&](const std::string& customer, SteadyTime came) {
        who[turns.join(customer, came)] = customer;
    };
    for (int i = 0; i < 5; ++i) turns.begin("a");
    for (int i = 0; i < 5; ++i) join("a", first_moment + i * 1ms);
    join("b", first_moment + 1min);
    CHECK(serve(turns, who) == "b");
    CHECK(turns.in_use("b") == 1);
    join("b", first_moment + 2min);
    CHECK(serve(turns, who) == "b");
    CHECK(serve(turns, who) == "a");
}

TEST_CASE("with one connection customers take turns, and of a customer's own who came first") {
    Turns turns;
    std::map<Turns::Number, std::string> who;
    for (const char* customer : {"a", "a", "a", "b", "b", "c"}) {
        who[turns.join(customer, first_moment)] = customer;
    }
    std::string order;
    Turns::Number last_of_a = 0;
    while (turns.first()) {
        const auto number = *turns.first();
        const std::string customer = serve(turns, who);
        order += customer;
        turns.end(customer);
        if (customer != "a") continue;
        CHECK(number > last_of_a);
        last_of_a = number;
    }
    CHECK(order == "abcaba");
    CHECK(turns.customers() == 0);
}

TEST_CASE("who came earlier, or counts so, is before a customer's others") {
    Turns turns;
    const auto queued = turns.join("a", first_moment);
    const auto client = turns.join("a", first_moment + 1s - 5s);
    CHECK(turns.first() == client);
    turns.leave(client);
    CHECK(turns.first() == queued);
    turns.leave(queued);
    turns.leave(queued);
    CHECK_FALSE(turns.first());
    CHECK(turns.customers() == 0);
}

TEST_CASE("customers are known only while they use or want a connection") {
    Turns turns;
    for (int i = 0; i < 1000; ++i) {
        const std::string customer = std::to_string(i);
        const auto number = turns.join(customer, first_moment);
        turns.leave(number);
        turns.begin(customer);
        turns.end(customer);
        turns.end(customer);
    }
    CHECK(turns.customers() == 0);
}

TEST_CASE("a connection at hand goes past the first, but not to who has his half, nor for long") {
    Turns turns;
    for (int i = 0; i < 4; ++i) turns.begin("a");
    const auto here = turns.join("a", first_moment);
    CHECK(turns.may_pass(here, 10, first_moment));
    const auto first = turns.join("b", first_moment);
    REQUIRE(turns.first() == first);
    CHECK(turns.may_pass(first, 10, first_moment));
    CHECK(turns.may_pass(here, 10, first_moment));       // 4 of 10
    CHECK_FALSE(turns.may_pass(here, 8, first_moment));  // 4 of 8
    turns.end("a");
    CHECK(turns.may_pass(here, 8, first_moment));
    const auto late = turns.join("a", first_moment + 1500ms);
    CHECK_FALSE(turns.may_pass(late, 100, first_moment + 1500ms));
    // Where both have their half none of them keeps the other back.
    for (int i = 0; i < 3; ++i) turns.begin("b");
    CHECK(turns.may_pass(here, 2, first_moment));
}

TEST_CASE("one connection goes to another customer after a while") {
    Turns turns;
    const auto waits = turns.join("b", first_moment);
    turns.begin("a");
    turns.end("a");
    const auto here = turns.join("a", first_moment);
    REQUIRE(turns.first() == waits);
    CHECK(turns.may_pass(here, 1, first_moment + 500ms));
    CHECK_FALSE(turns.may_pass(here, 1, first_moment + 1500ms));
}

TEST_CASE("who was refused by a rate has the next one kept, in the order of refusals") {
    RateTurns turns;
    CHECK(turns.before("a", first_moment) == 0);
    turns.refused("a", first_moment, first_moment + 3s);
    turns.refused("b", first_moment, first_moment + 3s);
    CHECK(turns.before("a", first_moment) == 0);
    CHECK(turns.before("b", first_moment) == 1);
    CHECK(turns.before("c", first_moment) == 2);
    turns.served("a");
    CHECK(turns.before("b", first_moment) == 0);
    turns.refused("a", first_moment, first_moment + 3s);
    CHECK(turns.before("a", first_moment) == 1);
    turns.refused("b", first_moment + 2s, first_moment + 5s);  // asks again, keeps its place
    CHECK(turns.before("b", first_moment + 4s) == 0);
    CHECK(turns.before("c", first_moment + 4s) == 1);
    CHECK(turns.before("c", first_moment + 5s) == 0);
}

TEST_CASE("no more is kept for others than so many") {
    RateTurns turns;
    for (int i = 0; i < 1000; ++i)
        turns.refused(std::to_string(i), first_moment, first_moment + 3s);
    CHECK(turns.before("last", first_moment) == 256);
}
