
#include "proto/dsn_impl.hpp"
#include "proto/header.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {
namespace {

constexpr std::size_t text_width = 76;
constexpr std::size_t subject_shown = 200;

/// Appends words in lines of at most text_width, each line indented.
void paragraph(std::string_view text, std::string_view indent, std::string& out) {
    std::size_t line = 0;
    while (!text.empty()) {
        const std::size_t space = text.find(' ');
        const std::string_view word = text.substr(0, space);
        text.remove_prefix(space == std::string_view::npos ? text.size() : space + 1);
        if (word.empty()) continue;
        if (line > 0 && line + 1 + word.size() > text_width) {
            out += "\r\n";
            line = 0;
        }
        out += line == 0 ? indent : " ";
        line += word.size() + (line == 0 ? indent.size() : 1);
        out += word;
    }
    out += "\r\n";
}

std::string_view headline(const DsnRequest& request) {
    const bool one = request.recipients.size() == 1;
    switch (dsn_headline(request)) {
        case DsnAction::failed:
            return one ? "Your message could not be delivered. It will not be tried again."
                       : "Your message could not be delivered to everybody. For the failed "
                         "recipients below it will "
                         "not be tried again.";
        case DsnAction::delayed:
            return "Your message has not been delivered yet. You need not do anything, and need "
                   "not send it again: "
                   "it is tried further.";
        case DsnAction::relayed:
            return "Your message was handed on to a mail server that sends no notices of delivery. "
                   "You may not hear of "
                   "it again.";
        case DsnAction::delivered:
            break;
    }
    return "Your message was delivered.";
}

std::string what_happened(const DsnRecipient& recipient) {
    if (!recipient.reason.empty()) return recipient.reason;
    switch (recipient.action) {
        case DsnAction::failed:
            return recipient.reply.code != 0 ? "The next mail server refused it."
                                             : "It could not be handed to the next mail server.";
        case DsnAction::delayed:
            return recipient.reply.code != 0 ? "The next mail server has put it off."
                                             : "The next mail server could not be reached so far.";
        case DsnAction::relayed:
            return "It was handed on; no further notice is to be expected.";
        case DsnAction::delivered:
            break;
    }
    return "It was delivered.";
}

/// What a sender can do about a failure, by the subject of the status (RFC 3463 3).
std::string_view advice(std::string_view status) {
    const std::string_view detail = status.substr(2);
    if (detail.starts_with("1.")) return "Check the address for a typing error.";
    if (detail == "2.2")
        return "The mailbox is full. Try again later, or reach the recipient in another way.";
    if (detail == "3.4" || detail == "2.3") {
        return "The message is too large. Send less, or send a link.";
    }
    if (detail.starts_with("2.")) {
        return "The mailbox takes no mail. Reach the recipient in another way.";
    }
    if (detail.starts_with("4.")) {
        return "The recipient's mail server could not be reached. Check the part of the address "
               "after the @, or try again "
               "later.";
    }
    if (detail.starts_with("6.")) {
        return "The message's form or content was not taken. Change it and send it again.";
    }
    if (detail.starts_with("7.")) {
        return "The message was refused by a rule of the recipient's side. What it said above may "
               "tell why; the "
               "recipient or the contact below can help.";
    }
    return "If the answer above does not tell why, write to the contact below.";
}

void about(const DsnRecipient& recipient, std::string& out) {
    out += "\r\n  ";
    out += clean_text(recipient.recipient.address.text(), 800);
    out += "\r\n";
    paragraph(clean_text(what_happened(recipient)), "    ", out);
    if (recipient.reply.code != 0) {
        const std::string status =
            recipient.reply.enhanced.empty() ? "" : recipient.reply.enhanced + " ";
        std::string said = recipient.remote_mta.empty()
                               ? "The answer was: "
                               : ascii_line(recipient.remote_mta, 255) + " said: ";
        said += std::to_string(recipient.reply.code) + " " + status + recipient.reply.text;
        paragraph(clean_text(said, 900), "    ", out);
    }
    if (recipient.action == DsnAction::failed)
        paragraph(advice(dsn_status(recipient)), "    ", out);
    if (recipient.action == DsnAction::delayed && recipient.will_retry_until != 0) {
        paragraph("It is tried until " + rfc5322_date(recipient.will_retry_until) + ".", "    ",
                  out);
    }
}

}  // namespace

std::string dsn_text(const DsnRequest& request) {
    std::string out;
    paragraph("This is the mail system at " + ascii_line(request.hostname, 255) + ".", "", out);
    out += "\r\n";
    paragraph(headline(request), "", out);
    if (request.arrival != 0) {
        out += "\r\n";
        paragraph("It was sent: " + rfc5322_date(request.arrival), "", out);
    }
    // Encoded words say nothing to people.
    if (!request.subject.empty() && valid_utf8(request.subject) &&
        !request.subject.contains("=?")) {
        paragraph("Its subject: " + clean_text(request.subject, subject_shown), "", out);
    }
    for (const auto& recipient : request.recipients) about(recipient, out);
    out += "\r\n";
    std::string closing = "The message's reference is " + ascii_line(request.ref, 64) + ".";
    if (!request.contact.empty()) {
        closing +=
            " If you need help, write to " + clean_text(request.contact, 300) + " and name it.";
    }
    paragraph(closing, "", out);
    paragraph("This notice was made by a program. Details for mail administrators are attached.",
              "", out);
    return out;
}

}  // namespace postern::proto
