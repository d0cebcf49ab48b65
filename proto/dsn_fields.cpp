#include <algorithm>

#include <fmt/format.h>

#include "proto/dsn_impl.hpp"
#include "proto/header.hpp"
#include "proto/utf8.hpp"
#include "proto/xtext.hpp"

namespace postern::proto {
namespace {

constexpr std::size_t fold_at = 76;

std::uint32_t code_point(std::string_view sequence) noexcept {
    const auto lead = static_cast<unsigned char>(sequence[0]);
    std::uint32_t point = sequence.size() == 2   ? lead & 0x1fU
                          : sequence.size() == 3 ? lead & 0x0fU
                                                 : lead & 0x07U;
    for (const char c : sequence.substr(1))
        point = (point << 6U) | (static_cast<unsigned char>(c) & 0x3fU);
    return point;
}

/// utf-8-addr-xtext, or with `utf8` utf-8-addr-unitext (RFC 6533 3).
std::string utf8_address(std::string_view text, bool utf8) {
    std::string out;
    while (!text.empty()) {
        const std::size_t length = std::max<std::size_t>(utf8_sequence(text), 1);
        const std::string_view sequence = text.substr(0, length);
        const char c = text[0];
        if (length > 1 && !utf8) {
            fmt::format_to(std::back_inserter(out), "\\x{{{:X}}}", code_point(sequence));
        } else if (c == '\\' || (!utf8 && (c == '+' || c == '='))) {
            fmt::format_to(std::back_inserter(out), "\\x{{{:02X}}}", static_cast<unsigned>(c));
        } else {
            out += sequence;
        }
        text.remove_prefix(length);
    }
    return out;
}

/// Appends `name: value` on one line or, at spaces, folded.
void field(std::string_view name, std::string_view value, std::string& out) {
    std::size_t line = out.size();
    out.append(name).append(":");
    while (!value.empty()) {
        const std::size_t space = value.find(' ');
        const std::string_view word = value.substr(0, space);
        value.remove_prefix(space == std::string_view::npos ? value.size() : space + 1);
        if (word.empty()) continue;
        if (out.size() - line + 1 + word.size() > fold_at && out.back() != ':') {
            out += "\r\n";
            line = out.size();
        }
        out.append(" ").append(word);
    }
    out += "\r\n";
}

/// Original-Recipient of an ORCPT value `type;xtext`; empty where that is none.
std::string original_recipient(std::string_view orcpt, bool utf8) {
    const std::size_t semicolon = orcpt.find(';');
    if (semicolon == 0 || semicolon == std::string_view::npos) return {};
    const std::string_view type = orcpt.substr(0, semicolon);
    const std::string_view address = orcpt.substr(semicolon + 1);
    if (!same_ignoring_case(type, "utf-8")) {
        return ascii_line(type, 64) + "; " + ascii_line(decode_xtext(address), 700);
    }
    const std::string clean = clean_text(address, 700);
    // Its own escapes are there already; only UTF-8 is left to be written in ASCII.
    std::string shown;
    std::string_view rest = clean;
    while (!rest.empty()) {
        const std::size_t length = std::max<std::size_t>(utf8_sequence(rest), 1);
        if (length > 1) {
            shown += utf8_address(rest.substr(0, length), utf8);
        } else {
            shown += rest[0];
        }
        rest.remove_prefix(length);
    }
    return "utf-8; " + shown;
}

std::string final_recipient(const Address& address, bool utf8) {
    const std::string text = clean_text(address.text(), 700);
    if (is_ascii(text)) return "rfc822; " + text;
    return "utf-8; " + utf8_address(text, utf8);
}

std::string_view action_name(DsnAction action) noexcept {
    switch (action) {
        case DsnAction::failed:
            return "failed";
        case DsnAction::delayed:
            return "delayed";
        case DsnAction::delivered:
            return "delivered";
        case DsnAction::relayed:
            break;
    }
    return "relayed";
}

/// d.d{1,3}.d{1,3} with a class out of `classes`.
bool is_status(std::string_view text, std::string_view classes) noexcept {
    if (text.size() < 5 || text[1] != '.' || !classes.contains(text[0])) return false;
    const std::size_t dot = text.find('.', 2);
    if (dot == std::string_view::npos) return false;
    const auto number = [](std::string_view part) {
        return !part.empty() && part.size() <= 3 &&
               std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    };
    return number(text.substr(2, dot - 2)) && number(text.substr(dot + 1));
}

void recipient_fields(const DsnRecipient& told, bool utf8, std::string& out) {
    const auto shown = [utf8](std::string_view text) {
        return utf8 ? clean_text(text) : ascii_line(text);
    };
    out += "\r\n";
    if (const auto original = original_recipient(told.recipient.orcpt, utf8); !original.empty()) {
        field("Original-Recipient", original, out);
    }
    field("Final-Recipient", final_recipient(told.recipient.address, utf8), out);
    field("Action", action_name(told.action), out);
    field("Status", dsn_status(told), out);
    if (!told.remote_mta.empty())
        field("Remote-MTA", "dns; " + ascii_line(told.remote_mta, 255), out);
    if (told.reply.code != 0) {
        std::string code = "smtp; " + std::to_string(told.reply.code) + " ";
        if (!told.reply.enhanced.empty()) code += told.reply.enhanced + " ";
        field("Diagnostic-Code", shown(code + told.reply.text), out);
    }
    if (told.last_attempt != 0) field("Last-Attempt-Date", rfc5322_date(told.last_attempt), out);
    if (told.action == DsnAction::delayed && told.will_retry_until != 0) {
        field("Will-Retry-Until", rfc5322_date(told.will_retry_until), out);
    }
}

}  // namespace

std::string ascii_line(std::string_view text, std::size_t limit) {
    std::string out = clean_text(text, limit);
    std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
    return out;
}

std::string dsn_status(const DsnRecipient& recipient) {
    std::string_view classes = "2";
    std::string_view fallback = "2.0.0";
    if (recipient.action == DsnAction::failed) {
        classes = "54";
        fallback = "5.0.0";
    } else if (recipient.action == DsnAction::delayed) {
        classes = "4";
        fallback = "4.0.0";
    }
    if (is_status(recipient.status, classes)) return recipient.status;
    if (is_status(recipient.reply.enhanced, classes)) return recipient.reply.enhanced;
    return std::string(fallback);
}

std::string dsn_fields(const DsnRequest& request, bool utf8) {
    std::string out;
    field("Reporting-MTA", "dns; " + ascii_line(request.hostname, 255), out);
    if (!request.envelope.envid.empty()) {
        field("Original-Envelope-Id", ascii_line(decode_xtext(request.envelope.envid)), out);
    }
    if (request.arrival != 0) field("Arrival-Date", rfc5322_date(request.arrival), out);
    for (const auto& recipient : request.recipients) recipient_fields(recipient, utf8, out);
    return out;
}

}  // namespace postern::proto
