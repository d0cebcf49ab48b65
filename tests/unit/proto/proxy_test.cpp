#include "proto/proxy.hpp"

#include "tests/catch.hpp"

using namespace postern::proto;
using namespace std::string_literals;
using Status = ProxyResult::Status;

namespace {

std::string v2(char command, char family, const std::string& payload) {
    std::string out = "\r\n\r\n\0\r\nQUIT\n"s;
    out += command;
    out += family;
    out += static_cast<char>(payload.size() >> 8U);
    out += static_cast<char>(payload.size() & 0xffU);
    return out + payload;
}

const std::string payload4 = "\xc0\x00\x02\x07\xcb\x00\x71\x09\xd6\xd8\x02\x4b"s;
const std::string payload6 =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
    "\x00\x50\x01\xd1"s;

/// The status after each length: need_more up to the octet that decides.
void check_steps(const std::string& octets, std::size_t decided_at, Status status) {
    CAPTURE(octets, decided_at);
    for (std::size_t n = 0; n <= octets.size(); ++n) {
        const auto result = parse_proxy(std::string_view(octets).substr(0, n));
        CAPTURE(n);
        CHECK(result.status == (n < decided_at ? Status::need_more : status));
        if (result.status == Status::done) CHECK(result.consumed == decided_at);
    }
}

}  // namespace

TEST_CASE("PROXY v1 gives both ends") {
    const auto r = parse_proxy("PROXY TCP4 192.0.2.7 203.0.113.9 55000 587\r\nEHLO");
    REQUIRE(r.status == Status::done);
    CHECK(r.consumed == 44);
    CHECK(r.header == ProxyHeader{.local = false,
                                  .source = "192.0.2.7",
                                  .source_port = 55000,
                                  .destination = "203.0.113.9",
                                  .destination_port = 587});
    const auto six = parse_proxy("PROXY TCP6 2001:DB8:0:0::1 ::1 0 65535\r\n");
    REQUIRE(six.status == Status::done);
    CHECK(six.header.source == "2001:db8::1");
    CHECK(six.header.destination == "::1");
    CHECK(six.header.destination_port == 65535);
}

TEST_CASE("PROXY v1 UNKNOWN is the proxy itself") {
    for (const auto* text : {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f::1 ::2 1 2\r\n"}) {
        const auto r = parse_proxy(text);
        REQUIRE(r.status == Status::done);
        CHECK(r.header.local);
        CHECK(r.header.source.empty());
        CHECK(r.consumed == std::string_view(text).size());
    }
}

TEST_CASE("PROXY v1 refuses what is not to the letter") {
    const auto* const text = GENERATE(
        "PROXY TCP4 192.0.2.7 203.0.113.9 55000\r\n", "PROXY TCP4 192.0.2.7 203.0.113.9 1 2 3\r\n",
        "PROXY TCP4  192.0.2.7 203.0.113.9 1 2\r\n", "PROXY TCP4 192.0.2.7 203.0.113.9 01 2\r\n",
        "PROXY TCP4 192.0.2.7 203.0.113.9 1 65536\r\n", "PROXY TCP4 192.0.2.7 203.0.113.9 -1 2\r\n",
        "PROXY TCP4 192.0.2 203.0.113.9 1 2\r\n", "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 203.0.113.9 1 2\r\n", "PROXY UDP4 192.0.2.7 203.0.113.9 1 2\r\n",
        "PROXY UNIX a b\r\n", "PROXY UNKNOWNX\r\n", "PROXY \r\n",
        "PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "PROXY TCP4 192.0.2.7 203.0.113.9 1 2 \r\n",
        "PROXY TCP4 192.0.2.7%lo 203.0.113.9 1 2\r\n");
    CAPTURE(text);
    CHECK(parse_proxy(text).status == Status::error);
}

TEST_CASE("PROXY v1 is bounded") {
    const std::string longest = "PROXY UNKNOWN " + std::string(107 - 14 - 2, 'x') + "\r\n";
    REQUIRE(longest.size() == proxy_v1_limit);
    check_steps(longest, longest.size(), Status::done);
    check_steps("PROXY UNKNOWN " + std::string(200, 'x') + "\r\n", proxy_v1_limit, Status::error);
}

TEST_CASE("PROXY headers are decided by the first octet that can") {
    check_steps("PROXY TCP4 192.0.2.7 203.0.113.9 55000 587\r\n", 44, Status::done);
    check_steps("EHLO x\r\n", 1, Status::error);
    check_steps("PROXX", 5, Status::error);
    check_steps("\r\nEHLO", 3, Status::error);
    check_steps(v2('\x21', '\x11', payload4), 28, Status::done);
    check_steps(v2('\x21', '\x21', payload6), 52, Status::done);
    check_steps(v2('\x31', '\x11', payload4), 13, Status::error);
    check_steps(v2('\x22', '\x11', payload4), 13, Status::error);
}

TEST_CASE("PROXY v2 gives both ends and skips TLVs") {
    const auto r = parse_proxy(v2('\x21', '\x11', payload4 + "\x03\x00\x04"s + "abcd") + "EHLO");
    REQUIRE(r.status == Status::done);
    CHECK(r.consumed == 16 + 12 + 7);
    CHECK(r.header == ProxyHeader{.local = false,
                                  .source = "192.0.2.7",
                                  .source_port = 55000,
                                  .destination = "203.0.113.9",
                                  .destination_port = 587});
    const auto six = parse_proxy(v2('\x21', '\x21', payload6));
    REQUIRE(six.status == Status::done);
    CHECK(six.header.source == "2001:db8::1");
    CHECK(six.header.source_port == 80);
    CHECK(six.header.destination == "2001:db8::2");
    CHECK(six.header.destination_port == 465);
}

TEST_CASE("PROXY v2 LOCAL and UNSPEC are the proxy itself") {
    for (const auto& text : {v2('\x20', '\0', ""), v2('\x20', '\x11', payload4),
                             v2('\x21', '\0', ""), v2('\x20', '\x31', "whatever")}) {
        const auto r = parse_proxy(text);
        REQUIRE(r.status == Status::done);
        CHECK(r.header.local);
        CHECK(r.consumed == text.size());
    }
}

TEST_CASE("PROXY v2 refuses sockets of the file system, datagrams, short and long payloads") {
    CHECK(parse_proxy(v2('\x21', '\x31', std::string(216, 'x'))).status == Status::error);
    CHECK(parse_proxy(v2('\x21', '\x12', payload4)).status == Status::error);
    CHECK(parse_proxy(v2('\x21', '\x22', payload6)).status == Status::error);
    CHECK(parse_proxy(v2('\x21', '\x11', payload4.substr(1))).status == Status::error);
    CHECK(parse_proxy(v2('\x21', '\x21', payload6.substr(1))).status == Status::error);
    CHECK(parse_proxy(v2('\x20', '\0', std::string(4096, 'x'))).status == Status::done);
    CHECK(parse_proxy(v2('\x20', '\0', std::string(4097, 'x'))).status == Status::error);
}
