#include <string>

#include "proto/base64.hpp"
#include "proto/report.hpp"
#include "tests/catch.hpp"
#include "tests/unit/proto/report_mail.hpp"

using namespace postern::proto;
using report_mail::crlf;
using report_mail::Lines;
using report_mail::told;

namespace {

std::string mail(std::string_view header, std::string_view text) {
    return crlf(std::string(header) +
                "To: ann@example.net\nDate: Mon, 02 Mar 2026 09:15:00 "
                "+0000\nMIME-Version: 1.0\n\n" +
                std::string(text));
}

constexpr std::string_view daemon_head =
    "From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\nSubject: failure notice\n";

}  // namespace

TEST_CASE("report: the texts of servers that write no RFC 3464") {
    struct Row {
        const char* name;
        std::string mail;
        Lines recipients;
    };
    const std::string returned(report_mail::returned);
    const auto row = GENERATE_COPY(
        Row{"qmail",
            mail(
                daemon_head,
                "Hi. This is the qmail-send program at mx.example.org.\nI'm afraid I wasn't able "
                "to deliver your message to the following addresses.\nThis is a permanent error; "
                "I've given up. Sorry it didn't work out.\n\n<bob@Example.org>:\nSorry, no mailbox "
                "here by that name. (#5.1.1)\n\n<carol@example.org>:\n192.0.2.25 does not like "
                "recipient.\nRemote host said: 550 no such user\nGiving up on 192.0.2.25.\n\n--- "
                "Below this line is a copy of the message.\n\nReturn-Path: <ann@example.net>\n" +
                    returned + "\nmallory@example.org said hello\n"),
            {"bob@example.org failed 5.1.1 | Sorry, no mailbox here by that name. (#5.1.1)",
             "carol@example.org failed 5.0.0 | 192.0.2.25 does not like recipient. Remote host "
             "said: 550 no such user Giving up on 192.0.2.25."}},
        Row{"Exim",
            mail("From: Mail Delivery System <Mailer-Daemon@mx.example.org>\nSubject: Mail "
                 "delivery failed: returning message to sender\nAuto-Submitted: auto-replied\n"
                 "X-Failed-Recipients: bob@Example.org\n",
                 "This message was created automatically by mail delivery software.\n\nA message "
                 "that you sent could not be delivered to one or more of its\nrecipients. This is "
                 "a permanent error. The following address(es) failed:\n\n  bob@Example.org\n    "
                 "SMTP error from remote mail server after RCPT TO:<bob@Example.org>:\n    host "
                 "mx.example.org [192.0.2.25]: 550 5.1.1 <bob@Example.org>:\n    User unknown\n\n"
                 "------ This is a copy of the message, including all the headers. ------\n\n" +
                     returned + "\nHello\n"),
            {"bob@example.org failed 5.1.1 | SMTP error from remote mail server after RCPT "
             "TO:<bob@Example.org>: host mx.example.org [192.0.2.25]: 550 5.1.1 "
             "<bob@Example.org>: User unknown"}},
        Row{"Exim, delayed",
            mail("From: Mail Delivery System <Mailer-Daemon@mx.example.org>\nSubject: Warning: "
                 "message 1abcde-000000-00 delayed 24 hours\n",
                 "This message was created automatically by mail delivery software.\nA message "
                 "that you sent has not yet been delivered to one or more of its\nrecipients after "
                 "more than 24 hours on the queue on mx.example.org.\n\nThe address to which the "
                 "message has not yet been delivered is:\n\n  bob@example.org\n    Delay reason: "
                 "451 4.7.1 greylisted\n\nNo action is required on your part.\n\n" +
                     returned),
            {"bob@example.org delayed 4.7.1 | Delay reason: 451 4.7.1 greylisted"}},
        Row{"Postfix of old",
            mail(
                daemon_head,
                "This is the Postfix program at host mx.example.org.\n\nI'm sorry to have to "
                "inform you that the message returned\nbelow could not be delivered to one or more "
                "destinations.\n\n<bob@example.org>: host inner.example[192.0.2.25] said: 550 "
                "<bob@example.org>:\n    User unknown (in reply to RCPT TO command)\n\n" +
                    returned),
            {"bob@example.org failed 5.0.0 | host inner.example[192.0.2.25] said: 550 "
             "<bob@example.org>: User unknown (in reply to RCPT TO command)"}},
        Row{"sendmail",
            mail(
                "From: MAILER-DAEMON (Mail Delivery Subsystem)\nSubject: Returned mail: see "
                "transcript for details\n",
                "The original message was received at Mon, 2 Mar 2026 09:15:00 GMT\nfrom "
                "smtp.example.net [192.0.2.1]\n\n   ----- The following addresses had permanent "
                "fatal errors -----\n<bob@example.org>\n    (reason: 550 5.1.1 "
                "<bob@example.org>... User unknown)\n\n   ----- Transcript of session follows "
                "-----\n... while talking to mx.example.org:\n>>> DATA\n<<< 550 5.1.1 "
                "<bob@example.org>... User unknown\n\n   ----- Original message follows -----\n\n" +
                    returned),
            {"bob@example.org failed 5.1.1 | (reason: 550 5.1.1 <bob@example.org>... User "
             "unknown)"}},
        Row{"sendmail, delayed",
            mail(
                "From: MAILER-DAEMON (Mail Delivery Subsystem)\nSubject: Warning: could not send "
                "message for past 4 hours\n",
                "    **********************************************\n    **      THIS IS A "
                "WARNING MESSAGE ONLY      **\n    **********************************************\n"
                "\n   ----- The following addresses had transient non-fatal errors -----\n"
                "<bob@example.org>\n\n   ----- Transcript of session follows -----\n451 4.4.1 "
                "reply: read error from mx.example.org.\n\n" +
                    returned),
            {"bob@example.org delayed 4.4.1 | ----- Transcript of session follows ----- 451 4.4.1 "
             "reply: read error from mx.example.org."}},
        Row{"Gmail of old",
            mail("From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery "
                 "Status Notification (Failure)\nX-Failed-Recipients: bob@example.org\n",
                 "Delivery to the following recipient failed permanently:\n\n     bob@example.org"
                 "\n\nTechnical details of permanent failure:\nThe error that the other server "
                 "returned was:\n550 550 5.1.1 No such user (state 13).\n\n----- Original message "
                 "-----\n\n" +
                     returned),
            {"bob@example.org failed 5.1.1 | Technical details of permanent failure: The error "
             "that "
             "the other server returned was: 550 550 5.1.1 No such user (state 13)."}},
        Row{"Gmail",
            mail("From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\nSubject: Delivery "
                 "Status Notification (Failure)\n",
                 "** Address not found **\n\nYour message wasn't delivered to Bob@example.org "
                 "because the address couldn't be\nfound or is unable to receive mail.\n\nThe "
                 "response from the remote server was:\n\n550 5.1.1 user unknown\n\n" +
                     returned),
            {"Bob@example.org failed 5.1.1 | 550 5.1.1 user unknown"}},
        Row{"Exchange",
            mail("From: Microsoft Exchange <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@x."
                 "example>\nSubject: Undeliverable: Invoice\n",
                 "Delivery has failed to these recipients or groups:\n\nbob@example.org<mailto:"
                 "bob@example.org>\nThe email address you entered couldn't be found.\n\n\n"
                 "Diagnostic information for administrators:\n\nGenerating server: "
                 "ex1.example.org\n\nbob@example.org\nRemote Server returned '550 5.1.10 "
                 "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'\n\n"
                 "Original message headers:\n\n" +
                     returned),
            {"bob@example.org failed 5.1.10 | Remote Server returned '550 5.1.10 "
             "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'"}},
        Row{"Exchange of old",
            mail("From: System Administrator <postmaster@x.example>\nSubject: Undeliverable: "
                 "Invoice\n",
                 "Your message\n\n  To:      bob@example.org\n  Subject: Invoice\n\ndid not reach "
                 "some or all of the intended recipients.\n\nThe following recipient(s) could not "
                 "be reached:\n\n      'bob@example.org' on 3/2/2026 9:15 AM\n            550 "
                 "5.1.1 unknown user\n\n" +
                     returned),
            {"bob@example.org failed 5.1.1 | on 3/2/2026 9:15 AM 550 5.1.1 unknown user"}},
        Row{"Microsoft 365, words alone",
            mail(
                "From: postmaster@x.example\nSubject: Undeliverable: Invoice\n",
                "Your message to bob@example.org couldn't be delivered.\n\nA communication failure "
                "occurred: 550 5.4.316 Message expired\n\n" +
                    returned),
            {"bob@example.org failed 5.4.316 | A communication failure occurred: 550 5.4.316 "
             "Message expired"}},
        Row{"Yahoo",
            mail("From: MAILER-DAEMON@yahoo.example\nSubject: Failure Notice\n",
                 "Sorry, we were unable to deliver your message to the following address.\n\n"
                 "<bob@example.org>:\n552: 5.2.2 mailbox over quota\n\n--- Below this line is a "
                 "copy of the message.\n\n" +
                     returned),
            {"bob@example.org failed 5.2.2 | 552: 5.2.2 mailbox over quota"}},
        Row{"GMX and web.de",
            mail(
                "From: Mail Delivery System <mailer-daemon@gmx.example>\nSubject: Mail delivery "
                "failed: returning message to sender\n",
                "This message was created automatically by mail delivery software.\n\nA message "
                "that you sent could not be delivered to one or more of\nits recipients. This is a "
                "permanent error. The following address\nfailed:\n\n\"bob@example.org\":\nSMTP "
                "error from remote server for RCPT TO command, host: mx.example.org (192.0.2.25) "
                "reason: 550 Requested action not taken: mailbox unavailable\n\n--- The header of "
                "the original message is following. ---\n\n" +
                    returned),
            {"bob@example.org failed 5.0.0 | SMTP error from remote server for RCPT TO command, "
             "host: mx.example.org (192.0.2.25) reason: 550 Requested action not taken: mailbox "
             "unavailable"}},
        Row{"T-Online",
            mail("From: Mail Delivery System <mailer-daemon@t-online.example>\nSubject: Mail "
                 "Delivery System\n",
                 "|------------------------- Message log follows: -------------------------|\n no "
                 "valid recipients were found for this message\n|------------------------- Failed "
                 "addresses follow: ---------------------|\n <bob@example.org> ... unknown user\n"
                 "|------------------------- Message text follows: ------------------------|\n" +
                     returned),
            {"bob@example.org failed  | unknown user"}},
        Row{"in German",
            mail("From: Postmaster <postmaster@x.example>\nSubject: Unzustellbar: Rechnung\n",
                 "Ihre Nachricht konnte nicht zugestellt werden.\n\nEmpf\xc3\xa4nger:\n\n"
                 "bob@example.org: 550 5.1.1 Empf\xc3\xa4nger unbekannt\n\n" +
                     returned),
            {"bob@example.org failed 5.1.1 | 550 5.1.1 Empf\xc3\xa4nger unbekannt"}},
        Row{"a gateway",
            mail("From: postmaster@gateway.example\nSubject: Delivery Failure\n",
                 "Your mail was not delivered.\n\n550 5.1.1 <bob@example.org>: Recipient address "
                 "rejected\n\n" +
                     returned),
            {"bob@example.org failed 5.1.1 | 550 5.1.1 <bob@example.org>: Recipient address "
             "rejected"}});
    CAPTURE(row.name);
    const Report report = read_report(row.mail);
    CHECK(report.kind == ReportKind::delivery);
    CHECK(told(report) == row.recipients);
    CHECK(report.token == report_mail::token);
    CHECK(report.message_id == "<1@example.net>");
    CHECK(report.returned_to == Lines{"bob@example.org", "carol@example.org", "dave@example.com"});
}

TEST_CASE("report: what is no bounce") {
    struct Row {
        const char* name;
        std::string mail;
    };
    const std::string bounce =
        "Hi. This is the qmail-send program at mx.example.org.\n\n<bob@example.org>:\nSorry, no "
        "mailbox here by that name. (#5.1.1)\n";
    const std::string out_of_office =
        "I am out of the office until Monday.\nPlease write to\ncarol@example.org\n";
    const auto row = GENERATE_COPY(
        Row{"an empty mail", ""}, Row{"a header alone", "From: MAILER-DAEMON@x.example\n"},
        Row{"out of office",
            mail("From: Bob <bob@example.org>\nSubject: Out of office: Invoice\nAuto-Submitted: "
                 "auto-replied\n",
                 out_of_office)},
        Row{"vacation, from a daemon's name",
            mail("From: postmaster@example.org\nSubject: Re: Invoice\nAuto-Submitted: "
                 "auto-replied\nX-Autoreply: yes\n",
                 out_of_office + "Your message could not be delivered.\n")},
        Row{"an answer of a program, from a daemon's name",
            mail("From: postmaster@example.org\nSubject: Thank you\nAuto-Submitted: "
                 "auto-replied\n",
                 "We have got your mail.\n\nbob@example.org\n")},
        Row{"a person who quotes a bounce",
            mail("From: Bob <bob@example.org>\nSubject: Re: your bounce\n", bounce)},
        Row{"a bounce that names nobody",
            mail(daemon_head, "Your message could not be delivered. Sorry.\n")},
        Row{"a bounce that names its reader alone",
            mail(daemon_head, "Your message could not be delivered.\n\nann@example.net\n")},
        Row{"what stands in the mail that came back only",
            mail("From: postmaster@x.example\nSubject: Invoice\n",
                 "Hello,\n\n----- Original message -----\n" + bounce)},
        Row{"a read receipt",
            crlf("From: postmaster@example.org\nTo: ann@example.net\nSubject: Undeliverable: "
                 "Invoice\nContent-Type: multipart/report; "
                 "report-type=disposition-notification; boundary=b\n\n--b\n\nYour message to "
                 "bob@example.org could not be delivered.\n--b\nContent-Type: "
                 "message/disposition-notification\n\nFinal-Recipient: "
                 "rfc822;bob@example.org\nDisposition: "
                 "manual-action/MDN-sent-manually; displayed\n\n--b--\n")});
    CAPTURE(row.name);
    const Report report = read_report(row.mail);
    CHECK(report.kind == ReportKind::none);
    CHECK(report.recipients.empty());
    CHECK(report.message_id.empty());
}

TEST_CASE("report: texts in HTML and in base64") {
    const std::string html =
        "<html><body><p>Your message <b>couldn't be delivered</b>.</p><div>&lt;bob@example.org&gt;"
        ":<br>550 5.1.1&nbsp;user unknown</div><p>A <unclosed";
    const std::string text = "From: postmaster@x.example\nSubject: Undeliverable\nContent-Type: ";
    CHECK(told(read_report(text + "text/html; charset=utf-8\n\n" + html)) ==
          Lines{"bob@example.org failed 5.1.1 | 550 5.1.1 user unknown"});
    CHECK(told(read_report(text + "text/html\nContent-Transfer-Encoding: base64\n\n" +
                           base64_encode(html))) ==
          Lines{"bob@example.org failed 5.1.1 | 550 5.1.1 user unknown"});
}

TEST_CASE("report: a text without the mail is known by what it answers") {
    const Report report =
        read_report(mail(std::string(daemon_head) + "In-Reply-To: <7@example.net>\n",
                         "I'm sorry to have to inform you that it failed.\n\n<bob@example.org>: "
                         "550 5.1.1 no\n"));
    CHECK(report.message_id == "<7@example.net>");
    CHECK(report.token.empty());
}
