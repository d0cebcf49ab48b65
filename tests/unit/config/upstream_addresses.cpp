#include <algorithm>

#include "tests/catch.hpp"
#include "tests/unit/config/surroundings.hpp"

using namespace postern;
using namespace postern::relay::config;
using namespace postern::test;

namespace {

/// One more upstream with these lines.
Loaded with(const std::string& lines) {
    return load(least + "[[upstream]]\n" + lines + "\n");
}

const std::string pin_a = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const std::string pin_b = "sha256//AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

}  // namespace

TEST_CASE("an upstream may be a domain whose records say where it is") {
    struct Row {
        std::string written;
        Address read;
        std::string place;
    };
    const auto row = GENERATE(
        Row{"mx:Example.net", {"example.net", 25, AddressKind::mx}, "mx:example.net"},
        Row{"mx:example.net:2525", {"example.net", 2525, AddressKind::mx}, "mx:example.net:2525"},
        Row{"mx:example.net:25", {"example.net", 25, AddressKind::mx}, "mx:example.net"},
        Row{"mx:b\xc3\xbc"
            "cher.example",
            {"xn--bcher-kva.example", 25, AddressKind::mx},
            "mx:xn--bcher-kva.example"},
        Row{"srv:example.net", {"example.net", 0, AddressKind::srv}, "srv:example.net"},
        Row{"a.example", {"a.example", 587, AddressKind::host}, "a.example:587"},
        Row{"[2001:db8::1]:25", {"2001:db8::1", 25, AddressKind::host}, "[2001:db8::1]:25"});
    const auto loaded = with("address = \"" + row.written + "\"");
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const Upstream& read = loaded.config->upstream[1];
    CHECK(read.address == row.read);
    CHECK(read.address.place() == row.place);
    CHECK_FALSE(read.implicit_tls);
}

TEST_CASE("what is no domain is not taken for one") {
    const std::string domains =
        "; write one like \"mx:example.net\", \"mx:example.net:2525\" or \"srv:example.net\"";
    struct Row {
        std::string written;
        std::string wrong;
    };
    const auto row = GENERATE(
        Row{"mx:", "names no domain"}, Row{"srv:", "names no domain"},
        Row{"mx:192.0.2.1", "names no domain"}, Row{"mx:[2001:db8::1]:25", "names no domain"},
        Row{"mx:[example.net]", "names no domain"}, Row{"mx:a b", "names no domain"},
        Row{"mx:example.net:0", "names no domain"}, Row{"mx:example.net:x", "names no domain"},
        Row{"srv:example.net:587", "has a port, which is for the domain's records to say"});
    CHECK(messages(with("address = \"" + row.written + "\"")) ==
          std::vector<std::string>{"/etc/p.toml:9: upstream.1.address: \"" + row.written + "\" " +
                                   row.wrong + domains});
}

TEST_CASE("pins are hashes of keys") {
    const auto one = with("address = \"b.example\"\ntls = \"pin\"\npin = \"" + pin_a + "\"");
    REQUIRE(messages(one) == std::vector<std::string>());
    CHECK(one.config->upstream[1].tls == UpstreamTls::pin);
    CHECK(one.config->upstream[1].pin == std::vector<KeyPin>{KeyPin{}});
    CHECK(one.config->notices == std::vector<std::string>());
    const auto two = with("address = \"b.example\"\ntls = \"pin\"\npin = [\"" + pin_a + "\", \"" +
                          pin_b + "\"]");
    REQUIRE(messages(two) == std::vector<std::string>());
    REQUIRE(two.config->upstream[1].pin.size() == 2);
    CHECK(two.config->upstream[1].pin[1] == KeyPin{1});
}

TEST_CASE("what is no pin is refused, with how to make one") {
    const auto pin = GENERATE(as<std::string>{}, "", "sha256//", "AAAA", "sha256//AAAA",
                              "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                              "sha1//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                              "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                              "sha256//????AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    const auto told =
        messages(with("address = \"b.example\"\ntls = \"pin\"\npin = \"" + pin + "\""));
    REQUIRE(told.size() == 1);
    CHECK(told[0].starts_with("/etc/p.toml:11: upstream.1.pin: \"" + pin +
                              "\" is no pin; write \"sha256//\""));
}

TEST_CASE("tls and what goes with it must agree") {
    struct Row {
        std::string lines;
        std::string told;
    };
    const auto row = GENERATE(
        Row{"tls = \"pin\"", "upstream.1.pin: not set, but tls is \"pin\""},
        Row{"tls = \"pin\"\npin = []", "upstream.1.pin: the list is empty"},
        Row{"pin = \"" + pin_a + "\"", "upstream.1.pin: is for tls = \"pin\""},
        Row{"tls = \"pin\"\nca = \"ca.pem\"\npin = \"" + pin_a + "\"",
            "upstream.1.ca: is for tls = \"verify\""},
        Row{"tls = \"opportunistic\"\nca = \"ca.pem\"", "upstream.1.ca: is for tls = \"verify\""});
    const auto told = messages(with("address = \"b.example\"\n" + row.lines));
    REQUIRE(told.size() == 1);
    CHECK(told[0].contains(row.told));
}

TEST_CASE("opportunistic TLS is taken where it is named, and told") {
    const auto loaded = with("address = \"192.0.2.1\"\ntls = \"opportunistic\"");
    REQUIRE(messages(loaded) == std::vector<std::string>());
    CHECK(loaded.config->upstream[1].tls == UpstreamTls::opportunistic);
    REQUIRE(loaded.config->notices.size() == 1);
    CHECK(loaded.config->notices[0].contains("upstream.1.tls: \"opportunistic\" believes any"));
}
