#include "proto/address_list.hpp"

#include <string>

#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

std::string parsed(std::string_view text, const AddressListBounds& bounds = {}) {
    const auto list = parse_address_list(text, bounds);
    if (!list.valid) {
        CHECK(list.mailboxes.empty());
        return "invalid";
    }
    std::string out;
    for (const auto& a : list.mailboxes) {
        if (!out.empty()) out += ' ';
        out += a.text();
    }
    return out;
}

}  // namespace

TEST_CASE("address lists of RFC 5322 are read") {
    struct Row {
        const char* text;
        const char* mailboxes;
    };
    const auto row = GENERATE(
        Row{" ann@example.net", "ann@example.net"}, Row{"<ann@example.net>", "ann@example.net"},
        Row{"Ann <ann@example.net>", "ann@example.net"},
        Row{"\"Ann, of Shop\" <ann@example.net>", "ann@example.net"},
        Row{"\"a@b.example\" <ann@example.net>", "ann@example.net"},
        Row{"\"quoted \\\" <x@y.example>\" <ann@example.net>", "ann@example.net"},
        Row{"Ann Q. Public <ann@example.net>", "ann@example.net"},
        Row{"=?utf-8?q?Gr=C3=BC=C3=9Fe?= <ann@example.net>", "ann@example.net"},
        Row{"Gr\xc3\xbc\xc3\x9f <ann@example.net>", "ann@example.net"},
        Row{"caf\xe9 <ann@example.net>", "ann@example.net"},
        Row{"gr\xc3\xbc\xc3\x9f@example.net", "gr\xc3\xbc\xc3\x9f@example.net"},
        Row{"a@x.example, b@y.example", "a@x.example b@y.example"},
        Row{"a@x.example,\r\n\tB <b@y.example>\r\n", "a@x.example b@y.example"},
        Row{",, a@x.example,,b@y.example,", "a@x.example b@y.example"},
        Row{"Friends: a@x.example, B <b@y.example>;", "a@x.example b@y.example"},
        Row{"Friends:;", ""}, Row{"", ""},
        Row{"Us: a@x.example;, Them:;, c@z.example", "a@x.example c@z.example"},
        Row{"(comment) ann (more (nested \\) still)) @ (here) example . net (end)",
            "ann@example.net"},
        Row{"Ann <@a.example,@b.example:ann@example.net>", "ann@example.net"},
        Row{"<@a.example:ann@example.net>", "ann@example.net"},
        Row{"\"odd local\"@example.net", "\"odd local\"@example.net"},
        Row{"ann . b @example.net", "ann.b@example.net"}, Row{"ann@[192.0.2.1]", "ann@[192.0.2.1]"},
        Row{"ann@example.net <ann@example.net>", "ann@example.net ann@example.net"},
        Row{"boss@bank.example <ann@example.net>", "boss@bank.example ann@example.net"});
    CAPTURE(row.text);
    CHECK(parsed(row.text) == row.mailboxes);
}

TEST_CASE("what is no address list is refused whole") {
    const auto* const text = GENERATE(
        "ann", "Ann Smith", "<>", "Ann <>", "<ann>", "Ann <ann>", "ann@", "@example.net",
        "ann@example..net", "ann..b@example.net", ".ann@example.net", "ann.@example.net",
        "ann@example.net.", "Ann ann@example.net", "ann@example.net b@y.example",
        "ann@example.net x", "<ann@example.net> x", "<ann@example.net> <b@y.example>",
        "<ann@example.net", "ann@example.net>", "\"open <ann@example.net>", "(open ann@example.net",
        "ann@example.net)", "Friends: a@x.example", "Friends: Nested: a@x.example;;",
        ": a@x.example;", "a@x.example;", "a\\b@x.example", "a@x.example]", "ann@[192.0.2.1",
        "Doe, John <j@x.example>", "=?q?,boss@bank.example,?= <ann@example.net>",
        "a@x.example; b@y.example", "a@b@c.example", "<a@b@c.example>",
        "<@a.example ann@example.net>", "ann@example.net <b@y.example> <c@z.example>",
        "Friends: a@x.example; b@y.example");
    CAPTURE(text);
    CHECK(parsed(text) == "invalid");
}

TEST_CASE("address lists with NUL and other controls are refused") {
    using namespace std::string_literals;
    CHECK(parsed("ann\0@example.net"s) == "invalid");
    CHECK(parsed("\"a\0b\" <ann@example.net>"s) == "invalid");
    CHECK(parsed("a\x01 <ann@example.net>") == "invalid");
}

TEST_CASE("address lists are bounded") {
    std::string many = "a@x.example";
    for (int i = 0; i < 99; ++i) many += ",a@x.example";
    CHECK(parsed(many) != "invalid");
    CHECK(parsed(many + ",a@x.example") == "invalid");
    CHECK(parsed("a@x.example", {.octets = 10}) == "invalid");
    const std::string open(32, '(');
    const std::string close(32, ')');
    CHECK(parsed(open + close + "a@x.example") == "a@x.example");
    CHECK(parsed("(" + open + close + ")a@x.example") == "invalid");
    CHECK(parsed(std::string(60000, '(')) == "invalid");
    CHECK(parsed(std::string(60000, ',')).empty());
}
