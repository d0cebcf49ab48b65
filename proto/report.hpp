#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::proto {

/// What a mail tells of another mail.
enum class ReportKind : std::uint8_t {
    none,      ///< It is no report that can be read.
    delivery,  ///< RFC 3464, or one of the common texts of servers that do not write it.
    feedback,  ///< RFC 5965 (ARF).
};

enum class ReportAction : std::uint8_t { failed, delayed, delivered, relayed, expanded };

/// What a delivery report says of one recipient.
struct ReportedRecipient {
    std::string rcpt;  ///< Of Original-Recipient where it is there (an rfc822 or utf-8 address),
                       ///< else of Final-Recipient; ASCII domain in lower case; never empty.
    std::string final_rcpt;  ///< Of Final-Recipient; may differ after forwarding; may be empty.
    ReportAction action = ReportAction::failed;
    std::string status;  ///< Enhanced code "5.1.1"; taken from the diagnostic where missing; may
                         ///< be empty.
    std::string diagnostic;  ///< Cleaned: printable, one line, at most 510 octets.
};

/// A delivery or feedback report, read out of a mail. All text is foreign and cleaned (no control
/// characters, bounded); nothing in it is proof of anything.
struct Report {
    ReportKind kind = ReportKind::none;
    // delivery
    std::vector<ReportedRecipient> recipients;  ///< At most max_recipients.
    std::string original_envelope_id;           ///< xtext undone.
    // feedback
    std::string feedback_type;                ///< "abuse", "fraud", "not-spam", ...; in lower case.
    std::vector<std::string> original_rcpts;  ///< Original-Rcpt-To, at most max_recipients.
    // of the mail that is returned (message/rfc822, text/rfc822-headers, message/global,
    // message/global-headers, or a text that quotes it)
    std::string token;       ///< ref= of its X-Abuse, 32 hex digits in lower case; may be empty.
    std::string message_id;  ///< With its angle brackets; may be empty.
    std::vector<std::string> returned_to;  ///< Addresses of its To and Cc, at most max_recipients.
};

struct ReportLimits {
    std::size_t max_octets = std::size_t{1} << 20U;  ///< More of a mail is not looked at.
    std::size_t max_parts = 64;
    std::size_t max_depth = 8;
    std::size_t max_recipients = 100;
    std::size_t max_header = 65536;  ///< Octets of one header section.
};

/// Reads a mail (header and body; CRLF or LF). Never fails: what cannot be read is `none`. Linear
/// in the size of the mail.
[[nodiscard]] Report read_report(std::string_view mail, const ReportLimits& limits = {});

}  // namespace postern::proto
