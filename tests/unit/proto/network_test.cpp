#include "proto/network.hpp"

#include "tests/catch.hpp"

using postern::proto::Network;

namespace {

std::string cidr(const char* text) {
    const auto network = Network::parse(text);
    return network ? network->cidr() : "none";
}

std::string around(const char* address, unsigned prefix) {
    const auto network = Network::around(address, prefix);
    return network ? network->cidr() : "none";
}

}  // namespace

TEST_CASE("a network says how wide it is") {
    CHECK(cidr("192.0.2.7") == "192.0.2.7/32");
    CHECK(cidr("192.0.2.16/28") == "192.0.2.16/28");
    CHECK(cidr("0.0.0.0/0") == "0.0.0.0/0");
    CHECK(cidr("2001:DB8::") == "2001:db8::/128");
    CHECK(cidr("2001:db8::/32") == "2001:db8::/32");
    CHECK(cidr("::ffff:192.0.2.7") == "192.0.2.7/32");
    for (const char* const wrong : {"", "192.0.2.7/28", "192.0.2.0/33", "192.0.2.0/", "192.0.2/24",
                                    "2001:db8::/129", "::1/-1", "localhost", "192.0.2.0/24 "})
        CHECK(cidr(wrong) == "none");
    CHECK(Network::parse("10.0.0.0/8")->prefix() == 8);
    CHECK(Network::parse("10.0.0.0/8")->is_v4());
    CHECK(Network::parse("2001:db8::/64")->prefix() == 64);
    CHECK_FALSE(Network::parse("2001:db8::/64")->is_v4());
    CHECK_FALSE(Network::parse("::/0")->is_v4());
    CHECK(Network::parse("192.0.2.7/32")->text() == "192.0.2.7");
    CHECK(Network::parse("2001:db8::8/128")->text() == "2001:db8::8");
}

TEST_CASE("the network around an address") {
    CHECK(around("192.0.2.77", 32) == "192.0.2.77/32");
    CHECK(around("192.0.2.77", 28) == "192.0.2.64/28");
    CHECK(around("::ffff:192.0.2.77", 28) == "192.0.2.64/28");
    CHECK(around("192.0.2.77", 0) == "0.0.0.0/0");
    CHECK(around("192.0.2.77", 99) == "192.0.2.77/32");
    CHECK(around("2001:db8:1:2:3::9", 64) == "2001:db8:1:2::/64");
    CHECK(around("2001:db8:1:2:3::9", 33) == "2001:db8::/33");
    CHECK(around("2001:db8:8000::9", 33) == "2001:db8:8000::/33");
    CHECK(around("no address", 8) == "none");
}
