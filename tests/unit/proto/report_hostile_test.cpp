#include <algorithm>
#include <string>

#include "proto/reply.hpp"
#include "proto/report.hpp"
#include "proto/report_words.hpp"
#include "tests/catch.hpp"
#include "tests/unit/proto/report_mail.hpp"

using namespace postern::proto;
using report_mail::Lines;
using report_mail::status;
using report_mail::told;

namespace {

const std::string fields =
    "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822;bob@example.org\nAction: failed\nStatus: "
    "5.1.1\n";
const std::string status_part = "Content-Type: message/delivery-status\n\n" + fields;
const Lines bob = {"bob@example.org failed 5.1.1 | "};

std::string multipart(const std::string& boundary, const std::string& parts) {
    return "Content-Type: multipart/mixed; boundary=" + boundary + "\n\n" + parts;
}

std::string nested(int depth) {
    std::string out = status_part;
    for (int i = 0; i < depth; ++i) {
        const std::string boundary = "b" + std::to_string(i);
        out = multipart(boundary, "--" + boundary + "\n" + out + "\n--" + boundary + "--\n");
    }
    return out;
}

std::string parts_before(int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += "--b\n\ntext\n";
    return multipart("b", out + "--b\n" + status_part + "\n--b--\n");
}

std::string repeated(std::string_view what, std::size_t octets) {
    std::string out;
    while (out.size() < octets) out += what;
    return out;
}

void check_bounds(const Report& report) {
    const auto clean = [](const std::string& text, std::size_t limit) {
        CHECK(text.size() <= limit);
        CHECK(clean_text(text, limit) == text);
    };
    CHECK(report.recipients.size() <= 100);
    CHECK(report.original_rcpts.size() <= 100);
    CHECK(report.returned_to.size() <= 100);
    for (const ReportedRecipient& one : report.recipients) {
        CHECK_FALSE(one.rcpt.empty());
        clean(one.rcpt, 1024);
        clean(one.final_rcpt, 1024);
        clean(one.status, 9);
        clean(one.diagnostic, 510);
    }
    clean(report.message_id, 998);
    clean(report.original_envelope_id, 100);
    clean(report.feedback_type, 64);
    CHECK((report.token.empty() || report.token.size() == 32));
}

}  // namespace

TEST_CASE("report: depth and number of parts are bounded") {
    CHECK(told(read_report(nested(1))) == bob);
    CHECK(told(read_report(nested(8))) == bob);
    CHECK(read_report(nested(9)).kind == ReportKind::none);
    CHECK(read_report(nested(500)).kind == ReportKind::none);
    CHECK(read_report(nested(200), {.max_depth = 1000}).kind == ReportKind::none);
    CHECK(told(read_report(parts_before(63))) == bob);
    CHECK(read_report(parts_before(64)).kind == ReportKind::none);
}

TEST_CASE("report: recipients, header and octets are bounded") {
    std::string many = "Reporting-MTA: dns; a\n";
    for (int i = 0; i < 150; ++i) {
        many += "\nFinal-Recipient: rfc822;r" + std::to_string(i) +
                "@example.org\nAction: failed\nStatus: 5.1.1\n";
    }
    CHECK(read_report(status(many)).recipients.size() == 100);
    CHECK(read_report(status(many), {.max_recipients = 3}).recipients.size() == 3);

    const std::string late = multipart("b", "--b\n\n" + repeated("text\n", std::size_t{1} << 20U) +
                                                "--b\n" + status_part + "--b--\n");
    CHECK(read_report(late).kind == ReportKind::none);
    CHECK(told(read_report(late, {.max_octets = std::size_t{2} << 20U})) == bob);

    const std::string long_header = repeated("X-Filler: text\n", 65536) + "Message-ID: <1@a>\n";
    const Report report =
        read_report(report_mail::report("delivery-status", fields, "message/rfc822", long_header));
    CHECK(told(report) == bob);
    CHECK(report.message_id.empty());
}

TEST_CASE("report: boundaries that deceive") {
    struct Row {
        const char* name;
        std::string mail;
    };
    const auto row = GENERATE_COPY(
        Row{"no end", multipart("b", "--b\n" + status_part)},
        Row{"no end of an inner one",
            multipart("a", "--a\n" + multipart("i", "--i\n" + status_part) + "--a\nX: y\n\n--a--")},
        Row{"one begins as the other",
            multipart("a", "--ab\n--a\n" + multipart("ab", "--ab\n" + status_part + "--ab--\n") +
                               "--a--\n")},
        Row{"text behind a boundary's name",
            multipart("b", "--b\n\n--b text\n--b\n" + status_part)},
        Row{"spaces behind a boundary", multipart("b", "--b \t\r\n" + status_part + "--b-- \n")},
        Row{"quoted, with a backslash",
            "Content-Type: multipart/report; boundary=\"b \\\"c\"\n\n--b \"c\n" + status_part},
        Row{"two of them: the first",
            "Content-Type: multipart/mixed; boundary=b; boundary=c\n\n"
            "--b\n" +
                status_part + "--c\n"},
        Row{"two types: the first",
            "Content-Type: multipart/mixed; boundary=b\nContent-Type: text/plain\n\n--b\n" +
                status_part},
        Row{"a type in odd words",
            "content-type :\n\tMultiPart/Report (a report); x=\"a;boundary=c\" ; BOUNDARY = b\n\n"
            "--b\n" +
                status_part},
        Row{"empty lines on top", "\r\n\n" + multipart("b", "--b\n" + status_part)});
    CAPTURE(row.name);
    CHECK(told(read_report(row.mail)) == bob);
}

TEST_CASE("report: only the outer report speaks") {
    std::string inner = status(
        "Reporting-MTA: dns; a\n\nFinal-Recipient: "
        "rfc822;eve@example.org\nAction: failed\nStatus: 5.1.1\n");
    constexpr std::string_view boundary = "b0=_/(x)";
    for (auto at = inner.find(boundary); at != std::string::npos; at = inner.find(boundary, at))
        inner.replace(at, boundary.size(), "b1");
    const Report report =
        read_report(report_mail::report("delivery-status", fields, "message/rfc822", inner));
    CHECK(told(report) == bob);
    // A mail with a report attached tells nothing itself.
    CHECK(read_report(multipart("m",
                                "--m\n\nLook at this.\n--m\nContent-Type: "
                                "message/rfc822\n\n" +
                                    inner + "--m--\n"))
              .kind == ReportKind::none);
    // Nor does the report in a feedback report.
    const Report feedback = read_report(
        report_mail::report("feedback-report", "Feedback-Type: abuse\n", "message/rfc822", inner));
    CHECK(feedback.kind == ReportKind::feedback);
    CHECK(feedback.recipients.empty());
}

TEST_CASE("report: octets that no mail should hold") {
    using namespace std::string_literals;
    const std::string odd = status(
        "Reporting-MTA: dns; a\n\nFinal-Recipient: rfc822;bob@example.org\nAction: failed\n"
        "Diagnostic-Code: smtp; 550 5.1.1 a\0b\x1b[31m\x7f \xff\xc2\x9b\n"s);
    const Report report = read_report(odd);
    check_bounds(report);
    REQUIRE(report.recipients.size() == 1);
    CHECK(report.recipients[0].diagnostic.starts_with("550 5.1.1 a?b?[31m"));
    // Line ends of every kind in one mail.
    std::string mixed = status(fields);
    for (std::size_t at = 0, n = 0; (at = mixed.find("\r\n", at)) != std::string::npos; ++n) {
        const std::string_view end = n % 3 == 0 ? "\n" : n % 3 == 1 ? "\r\n" : "\r\r\n";
        mixed.replace(at, 2, end);
        at += end.size();
    }
    CHECK(told(read_report(mixed)) == bob);
}

TEST_CASE("report: nothing depends on where a mail is cut off") {
    const std::string whole = report_mail::report("delivery-status", fields);
    for (std::size_t n = 0; n < whole.size(); ++n) {
        const Report report = read_report(std::string_view(whole).substr(0, n));
        if (report.recipients.size() > 1 || !report.feedback_type.empty()) FAIL(n);
    }
    check_bounds(read_report(whole));
}

TEST_CASE("report: a mail of one thing over and over") {
    const auto what =
        GENERATE(as<std::string>{}, "\n", ":", "a:\n", " ", "--b\n", "--b--\n", "<", "&lt;",
                 "a@b.example\n", "<a@b.example>:\n550 5.1.1 no\n\n", "(", "X-Abuse: ref=\n",
                 "ref=", "\\x{", "=\n", "5.", "550 ", "delivered to ", "Received: a\n\n",
                 "Content-Type: multipart/x; boundary=b\n\n--b\n");
    CAPTURE(what);
    const std::string body = repeated(what, 40000);
    const std::string_view daemon_head = "From: MAILER-DAEMON@x.example\nSubject: Undeliverable\n";
    for (const std::string_view type :
         {"text/plain", "text/html", "multipart/report; boundary=b", "message/delivery-status",
          "message/feedback-report", "message/rfc822"}) {
        const std::string head =
            std::string(daemon_head) + "Content-Type: " + std::string(type) + "\n\n";
        check_bounds(read_report(head + "Your mail could not be delivered:\n" + body));
        check_bounds(read_report(head + "Final-Recipient: rfc822;" + body));
    }
    check_bounds(read_report(body));
    check_bounds(read_report("To: " + body));
}

TEST_CASE("words of reports") {
    CHECK(enhanced_code_in("550 5.1.1 no", "54") == "5.1.1");
    CHECK(enhanced_code_in("(#5.1.1)", "54") == "5.1.1");
    CHECK(enhanced_code_in("host 5.1.1.1 said", "54").empty());
    CHECK(enhanced_code_in("Exim 4.92.3x", "54").empty());
    CHECK(enhanced_code_in("x5.1.1", "54").empty());
    CHECK(enhanced_code_in("5.1.1.", "54") == "5.1.1");
    CHECK(enhanced_code_in("5.1.1000", "54").empty());
    CHECK(enhanced_code_in("2.0.0 then 4.2.1", "54") == "4.2.1");
    CHECK(reply_code_in("said: 550 no") == 550);
    CHECK(reply_code_in("550-no") == 550);
    CHECK(reply_code_in("room 1550 no") == 0);
    CHECK(reply_code_in("250 ok") == 0);
    CHECK(status_in("452 later", "54") == "4.0.0");
    CHECK(status_in("452 later", "2").empty());
    CHECK(bracketed_message_id(" <a@b> ") == "<a@b>");
    CHECK(bracketed_message_id("a@b") == "<a@b>");
    CHECK(bracketed_message_id("<>").empty());
    CHECK(bracketed_message_id("<a@b").empty());
    CHECK(bracketed_message_id("no id").empty());
    CHECK(report_token(std::string(32, 'A')) == std::string(32, 'a'));
    CHECK(report_token(std::string(32, 'g')).empty());
    CHECK(foreign_mailbox("Bob <bob@X.Example>") == "bob@x.example");
    CHECK(foreign_mailbox("bob").empty());
    CHECK(foreign_mailbox(std::string(4096, 'a') + "@x.example").empty());
}
