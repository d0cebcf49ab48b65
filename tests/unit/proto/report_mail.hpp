#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/report.hpp"

namespace report_mail {

using postern::proto::Report;
using postern::proto::ReportAction;
using postern::proto::ReportedRecipient;

inline constexpr std::string_view token = "00112233445566778899aabbccddeeff";

/// The mail that is returned, with our own X-Abuse on top of what a client wrote.
inline constexpr std::string_view returned =
    "Received: from smtp.example.net by smtp.example.net with ESMTPSA\n"
    " id 01ARYZ6S410000000000000000; Mon, 02 Mar 2026 09:15:00 +0000\n"
    "X-Abuse: report to abuse@example.net;\n"
    " ref=00112233445566778899AABBCCDDEEFF\n"
    "From: Ann <ann@example.net>\n"
    "To: Bob <bob@Example.org>,\n"
    "\tcarol@example.org\n"
    "Cc: dave@example.com\n"
    "Subject: Invoice\n"
    "Message-ID: <1@example.net>\n";

/// A multipart/report of three parts, with CRLF line ends.
inline std::string crlf(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\n') out += '\r';
        out += c;
    }
    return out;
}

inline std::string report(std::string_view type, std::string_view fields,
                          std::string_view mail_type = "message/rfc822",
                          std::string_view mail = returned) {
    std::string out =
        "From: MAILER-DAEMON@mx.example.org\nTo: ann@example.net\nSubject: Undelivered Mail "
        "Returned to Sender\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: "
        "multipart/report; report-type=";
    out += type;
    out +=
        ";\n\tboundary=\"b0=_/(x)\"\n\nThis is a MIME message.\n--b0=_/(x)\n\nWhat people read."
        "\n--b0=_/(x)\nContent-Type: message/";
    out += type;
    out += "\n\n";
    out += fields;
    out += "\n--b0=_/(x)\nContent-Type: ";
    out += mail_type;
    out += "\n\n";
    out += mail;
    out += "\nHello Bob\n--b0=_/(x)--\n";
    return crlf(out);
}

inline std::string status(std::string_view fields) {
    return report("delivery-status", fields);
}

inline std::string told(const ReportedRecipient& one) {
    constexpr std::string_view actions[] = {"failed", "delayed", "delivered", "relayed",
                                            "expanded"};
    return one.rcpt + " " + std::string(actions[static_cast<std::size_t>(one.action)]) + " " +
           one.status + " | " + one.diagnostic;
}

inline std::vector<std::string> told(const Report& report) {
    std::vector<std::string> out;
    for (const ReportedRecipient& one : report.recipients) out.push_back(told(one));
    return out;
}

using Lines = std::vector<std::string>;

}  // namespace report_mail
