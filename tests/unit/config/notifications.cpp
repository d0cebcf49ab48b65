#include <algorithm>

#include "surroundings.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace postern::relay::config;
using test::least;
using test::load;
using test::messages;

namespace {

bool says(const std::vector<std::string>& all, std::string_view key, std::string_view text) {
    return std::ranges::any_of(
        all, [&](const std::string& one) { return one.contains(key) && one.contains(text); });
}

}  // namespace

TEST_CASE("notifications go any way and from nobody unless told else") {
    const auto plain = load(least);
    REQUIRE(plain.config);
    CHECK(plain.config->delivery.dsn_upstream.empty());
    CHECK(plain.config->delivery.dsn_envelope.empty());

    const auto set = load(least + R"(
[delivery]
dsn_upstream = "primary"
dsn_envelope = "bounces@relay.example"
)");
    REQUIRE(messages(set) == std::vector<std::string>());
    CHECK(set.config->delivery.dsn_upstream == "primary");
    CHECK(set.config->delivery.dsn_envelope == "bounces@relay.example");

    const auto nobody = load(least + "\n[delivery]\ndsn_envelope = \"\"\n");
    REQUIRE(messages(nobody) == std::vector<std::string>());
    CHECK(nobody.config->delivery.dsn_envelope.empty());
}

TEST_CASE("a way of notifications that is none is an error that says what would be right") {
    CHECK(says(messages(load(least + "\n[delivery]\ndsn_upstream = \"primery\"\n")),
               "delivery.dsn_upstream", "did you mean primary?"));
    CHECK(says(messages(load(least + "\n[delivery]\ndsn_upstream = \"elsewhere\"\n")),
               "delivery.dsn_upstream", "name one of them"));
    CHECK(says(messages(load(least + "\n[delivery]\ndsn_envelope = \"nobody\"\n")),
               "delivery.dsn_envelope", "no plain mail address"));
}
