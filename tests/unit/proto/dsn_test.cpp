#include "proto/dsn.hpp"

#include <algorithm>
#include <string>

#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

DsnRecipient failed(std::string local = "bob", std::string domain = "example.org") {
    DsnRecipient out;
    out.recipient.address = {.local = std::move(local), .domain = std::move(domain)};
    out.reply = {.code = 550, .enhanced = "5.1.1", .text = "no such user", .close_after = false};
    out.remote_mta = "mx.provider.example";
    out.last_attempt = 1772442960;
    return out;
}

constexpr std::string_view header =
    "Received: from smtp.example.net by smtp.example.net with ESMTPSA\r\n"
    " id 01ARYZ6S410000000000000000; Mon, 02 Mar 2026 09:15:00 +0000\r\n"
    "From: Ann <ann@example.net>\r\nTo: bob@example.org\r\nSubject: Invoice\r\nMessage-ID: "
    "<1@example.net>\r\n\r\n";

DsnRequest request() {
    DsnRequest out;
    out.hostname = "smtp.example.net";
    out.from_domain = "example.net";
    out.contact = "help@example.net";
    out.ref = "01ARYZ6S410000000000000000";
    out.own_ref = "01ARYZ6S41000000000000000Z";
    out.unix_seconds = 1772443000;
    out.arrival = 1772442900;
    out.envelope.mail_from = Address{.local = "ann", .domain = "example.net"};
    out.envelope.envid = "QQ+2B314";
    out.recipients.push_back(failed());
    out.header = header;
    out.subject = "Invoice";
    out.boundary = "b0123456789abcdef";
    return out;
}

bool seven_bit(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void check_form(const Dsn& dsn) {
    const std::string_view text = dsn.text;
    CHECK(text.ends_with("\r\n"));
    CHECK(text.find('\0') == std::string_view::npos);
    std::size_t line = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n') {
            CHECK((i > 0 && text[i - 1] == '\r'));
            CHECK(i - line <= 999);
            line = i + 1;
        } else if (text[i] == '\r') {
            CHECK((i + 1 < text.size() && text[i + 1] == '\n'));
        }
    }
    CHECK_FALSE(dsn.envelope.mail_from.has_value());
    REQUIRE(dsn.envelope.recipients.size() == 1);
    CHECK(dsn.envelope.recipients[0].notify == Notify{.never = true});
    CHECK((dsn.envelope.body == Body::eight_bit_mime) == !seven_bit(text));
}

std::string part(const Dsn& dsn, std::size_t number) {
    const std::string mark = "\r\n--b0123456789abcdef";
    std::size_t at = 0;
    for (std::size_t i = 0; i < number; ++i) at = dsn.text.find(mark, at) + mark.size();
    return dsn.text.substr(at + 2, dsn.text.find(mark, at) - at - 2);
}

}  // namespace

TEST_CASE("dsn: a failure, whole") {
    const Dsn dsn = make_dsn(request());
    check_form(dsn);
    CHECK(dsn.envelope.recipients[0].address.text() == "ann@example.net");
    CHECK_FALSE(dsn.envelope.smtputf8);
    CHECK(dsn.text ==
          "From: Mail Delivery System <postmaster@example.net>\r\n"
          "To: <ann@example.net>\r\n"
          "Date: Mon, 02 Mar 2026 09:16:40 +0000\r\n"
          "Message-ID: <01ARYZ6S41000000000000000Z@smtp.example.net>\r\n"
          "In-Reply-To: <1@example.net>\r\n"
          "References: <1@example.net>\r\n"
          "Subject: Your message could not be delivered\r\n"
          "Auto-Submitted: auto-replied\r\n"
          "MIME-Version: 1.0\r\n"
          "Content-Type: multipart/report; report-type=delivery-status;\r\n"
          " boundary=\"b0123456789abcdef\"\r\n"
          "\r\n"
          "--b0123456789abcdef\r\n"
          "Content-Type: text/plain; charset=us-ascii\r\n"
          "\r\n"
          "This is the mail system at smtp.example.net.\r\n"
          "\r\n"
          "Your message could not be delivered. It will not be tried again.\r\n"
          "\r\n"
          "It was sent: Mon, 02 Mar 2026 09:15:00 +0000\r\n"
          "Its subject: Invoice\r\n"
          "\r\n"
          "  bob@example.org\r\n"
          "    The next mail server refused it.\r\n"
          "    mx.provider.example said: 550 5.1.1 no such user\r\n"
          "    Check the address for a typing error.\r\n"
          "\r\n"
          "The message's reference is 01ARYZ6S410000000000000000. If you need help,\r\n"
          "write to help@example.net and name it.\r\n"
          "This notice was made by a program. Details for mail administrators are\r\n"
          "attached.\r\n"
          "\r\n"
          "--b0123456789abcdef\r\n"
          "Content-Type: message/delivery-status\r\n"
          "\r\n"
          "Reporting-MTA: dns; smtp.example.net\r\n"
          "Original-Envelope-Id: QQ+314\r\n"
          "Arrival-Date: Mon, 02 Mar 2026 09:15:00 +0000\r\n"
          "\r\n"
          "Final-Recipient: rfc822; bob@example.org\r\n"
          "Action: failed\r\n"
          "Status: 5.1.1\r\n"
          "Remote-MTA: dns; mx.provider.example\r\n"
          "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
          "Last-Attempt-Date: Mon, 02 Mar 2026 09:16:00 +0000\r\n"
          "\r\n"
          "--b0123456789abcdef\r\n"
          "Content-Type: text/rfc822-headers\r\n"
          "\r\n" +
              std::string(header.substr(0, header.size() - 2)) +
              "\r\n"
              "--b0123456789abcdef--\r\n");
}

TEST_CASE("dsn: a delay says until when it is tried, and never returns the body") {
    auto r = request();
    r.envelope.ret = Ret::full;
    r.body = "hello\r\n";
    r.recipients[0].action = DsnAction::delayed;
    r.recipients[0].reply = {
        .code = 451, .enhanced = "4.3.0", .text = "later", .close_after = false};
    r.recipients[0].will_retry_until = 1772788500;
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK(dsn.text.contains("\r\nAuto-Submitted: auto-generated\r\n"));
    CHECK(dsn.text.contains("\r\nAction: delayed\r\nStatus: 4.3.0\r\n"));
    CHECK(dsn.text.contains("\r\nWill-Retry-Until: Fri, 06 Mar 2026 09:15:00 +0000\r\n"));
    CHECK(dsn.text.contains("It is tried until Fri, 06 Mar 2026 09:15:00 +0000."));
    CHECK_FALSE(dsn.text.contains("hello"));
}

TEST_CASE("dsn: success, and several recipients with what became of each") {
    auto r = request();
    r.recipients[0].action = DsnAction::relayed;
    r.recipients[0].reply = {.code = 250, .enhanced = "2.1.5", .text = "ok", .close_after = false};
    CHECK(make_dsn(r).text.contains("\r\nSubject: Your message was handed on\r\n"));
    CHECK(make_dsn(r).text.contains("\r\nAction: relayed\r\nStatus: 2.1.5\r\n"));
    r.recipients[0].action = DsnAction::delivered;
    CHECK(make_dsn(r).text.contains("\r\nSubject: Your message was delivered\r\n"));
    r.recipients.push_back(failed("carol"));
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK(dsn.text.contains("\r\nSubject: Your message could not be delivered\r\n"));
    CHECK(dsn.text.contains("Action: delivered\r\n"));
    CHECK(dsn.text.contains("Action: failed\r\n"));
}

TEST_CASE("dsn: the status fits the action") {
    const auto status = [](DsnAction action, std::string given, std::string enhanced) {
        auto r = request();
        r.recipients[0].action = action;
        r.recipients[0].status = std::move(given);
        r.recipients[0].reply.enhanced = std::move(enhanced);
        const auto text = make_dsn(r).text;
        const auto at = text.find("\r\nStatus: ") + 10;
        return text.substr(at, text.find("\r\n", at) - at);
    };
    CHECK(status(DsnAction::failed, "", "5.7.1") == "5.7.1");
    CHECK(status(DsnAction::failed, "4.4.7", "") == "4.4.7");
    CHECK(status(DsnAction::failed, "", "2.0.0") == "5.0.0");
    CHECK(status(DsnAction::failed, "5.1\r\nX: y", "") == "5.0.0");
    CHECK(status(DsnAction::failed, "5.1.1234", "") == "5.0.0");
    CHECK(status(DsnAction::delayed, "", "5.7.1") == "4.0.0");
    CHECK(status(DsnAction::delayed, "", "4.7.1") == "4.7.1");
    CHECK(status(DsnAction::delivered, "", "") == "2.0.0");
}

TEST_CASE("dsn: without a reply the reason speaks") {
    auto r = request();
    r.recipients[0].reply = {};
    r.recipients[0].remote_mta.clear();
    r.recipients[0].status = "4.4.7";
    r.recipients[0].reason = "It could not be delivered within 4 days.";
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK(dsn.text.contains("    It could not be delivered within 4 days.\r\n"));
    CHECK_FALSE(dsn.text.contains("Diagnostic-Code"));
    CHECK_FALSE(dsn.text.contains("Remote-MTA"));
}

TEST_CASE("dsn: RET=FULL returns what is small enough") {
    auto r = request();
    r.envelope.ret = Ret::full;
    const std::string body = "hello\r\n.dot\r\n";
    r.body = body;
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK(part(dsn, 3) ==
          "Content-Type: message/rfc822\r\n\r\n" + std::string(header) + "hello\r\n.dot\r\n");
    const std::string large(dsn_full_limit, 'x');
    r.body = large;
    CHECK(make_dsn(r).text.contains("text/rfc822-headers"));
    r.envelope.ret = Ret::headers;
    r.body = body;
    CHECK(make_dsn(r).text.contains("text/rfc822-headers"));
}

TEST_CASE("dsn: a header that was cut between CR and LF leaves no bare CR") {
    auto r = request();
    std::string cut(header);
    while (cut.size() < dsn_full_limit) cut += "X-More: text\r\n";
    cut.resize(dsn_full_limit - 1);
    cut += '\r';
    for (const auto& text : {cut, std::string(header) + "X-A: b\r", std::string(header) + "\r"}) {
        r.header = text;
        check_form(make_dsn(r));
    }
}

TEST_CASE("dsn: nothing foreign ends a line") {
    auto r = request();
    r.contact = "x\r\nBcc: y@z.example";
    r.subject = "s\r\n\r\n--b0123456789abcdef--";
    r.ref = "r\r\nX: y";
    r.own_ref = "r\r\nX: y";
    r.hostname = "h\r\nX: y";
    r.from_domain = "d>\r\nX: y";
    r.envelope.envid = "a+0D+0AX: y";
    r.recipients[0].recipient.orcpt = "rfc822;a+0D+0AX: y";
    r.recipients[0].recipient.address = {.local = "a\r\nX: y", .domain = "b\r\nX: y"};
    r.recipients[0].remote_mta = "m\r\nX: y";
    r.recipients[0].reason = "z\r\nX: y";
    r.recipients[0].reply.enhanced = "5.1.1\r\nX: y";
    r.recipients[0].reply.text = "t\r\nX: y\r\n\r\n--b0123456789abcdef--";
    r.envelope.mail_from = Address{.local = "ann\r\nX: y", .domain = "e"};
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK_FALSE(dsn.text.contains("\nX: y"));
    CHECK_FALSE(dsn.text.contains("\nBcc"));
    std::size_t boundaries = 0;
    for (std::size_t at = 0; (at = dsn.text.find("\n--b0123456789abcdef", at)) != std::string::npos;
         ++at)
        ++boundaries;
    CHECK(boundaries == 4);
}

TEST_CASE("dsn: long answers are folded") {
    auto r = request();
    for (int i = 0; i < 60; ++i) r.recipients[0].reply.text += " word" + std::to_string(i);
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK(dsn.text.contains("Diagnostic-Code: smtp; 550 5.1.1 no such user word0"));
    const std::string status = part(dsn, 2);
    std::size_t line = 0;
    for (std::size_t at = status.find('\n'); at != std::string::npos;
         at = status.find('\n', at + 1)) {
        CHECK(at - line <= 80);
        line = at;
    }
}

TEST_CASE("dsn: octets of the original that the way back may not carry are replaced") {
    auto r = request();
    const std::string original = "From: ann@example.net\r\nSubject: gr\xc3\xbc\xc3\x9f\r\n\r\n";
    r.header = original;
    CHECK(seven_bit(make_dsn(r).text));
    CHECK(make_dsn(r).text.contains("Subject: gr????\r\n"));
    r.envelope.body = Body::eight_bit_mime;
    const Dsn eight = make_dsn(r);
    check_form(eight);
    CHECK(part(eight, 3).starts_with(
        "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    CHECK_FALSE(eight.envelope.smtputf8);
    const std::string latin = "From: ann@example.net\r\nSubject: gr\xfc\xdf\r\n\r\n";
    r.header = latin;
    CHECK(part(make_dsn(r), 3)
              .starts_with(
                  "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    r.subject = "gr\xc3\xbc\xc3\x9f";
    CHECK(part(make_dsn(r), 1).contains("quoted-printable"));
    CHECK(part(make_dsn(r), 1).contains("Its subject: gr=C3=BC=C3=9F\r\n"));
}

TEST_CASE("dsn: addresses in UTF-8") {
    auto r = request();
    r.recipients[0].recipient.address = {.local = "gr\xc3\xbc\xc3\x9f+x", .domain = "example.org"};
    r.recipients[0].recipient.orcpt = "utf-8;gr\\x{FC}\xc3\x9f@example.org";
    r.recipients[0].reply.text = "gr\xc3\xbc\xc3\x9f who?";
    SECTION("to somebody who has an ASCII address") {
        const Dsn dsn = make_dsn(r);
        check_form(dsn);
        CHECK_FALSE(dsn.envelope.smtputf8);
        CHECK(seven_bit(dsn.text));
        CHECK(dsn.text.contains("\r\nOriginal-Recipient: utf-8; gr\\x{FC}\\x{DF}@example.org\r\n"));
        CHECK(dsn.text.contains(
            "\r\nFinal-Recipient: utf-8; gr\\x{FC}\\x{DF}\\x{2B}x@example.org\r\n"));
        CHECK(dsn.text.contains("Diagnostic-Code: smtp; 550 5.1.1 gr???? who?"));
        CHECK(dsn.text.contains("Content-Type: message/delivery-status\r\n"));
    }
    SECTION("to somebody who has none") {
        r.envelope.mail_from = Address{.local = "\xc3\xa4nn", .domain = "example.net"};
        const Dsn dsn = make_dsn(r);
        check_form(dsn);
        CHECK(dsn.envelope.smtputf8);
        CHECK(dsn.text.contains("To: <\xc3\xa4nn@example.net>\r\n"));
        CHECK(
            dsn.text.contains("\r\nFinal-Recipient: utf-8; gr\xc3\xbc\xc3\x9f+x@example.org\r\n"));
        CHECK(dsn.text.contains(
            "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"));
    }
}

TEST_CASE("dsn: Original-Recipient is decoded") {
    auto r = request();
    r.recipients[0].recipient.orcpt = "rfc822;bob+2Bx@example.org";
    CHECK(make_dsn(r).text.contains("\r\nOriginal-Recipient: rfc822; bob+x@example.org\r\n"));
    r.recipients[0].recipient.orcpt = "nonsense";
    CHECK_FALSE(make_dsn(r).text.contains("Original-Recipient"));
}

TEST_CASE("dsn: header lines of any length, and no header at all") {
    auto r = request();
    const std::string original = "X: " + std::string(5000, 'x') + "\r\n" + std::string(100000, 'y');
    r.header = original;
    const Dsn dsn = make_dsn(r);
    check_form(dsn);
    CHECK(dsn.text.size() < 80000);
    r.header = "";
    check_form(make_dsn(r));
}

TEST_CASE("dsn: who is owed one") {
    Envelope envelope;
    Recipient r;
    CHECK_FALSE(dsn_owed(envelope, r, DsnAction::failed));
    envelope.mail_from = Address{.local = "a", .domain = "b.example"};
    CHECK(dsn_owed(envelope, r, DsnAction::failed));
    CHECK(dsn_owed(envelope, r, DsnAction::delayed));
    CHECK_FALSE(dsn_owed(envelope, r, DsnAction::relayed));
    r.notify = Notify{.never = true};
    CHECK_FALSE(dsn_owed(envelope, r, DsnAction::failed));
    r.notify = Notify{.success = true};
    CHECK(dsn_owed(envelope, r, DsnAction::relayed));
    CHECK(dsn_owed(envelope, r, DsnAction::delivered));
    CHECK_FALSE(dsn_owed(envelope, r, DsnAction::failed));
    CHECK_FALSE(dsn_owed(envelope, r, DsnAction::delayed));
    r.notify = Notify{.failure = true};
    CHECK(dsn_owed(envelope, r, DsnAction::failed));
    CHECK_FALSE(dsn_owed(envelope, r, DsnAction::delayed));
    r.notify = Notify{.delay = true};
    CHECK(dsn_owed(envelope, r, DsnAction::delayed));
}
