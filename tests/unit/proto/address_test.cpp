#include "proto/address.hpp"

#include <string>

#include "proto/path.hpp"
#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

std::string result_of(std::string_view text, bool smtputf8) {
    const auto address = parse_mailbox(text, smtputf8);
    return address ? address->local + "|" + address->domain : "error: " + address.error().message();
}

const std::string syntax = "error: not a mailbox";
const std::string too_long = "error: address too long";
const std::string no_domain = "error: address without a domain";
const std::string needs_smtputf8 = "error: address with non-ASCII octets needs SMTPUTF8";
const std::string bad_utf8 = "error: address is not UTF-8";

}  // namespace

TEST_CASE("a mailbox is read, or refused with its kind") {
    const std::string local64(64, 'l');
    const std::string label63(63, 'd');
    const std::string domain255 = label63 + "." + label63 + "." + label63 + "." + label63;
    struct Row {
        std::string text;
        std::string wanted;
    };
    const Row rows[] = {
        {"ann@example.net", "ann|example.net"},
        {"Ann.Lee+tag@Example.NET", "Ann.Lee+tag|Example.NET"},
        {"a!b%c@example.net", "a!b%c|example.net"},
        {"!#$%&'*+-/=?^_`{|}~@example.net", "!#$%&'*+-/=?^_`{|}~|example.net"},
        {"\"a b\"@example.net", "\"a b\"|example.net"},
        {R"("a\"b\\@c"@example.net)", R"("a\"b\\@c"|example.net)"},
        {"\"\"@example.net", "\"\"|example.net"},
        {"ann@localhost", "ann|localhost"},
        {"ann@under_score.example", "ann|under_score.example"},
        {"ann@[192.0.2.1]", "ann|[192.0.2.1]"},
        {"ann@[IPv6:2001:db8::1]", "ann|[IPv6:2001:db8::1]"},
        {"ann@[ipv6:::1]", "ann|[ipv6:::1]"},
        {local64 + "@example.net", local64 + "|example.net"},
        {"a@" + domain255, "a|" + domain255},

        {"", syntax},
        {"@example.net", syntax},
        {"ann", no_domain},
        {"ann@", no_domain},
        {"\"ann\"", no_domain},
        {"ann@@example.net", syntax},
        {"ann@b@example.net", syntax},
        {".ann@example.net", syntax},
        {"ann.@example.net", syntax},
        {"an..n@example.net", syntax},
        {"an n@example.net", syntax},
        {"ann@exam ple.net", syntax},
        {"<ann@example.net>", syntax},
        {"\"ann@example.net", syntax},
        {"\"ann\"x@example.net", syntax},
        {"\"an\\\"@example.net", syntax},
        {"ann@.example.net", syntax},
        {"ann@example..net", syntax},
        {"ann@example.net.", syntax},
        {"ann@-example.net", syntax},
        {"ann@example-.net", syntax},
        {"ann@example.net,x", syntax},
        {"ann@[192.0.2]", syntax},
        {"ann@[192.0.2.256]", syntax},
        {"ann@[IPv6:2001:db8::g]", syntax},
        {"ann@[]", syntax},
        {"ann@[192.0.2.1", syntax},
        {"ann@[tag:what]", syntax},
        {"ann@[192.0.2.1]x", syntax},
        {std::string("an\0n@example.net", 16), syntax},
        {std::string("ann@exam\0ple.net", 16), syntax},
        {"\"a\rb\"@example.net", syntax},
        {"\"a\\\nb\"@example.net", syntax},
        {local64 + "l@example.net", too_long},
        {"a@" + domain255 + "d", too_long},
        {"a@d" + label63 + ".net", syntax},
        {"b\xc3\xb8"
         "b@example.net",
         needs_smtputf8},
        {"b@b\xc3\xbc"
         "cher.example",
         needs_smtputf8},
        {"b\xf8"
         "b@example.net",
         bad_utf8},
        {"b\xc0\xae@example.net", bad_utf8},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        CHECK(result_of(row.text, false) == row.wanted);
    }
}

TEST_CASE("with SMTPUTF8 a mailbox may be UTF-8") {
    CHECK(result_of("bøb@bücher.example", true) == "bøb|bücher.example");
    CHECK(result_of("\"bø b\"@bücher.example", true) == "\"bø b\"|bücher.example");
    CHECK(result_of("用户@例え.テスト", true) == "用户|例え.テスト");
    CHECK(result_of("b\xf8@example.net", true) == bad_utf8);
    CHECK(result_of("b@\xe2\x80\xae.example", true) == syntax);  // a bidi override is no label
    CHECK(parse_mailbox("bøb@example.net", true)->ascii() == false);
    CHECK(parse_mailbox("bob@example.net", true)->ascii() == true);
    // The A-label of a long U-label is too long though its UTF-8 is not.
    std::string label;
    for (int i = 0; i < 60; ++i) label += i % 2 == 0 ? "ü" : "x";
    CHECK(result_of("a@" + label + ".example", true) == syntax);
}

TEST_CASE("addresses compare by their normal form") {
    struct Row {
        const char* text;
        const char* wanted;
    };
    const Row rows[] = {
        {"Ann@EXAMPLE.net", "ann@example.net"},
        {"\"Ann\"@example.net", "ann@example.net"},
        {R"("a\"B"@example.net)", "a\"b@example.net"},
        {"BØB@Bücher.Example", "bøb@xn--bcher-kva.example"},
        {"bob@xn--bcher-kva.example", "bob@xn--bcher-kva.example"},
        {"ann@[IPv6:2001:DB8::1]", "ann@[ipv6:2001:db8::1]"},
        {"ИВАН@example.net", "иван@example.net"},
        {"ΆΛΦΑ@example.net", "άλφα@example.net"},
        {"ŽLUŤ@example.net", "žluť@example.net"},
        {"Not An Address", "not an address"},
        {"", ""},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        CHECK(normalised_address(row.text) == row.wanted);
    }
    CHECK(normalised_domain("STRASSE.example") == "strasse.example");
    CHECK(normalised_domain("straße.example") == "xn--strae-oqa.example");
    CHECK(normalised_domain("[192.0.2.1]") == "[192.0.2.1]");
    CHECK(normalised_domain("\xff\xfe") == "\xff\xfe");
    CHECK(Address{"ann", "example.net"}.text() == "ann@example.net");
    CHECK(Address{"postmaster", ""}.text() == "postmaster");
}

TEST_CASE("a path is taken apart and its source route dropped") {
    struct Row {
        std::string text;
        std::string wanted;  ///< mailbox|rest, or the error
    };
    const std::string long_mailbox =
        std::string(64, 'l') + "@" + std::string(63, 'a') + "." + std::string(63, 'b');
    const std::string fills =
        long_mailbox + "." + std::string(61, 'c');  // 254 octets: 256 with brackets
    const Row rows[] = {
        {"<ann@example.net>", "ann@example.net|"},
        {"  <ann@example.net> SIZE=1", "ann@example.net| SIZE=1"},
        {"<>", "|"},
        {"<@a.example:ann@example.net>", "ann@example.net|"},
        {"<@a.example,@[192.0.2.1]:ann@example.net>", "ann@example.net|"},
        {"<@[IPv6:2001:db8::1]:ann@example.net>", "ann@example.net|"},
        {"<\"a > b\"@example.net>", "\"a > b\"@example.net|"},
        {"<\"a \\\" > b\"@example.net> X", "\"a \\\" > b\"@example.net| X"},
        {"<" + fills + ">", fills + "|"},
        {"<" + fills + "c>", too_long},
        {"", syntax},
        {"ann@example.net", syntax},
        {"<ann@example.net", syntax},
        {"<ann@example.net>SIZE=1", syntax},
        {"<ann@example.net>>", syntax},
        {"<@a.example>", syntax},
        {"<@a.example:>", syntax},
        {"<@:ann@example.net>", syntax},
        {"<@a.example,b.example:ann@example.net>", syntax},
        {"<@a.example@b.example:ann@example.net>", syntax},
        {"<@a b:ann@example.net>", syntax},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        const auto path = split_path(row.text);
        const std::string got = path ? std::string(path->mailbox) + "|" + std::string(path->rest)
                                     : "error: " + path.error().message();
        CHECK(got == row.wanted);
    }
}

TEST_CASE("address: a literal hides nothing behind a NUL") {
    using namespace std::string_view_literals;
    for (const std::string_view text :
         {"ann@[IPv6:2001:db8::\0x]"sv, "ann@[192.0.2.1\0 <b@c>]"sv, "ann@[IPv6:\0]"sv})
        CHECK_FALSE(parse_mailbox(text, true).has_value());
}

TEST_CASE("postmaster alone needs no domain, and only as a recipient") {
    CHECK(parse_forward_path("PostMaster", false)->text() == "PostMaster");
    CHECK(parse_forward_path("postmaster@example.net", false)->domain == "example.net");
    CHECK(parse_forward_path("root", false).error() == AddressError::no_domain);
    CHECK(parse_mailbox("postmaster", false).error() == AddressError::no_domain);
}
