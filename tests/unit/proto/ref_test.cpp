#include "proto/ref.hpp"

#include <algorithm>

#include "tests/catch.hpp"

using namespace postern::proto;

TEST_CASE("a reference is a ULID: time first, then 80 bits") {
    RefRandom zero{};
    RefRandom ones{};
    ones.fill(0xff);
    CHECK(make_ref(0, zero) == "00000000000000000000000000");
    CHECK(make_ref((std::uint64_t{1} << 48U) - 1, ones) == "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    // The example of the ULID specification.
    CHECK(make_ref(1469918176385, zero).substr(0, 10) == "01ARYZ6S41");
    const RefRandom counted{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09};
    CHECK(make_ref(0, counted) == "0000000000000G40R40M30E209");
    CHECK(make_ref(std::uint64_t{1} << 48U, zero) == make_ref(0, zero));
}

TEST_CASE("references sort by time") {
    RefRandom zero{};
    RefRandom ones{};
    ones.fill(0xff);
    CHECK(make_ref(1000, ones) < make_ref(1001, zero));
}

TEST_CASE("a reference gives its time back") {
    const RefRandom random{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const std::string ref = make_ref(1772442902377, random);
    CHECK(is_ref(ref));
    CHECK(ref_time(ref) == 1772442902377);
    CHECK_FALSE(ref_time("x").has_value());
}

TEST_CASE("what is no reference is told") {
    CHECK_FALSE(is_ref(""));
    CHECK_FALSE(is_ref("01ARYZ6S41000000000000000"));
    CHECK_FALSE(is_ref("01ARYZ6S4100000000000000000"));
    CHECK_FALSE(is_ref("81ARYZ6S410000000000000000"));  // over 128 bits
    CHECK_FALSE(is_ref("01ARYZ6S41000000000000000U"));
    CHECK_FALSE(is_ref("01aryz6s410000000000000000"));
    CHECK_FALSE(is_ref("01ARYZ6S41../../etc/passwd"));
}

TEST_CASE("a reference typed by a person is read") {
    CHECK(parse_ref("01aryz6s41oooooooooooooooi") == "01ARYZ6S410000000000000001");
    CHECK(parse_ref("01ARYZ6S41000000000000000L") == "01ARYZ6S410000000000000001");
    CHECK_FALSE(parse_ref("01ARYZ6S41 000000000000000").has_value());
    CHECK_FALSE(parse_ref("").has_value());
}
