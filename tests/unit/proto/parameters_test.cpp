#include "proto/parameters.hpp"

#include <limits>

#include "proto/base64.hpp"
#include "proto/replies.hpp"
#include "proto/reply.hpp"
#include "proto/utf8.hpp"
#include "proto/xtext.hpp"
#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

char fault_of_mail(std::string_view text, Envelope& envelope) {
    return "-ub"[static_cast<int>(read_mail_parameters(text, envelope))];
}
char fault_of_mail(std::string_view text) {
    Envelope envelope;
    return fault_of_mail(text, envelope);
}
char fault_of_rcpt(std::string_view text, bool smtputf8 = false) {
    Recipient recipient;
    return "-ub"[static_cast<int>(read_rcpt_parameters(text, smtputf8, recipient))];
}

}  // namespace

TEST_CASE("parameters of MAIL are read") {
    Envelope envelope;
    CHECK(fault_of_mail(
              " size=1000 BODY=8bitmime SMTPUTF8  RET=hdrs ENVID=q+2B1 AUTH=ann+40example.net ",
              envelope) == '-');
    CHECK(envelope.declared_size == 1000);
    CHECK(envelope.body == Body::eight_bit_mime);
    CHECK(envelope.smtputf8);
    CHECK(envelope.ret == Ret::headers);
    CHECK(envelope.envid == "q+2B1");
    CHECK(fault_of_mail("", envelope) == '-');
    CHECK(fault_of_mail(" SIZE=18446744073709551615", envelope) == '-');
    CHECK(fault_of_mail(" SIZE=99999999999999999999", envelope) == '-');
    CHECK(envelope.declared_size == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("parameters of MAIL are refused with their kind") {
    struct Row {
        std::string text;
        char wanted;
    };
    const Row rows[] = {
        {" AUTH=<>", '-'},
        {" RET=FULL", '-'},
        {" BODY=7BIT", '-'},
        {" BODY=BINARYMIME", 'u'},
        {" REQUIRETLS", 'u'},
        {" MT-PRIORITY=3", 'u'},
        {" HOLDFOR=60", 'u'},
        {" NOTIFY=NEVER", 'u'},
        {" BODY=16BIT", 'b'},
        {" BODY", 'b'},
        {" BODY=", 'b'},
        {" SIZE", 'b'},
        {" SIZE=", 'b'},
        {" SIZE=-1", 'b'},
        {" SIZE=1e3", 'b'},
        {" SIZE=100000000000000000000", 'b'},
        {" SIZE=1 SIZE=1", 'b'},
        {" SMTPUTF8=yes", 'b'},
        {" RET=HALF", 'b'},
        {" RET", 'b'},
        {" ENVID=", 'b'},
        {" ENVID=a+b", 'b'},
        {" ENVID=a+0A", 'b'},
        {" ENVID=" + std::string(100, 'e'), '-'},
        {" ENVID=" + std::string(101, 'e'), 'b'},
        {" AUTH", 'b'},
        {" AUTH=a=b", 'b'},
        {" =1", 'b'},
        {" -X=1", 'b'},
        {" S\xc3\xbc=1", 'b'},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        CHECK(fault_of_mail(row.text) == row.wanted);
    }
}

TEST_CASE("parameters of RCPT are read") {
    Recipient recipient;
    CHECK(read_rcpt_parameters(" NOTIFY=success,DELAY ORCPT=rfc822;bob+2Bx@example.org", false,
                               recipient) == ParameterFault::none);
    CHECK(recipient.notify ==
          Notify{.never = false, .success = true, .failure = false, .delay = true});
    CHECK(recipient.orcpt == "rfc822;bob+2Bx@example.org");
    CHECK(fault_of_rcpt(" NOTIFY=NEVER") == '-');
    CHECK(fault_of_rcpt(" ORCPT=utf-8;b\xc3\xb8"
                        "b@example.org",
                        true) == '-');

    CHECK(fault_of_rcpt(" SIZE=1") == 'u');
    CHECK(fault_of_rcpt(" NOTIFY=NEVER,SUCCESS") == 'b');
    CHECK(fault_of_rcpt(" NOTIFY=SUCCESS,SUCCESS") == 'b');
    CHECK(fault_of_rcpt(" NOTIFY=SUCCESS,") == 'b');
    CHECK(fault_of_rcpt(" NOTIFY=") == 'b');
    CHECK(fault_of_rcpt(" NOTIFY") == 'b');
    CHECK(fault_of_rcpt(" NOTIFY=NEVER NOTIFY=NEVER") == 'b');
    CHECK(fault_of_rcpt(" ORCPT=bob@example.org") == 'b');
    CHECK(fault_of_rcpt(" ORCPT=rfc822;") == 'b');
    CHECK(fault_of_rcpt(" ORCPT=;bob") == 'b');
    CHECK(fault_of_rcpt(" ORCPT=rfc822;bob+0D+0Ax") == 'b');
    CHECK(fault_of_rcpt(" ORCPT=utf-8;b\xc3\xb8"
                        "b@example.org") == 'b');
    CHECK(fault_of_rcpt(" ORCPT=rfc822;" + std::string(493, 'o')) == '-');
    CHECK(fault_of_rcpt(" ORCPT=rfc822;" + std::string(494, 'o')) == 'b');
}

TEST_CASE("base64 is strict") {
    for (const std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
        CHECK(base64_decode(base64_encode(text)) == text);
    }
    CHECK(base64_encode("foob") == "Zm9vYg==");
    CHECK(base64_encode(std::string("\0\xff\x10", 3)) == "AP8Q");
    for (const char* bad : {"Z", "Zm", "Zm9", "Zm9v=", "Z===", "====", "=", "Zm==Zm9v", "Zm9vYh==",
                            "Zm9vYmF=", "Zm9v Yg=", "Zm9v\n", "Zm9-", "Zm9_", "*", "Zm=v"}) {
        INFO(bad);
        CHECK_FALSE(base64_decode(bad).has_value());
    }
}

TEST_CASE("xtext holds no control octets") {
    CHECK(valid_xtext("a+2Bb"));
    CHECK(valid_xtext("+FF"));
    for (const char* bad :
         {"", "a+2b", "a+", "a+2", "a+0D", "a+7F", "a=b", "a b", "\x7f", "b\xc3\xb8"}) {
        INFO(bad);
        CHECK_FALSE(valid_xtext(bad));
    }
}

TEST_CASE("UTF-8 is judged by RFC 3629") {
    for (const char* good :
         {"", "a", "\xc2\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf"})
        CHECK(valid_utf8(good));
    for (const char* bad :
         {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "a\xff"}) {
        CHECK_FALSE(valid_utf8(bad));
    }
}

TEST_CASE("foreign text is made fit for a reply") {
    CHECK(clean_text("all well") == "all well");
    CHECK(clean_text("a\r\nb\nc\rd") == "a b c d");
    CHECK(clean_text(std::string("a\0b\x1b[31m\x7f", 9)) == "a?b?[31m?");
    CHECK(clean_text("b\xf8\xc2\x85 ü") == "b?? ü");
    CHECK(clean_text("üü", 3) == "ü");
    CHECK(clean_text(std::string(600, 'a')).size() == 510);
}

TEST_CASE("a reply's wire form") {
    const auto rendered = [](const Reply& reply) {
        std::string out;
        render(reply, out);
        return out;
    };
    CHECK(rendered({.code = 250, .enhanced = "2.0.0", .text = "ok"}) == "250 2.0.0 ok\r\n");
    CHECK(rendered({.code = 250, .enhanced = "2.0.0", .text = ""}) == "250 2.0.0\r\n");
    CHECK(rendered({.code = 220, .enhanced = {}, .text = "host ESMTP ready"}) ==
          "220 host ESMTP ready\r\n");
    CHECK(rendered({.code = 550, .enhanced = "5.7.1", .text = "a\nb"}) ==
          "550-5.7.1 a\r\n550 5.7.1 b\r\n");
    CHECK(rendered({.code = 550, .enhanced = "5.7.1", .text = "a\r250 ok\x01"}) ==
          "550 5.7.1 a 250 ok?\r\n");
    const std::string long_line =
        rendered({.code = 550, .enhanced = "5.7.1", .text = std::string(900, 'x')});
    CHECK(long_line.size() == 512);
    CHECK(long_line.ends_with("x\r\n"));
}

TEST_CASE("a reference stands once, at the end, and is never cut off") {
    const std::string ref = "01J00000000000000000000000";
    const std::string mark = " [" + ref + "]";
    for (const std::string& text :
         {std::string("no"), "no" + mark, "n" + mark + "o", std::string("first\nno"),
          std::string(700, 'y'), "first" + mark + "\nno", std::string()}) {
        Reply reply{.code = 550, .enhanced = "5.7.1", .text = text};
        append_ref(reply, ref);
        INFO(text);
        CHECK(reply.text.ends_with(mark));
        CHECK(reply.text.find(mark) == reply.text.size() - mark.size());
        std::string out;
        render(reply, out);
        CHECK(out.ends_with(mark + "\r\n"));
        CHECK(out.size() - (out.rfind("\r\n", out.size() - 3) == std::string::npos
                                ? 0
                                : out.rfind("\r\n", out.size() - 3) + 2) <=
              512);
    }
}

TEST_CASE("an enhanced code fits its reply") {
    const auto completed = [](int code, std::string enhanced) {
        Reply reply{.code = code, .enhanced = std::move(enhanced), .text = {}};
        complete_enhanced(reply);
        return reply.enhanced;
    };
    CHECK(completed(550, "5.1.1") == "5.1.1");
    CHECK(completed(550, "") == "5.0.0");
    CHECK(completed(550, "4.1.1") == "5.0.0");
    CHECK(completed(452, "4.3.1x") == "4.0.0");
    CHECK(completed(250, "2.6.0") == "2.6.0");
}
