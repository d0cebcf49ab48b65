#include <string>

#include "proto/base64.hpp"
#include "proto/dsn.hpp"
#include "proto/report.hpp"
#include "tests/catch.hpp"
#include "tests/unit/proto/report_mail.hpp"

using namespace postern::proto;
using report_mail::Lines;
using report_mail::status;
using report_mail::told;

TEST_CASE("report: a delivery report, whole") {
    const Report report = read_report(
        status("Reporting-MTA: dns; mx.example.org\nOriginal-Envelope-Id: QQ+2B314\nArrival-Date: "
               "Mon, 02 Mar 2026 09:15:00 +0000\n\nOriginal-Recipient: rfc822;bob@Example.ORG\n"
               "Final-Recipient: rfc822; robert@inner.example\nAction: failed\nStatus: 5.1.1\n"
               "Remote-MTA: dns; inner.example\nDiagnostic-Code: smtp; 550 5.1.1 <robert@inner."
               "example>:\n\tno such user\n"));
    CHECK(report.kind == ReportKind::delivery);
    CHECK(report.original_envelope_id == "QQ+314");
    CHECK(told(report) ==
          Lines{"bob@example.org failed 5.1.1 | 550 5.1.1 <robert@inner.example>: no such user"});
}

TEST_CASE("report: the mail that came back is known by its header") {
    struct Row {
        const char* type;
        std::string mail;
    };
    const std::string header(report_mail::returned);
    const auto row = GENERATE_COPY(
        Row{"message/rfc822", header}, Row{"Message/RFC822", header},
        Row{"text/rfc822-headers; charset=utf-8", header}, Row{"message/global", header},
        Row{"message/global-headers", header}, Row{"message/rfc822", "\n" + header});
    const Report report =
        read_report(report_mail::report("delivery-status",
                                        "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822; "
                                        "bob@example.org\nAction: failed\nStatus: 5.0.0\n",
                                        row.type, row.mail));
    CAPTURE(row.type, row.mail);
    CHECK(report.token == report_mail::token);
    CHECK(report.message_id == "<1@example.net>");
    CHECK(report.returned_to == Lines{"bob@example.org", "carol@example.org", "dave@example.com"});
}

TEST_CASE("report: parts that should not be encoded are read all the same") {
    const std::string fields =
        "Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: rfc822; bob@example.org\r\nAction: "
        "failed\r\nStatus: 5.2.2\r\n";
    std::string quoted;
    for (const char c : report_mail::crlf(report_mail::returned)) {
        if (c == '=' || c == '.') {
            quoted += c == '=' ? "=3D" : "=2e";
        } else {
            quoted += c;
            if (c == ';') quoted += "=\r\n";
        }
    }
    const std::string mail =
        "From: postmaster@x.example\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" +
        base64_encode(fields).insert(20, "\r\n") +
        "\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: "
        "quoted-printable\r\n\r\n" +
        quoted + "\r\n--b--\r\n";
    const Report report = read_report(mail);
    CHECK(told(report) == Lines{"bob@example.org failed 5.2.2 | "});
    CHECK(report.token == report_mail::token);
    // What says it is base64 and is none.
    const std::string plain =
        "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: "
        "message/delivery-status\nContent-Transfer-Encoding: base64\n\n" +
        fields + "--b--";
    CHECK(told(read_report(plain)) == Lines{"bob@example.org failed 5.2.2 | "});
}

TEST_CASE("report: recipients, actions and codes") {
    struct Row {
        const char* fields;
        Lines recipients;
    };
    const auto row = GENERATE(
        // A second recipient of the same report, and actions in any case.
        Row{"Final-Recipient: rfc822;a@x.example\nAction: Failed\nStatus: "
            "5.1.1\n\nFinal-Recipient: "
            "RFC822; b@x.example\nAction: DELAYED\nStatus: 4.4.1\n",
            {"a@x.example failed 5.1.1 | ", "b@x.example delayed 4.4.1 | "}},
        // No empty line between them.
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nStatus: 5.1.1\nFinal-Recipient: "
            "rfc822; b@x.example\nAction: failed\nStatus: 5.1.2\n",
            {"a@x.example failed 5.1.1 | ", "b@x.example failed 5.1.2 | "}},
        Row{"Final-Recipient: rfc822;a@x.example\nAction: relayed\nStatus: 2.0.0\n",
            {"a@x.example relayed 2.0.0 | "}},
        Row{"Final-Recipient: rfc822;a@x.example\nAction: delivered (to the mailbox)\nStatus: "
            "2.1.5\n",
            {"a@x.example delivered 2.1.5 | "}},
        Row{"Final-Recipient: rfc822;list@x.example\nAction: expanded\nStatus: 2.0.0\n",
            {"list@x.example expanded 2.0.0 | "}},
        // Unknown actions are passed over; a missing one is taken from a code that is final.
        Row{"Final-Recipient: rfc822;a@x.example\nAction: exploded\nStatus: 5.1.1\n", {}},
        Row{"Final-Recipient: rfc822;a@x.example\nStatus: 5.1.1\n",
            {"a@x.example failed 5.1.1 | "}},
        Row{"Final-Recipient: rfc822;a@x.example\nStatus: 4.1.1\n", {}},
        // Of what stands twice the first counts; the same is told once.
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nAction: delivered\nStatus: "
            "5.1.1\nStatus: 2.0.0\n\nFinal-Recipient: rfc822;a@x.example\nAction: failed\nStatus: "
            "5.9.9\n",
            {"a@x.example failed 5.1.1 | "}},
        // Codes in odd places.
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nStatus: 5.1.1 (bad mailbox)\n",
            {"a@x.example failed 5.1.1 | "}},
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nDiagnostic-Code: smtp;550-5.7.26 "
            "unauthenticated\n",
            {"a@x.example failed 5.7.26 | 550-5.7.26 unauthenticated"}},
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nStatus: none\nDiagnostic-Code: "
            "smtp; 554 host 192.0.2.1 said no\n",
            {"a@x.example failed 5.0.0 | 554 host 192.0.2.1 said no"}},
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nDiagnostic-Code: X-Postfix; mail "
            "for x.example loops back to myself\n",
            {"a@x.example failed  | mail for x.example loops back to myself"}},
        Row{"Final-Recipient: rfc822;a@x.example\nAction: failed\nStatus: "
            "5.1.10\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found\n",
            {"a@x.example failed 5.1.10 | 550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found"}},
        // Fields in another order, folded, with spaces before the colon.
        Row{"Action: failed\nStatus : 5.1.1\nFinal-Recipient: rfc822;\n  a@x.example\n",
            {"a@x.example failed 5.1.1 | "}});
    CAPTURE(row.fields);
    const Report report =
        read_report(status("Reporting-MTA: dns; a\n\n" + std::string(row.fields)));
    CHECK(told(report) == row.recipients);
    CHECK((report.kind == ReportKind::delivery) == !row.recipients.empty());
}

TEST_CASE("report: addresses of recipients") {
    struct Row {
        const char* original;
        const char* final;
        const char* rcpt;
    };
    const auto row = GENERATE(
        Row{"rfc822;A+tag@X.Example", "rfc822;b@x.example", "A+tag@x.example"},
        Row{"rfc822;a+2Btag@x.example", "", "a+2Btag@x.example"},
        Row{"rfc822;a+40x.example", "", "a@x.example"},
        Row{"rfc822;<a@x.example>", "", "a@x.example"},
        Row{"rfc822; a@x.example (Ann)", "", "a@x.example"}, Row{"a@x.example", "", "a@x.example"},
        Row{"rfc822;\"a b\"@x.example", "", "\"a b\"@x.example"},
        Row{"utf-8;gr\\x{FC}n@x.example", "", "gr\xc3\xbcn@x.example"},
        Row{"utf-8; gr\xc3\xbcn@B\xc3\xbc.example", "", "gr\xc3\xbcn@b\xc3\xbc.example"},
        Row{"UTF-8;a\\x{2B}b@x.example", "", "a+b@x.example"},
        Row{"utf-8;a\\x{0A}b@x.example", "rfc822;b@x.example", "b@x.example"},
        Row{"utf-8;a\\x{D800}b@x.example", "rfc822;b@x.example", "b@x.example"},
        Row{"x400;/S=a/", "rfc822;b@x.example", "b@x.example"},
        Row{"rfc822;unknown", "rfc822;b@x.example", "b@x.example"},
        Row{"rfc822;a@x.example,c@x.example", "rfc822;b@x.example", "b@x.example"},
        Row{"rfc822;a@x.example\x01", "", ""}, Row{"", "rfc822;nobody", ""});
    std::string fields = "Reporting-MTA: dns; a\n\n";
    if (*row.original != '\0') fields += "Original-Recipient: " + std::string(row.original) + "\n";
    if (*row.final != '\0') fields += "Final-Recipient: " + std::string(row.final) + "\n";
    CAPTURE(row.original, row.final);
    const Report report = read_report(status(fields + "Action: failed\nStatus: 5.1.1\n"));
    if (*row.rcpt == '\0') {
        CHECK(report.recipients.empty());
        CHECK(report.kind == ReportKind::none);
    } else {
        REQUIRE(report.recipients.size() == 1);
        CHECK(report.recipients[0].rcpt == row.rcpt);
    }
}

TEST_CASE("report: our own notices are read") {
    DsnRequest request;
    request.hostname = "smtp.example.net";
    request.from_domain = "example.net";
    request.ref = "01ARYZ6S410000000000000000";
    request.own_ref = "01ARYZ6S41000000000000000Z";
    request.envelope.mail_from = Address{.local = "ann", .domain = "example.net"};
    request.envelope.envid = "a+2Bb";
    DsnRecipient bob;
    bob.recipient.address = {.local = "gr\xc3\xbcn", .domain = "example.org"};
    bob.recipient.orcpt = "rfc822;Gruen@example.org";
    bob.reply = {.code = 550, .enhanced = "5.1.1", .text = "no such user", .close_after = false};
    request.recipients.push_back(bob);
    const std::string header = report_mail::crlf(report_mail::returned) + "\r\n";
    request.header = header;
    request.boundary = "b0123456789abcdef";
    const Report report = read_report(make_dsn(request).text);
    CHECK(told(report) == Lines{"Gruen@example.org failed 5.1.1 | 550 5.1.1 no such user"});
    REQUIRE(report.recipients.size() == 1);
    CHECK(report.recipients[0].final_rcpt == "gr\xc3\xbcn@example.org");
    CHECK(report.original_envelope_id == "a+b");
    CHECK(report.token == report_mail::token);
    CHECK(report.message_id == "<1@example.net>");
}

TEST_CASE("report: feedback") {
    const std::string fields =
        "Feedback-Type: Abuse\nUser-Agent: FBL/1\nVersion: 1\nOriginal-Mail-From: "
        "<ann@example.net>\nOriginal-Rcpt-To: <bob@Example.org>\nOriginal-Rcpt-To: "
        "carol@example.org\nSource-IP: 192.0.2.1\n";
    const Report report = read_report(report_mail::report("feedback-report", fields));
    CHECK(report.kind == ReportKind::feedback);
    CHECK(report.feedback_type == "abuse");
    CHECK(report.original_rcpts == Lines{"bob@example.org", "carol@example.org"});
    CHECK(report.token == report_mail::token);
    CHECK(report.message_id == "<1@example.net>");
    CHECK(report.recipients.empty());

    const Report removal = read_report(report_mail::report(
        "feedback-report", "Feedback-Type: not-spam; x\nRemoval-Recipient: bob@example.org\n"));
    CHECK(removal.feedback_type == "not-spam");
    CHECK(removal.original_rcpts == Lines{"bob@example.org"});

    CHECK(read_report(report_mail::report("feedback-report", "Version: 1\n")).kind ==
          ReportKind::none);
}

TEST_CASE("report: tokens in X-Abuse") {
    struct Row {
        const char* fields;
        const char* token;
    };
    const auto row =
        GENERATE(Row{"X-Abuse: report to a@x.example; ref=00112233445566778899aabbccddeeff",
                     "00112233445566778899aabbccddeeff"},
                 Row{"X-Abuse: ref=00112233445566778899aabbccddeeff; more",
                     "00112233445566778899aabbccddeeff"},
                 // Somebody else's stands on top.
                 Row{"X-Abuse: see https://x.example/?ref=1\nX-Abuse: us; "
                     "ref=00112233445566778899aabbccddeeff",
                     "00112233445566778899aabbccddeeff"},
                 Row{"X-Abuse: us; ref=00112233445566778899aabbccddeef", ""},
                 Row{"X-Abuse: us; ref=00112233445566778899aabbccddeeff0", ""},
                 Row{"X-Abuse: us; ref=00112233445566778899aabbccddeefg", ""},
                 Row{"X-Abuse: us; xref=00112233445566778899aabbccddeeff", ""},
                 Row{"X-Abused: us; ref=00112233445566778899aabbccddeeff", ""});
    CAPTURE(row.fields);
    const Report report = read_report(
        report_mail::report("feedback-report", "Feedback-Type: abuse\n", "message/rfc822",
                            std::string(row.fields) + "\nMessage-ID: 1@example.net\n"));
    CHECK(report.token == row.token);
    CHECK(report.message_id == "<1@example.net>");
}
