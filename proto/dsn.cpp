#include "proto/dsn.hpp"

#include <algorithm>

#include "proto/dsn_impl.hpp"
#include "proto/header.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {
namespace {

constexpr std::size_t header_limit = dsn_full_limit;
constexpr std::size_t line_limit = 998;  // RFC 5322 2.1.1

/// RFC 2045 6.7, for text: lines of at most 76 characters.
std::string quoted_printable(std::string_view text) {
    static constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    std::size_t line = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (text.substr(i, 2) == "\r\n") {
            out += "\r\n";
            line = 0;
            ++i;
            continue;
        }
        const auto u = static_cast<unsigned char>(c);
        const bool plain =
            (u > 32 && u < 127 && c != '=') || (c == ' ' && text.substr(i + 1, 2) != "\r\n");
        const std::size_t width = plain ? 1 : 3;
        if (line + width > 75) {
            out += "=\r\n";
            line = 0;
        }
        if (plain) {
            out += c;
        } else {
            out += '=';
            out += digits[u >> 4U];
            out += digits[u & 15U];
        }
        line += width;
    }
    return out;
}

/// Lines of at most 998 octets, without an empty one, of at most header_limit octets in all. The
/// header may have been cut anywhere, also between CR and LF.
std::string headers_only(std::string_view header) {
    std::string out;
    while (!header.empty() && out.size() < header_limit) {
        const std::size_t end = header.find("\r\n");
        std::string_view line = header.substr(0, end);
        header.remove_prefix(end == std::string_view::npos ? header.size() : end + 2);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) break;
        out.append(line.substr(0, line_limit)).append("\r\n");
    }
    return out;
}

/// Octets that are not allowed become `?`.
void make_seven_bit(std::string& text) {
    std::ranges::replace_if(
        text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
}

/// The original message or its header section, as a MIME part.
struct Returned {
    std::string_view type;
    std::string content;
    bool eight_bit = false;
};

Returned returned(const DsnRequest& request) {
    Returned part;
    const bool whole = request.envelope.ret == Ret::full &&
                       dsn_headline(request) == DsnAction::failed && !request.body.empty() &&
                       request.header.size() + request.body.size() <= dsn_full_limit;
    if (whole) {
        part.content.append(request.header).append(request.body);
        if (!part.content.ends_with("\r\n")) part.content += "\r\n";
    } else {
        part.content = headers_only(request.header);
    }
    const std::string_view header = whole ? request.header : std::string_view(part.content);
    const bool eight_bit_allowed =
        request.envelope.body == Body::eight_bit_mime || request.envelope.smtputf8;
    if (!eight_bit_allowed) make_seven_bit(part.content);
    part.eight_bit = !is_ascii(part.content);
    // UTF-8 in header fields makes it a message/global (RFC 6533 5, RFC 6532 3.7).
    const bool global = part.eight_bit && !is_ascii(header) && valid_utf8(header);
    if (whole) {
        part.type = global ? "message/global" : "message/rfc822";
    } else {
        part.type = global ? "message/global-headers" : "text/rfc822-headers";
    }
    return part;
}

std::string_view subject(DsnAction action) noexcept {
    switch (action) {
        case DsnAction::failed:
            return "Your message could not be delivered";
        case DsnAction::delayed:
            return "Your message is delayed";
        case DsnAction::relayed:
            return "Your message was handed on";
        case DsnAction::delivered:
            break;
    }
    return "Your message was delivered";
}

/// The original's Message-ID, where it is fit for a References field.
std::string original_id(std::string_view header) {
    HeaderScanner scanner("");
    scanner.feed(header);
    scanner.finish();
    const std::string& id = scanner.facts().message_id;
    const bool fit = id.size() > 4 && id.size() <= 250 && id.starts_with('<') &&
                     id.ends_with('>') &&
                     std::ranges::all_of(id, [](char c) { return c > ' ' && c < 0x7f; });
    return fit ? id : std::string{};
}

void begin_part(std::string_view boundary, std::string_view type, std::string_view encoding,
                std::string& out) {
    out.append("\r\n--").append(boundary).append("\r\nContent-Type: ").append(type).append("\r\n");
    if (!encoding.empty())
        out.append("Content-Transfer-Encoding: ").append(encoding).append("\r\n");
    out += "\r\n";
}

}  // namespace

DsnAction dsn_headline(const DsnRequest& request) noexcept {
    for (const DsnAction action : {DsnAction::failed, DsnAction::delayed, DsnAction::relayed}) {
        if (std::ranges::any_of(request.recipients,
                                [action](const auto& r) { return r.action == action; })) {
            return action;
        }
    }
    return DsnAction::delivered;
}

bool dsn_owed(const Envelope& envelope, const Recipient& recipient, DsnAction action) noexcept {
    if (!envelope.mail_from) return false;
    const bool success = action == DsnAction::delivered || action == DsnAction::relayed;
    if (!recipient.notify) return !success;
    if (recipient.notify->never) return false;
    if (success) return recipient.notify->success;
    return action == DsnAction::failed ? recipient.notify->failure : recipient.notify->delay;
}

Dsn make_dsn(const DsnRequest& request) {
    const DsnAction headline = dsn_headline(request);
    const Address sender = request.envelope.mail_from.value_or(Address{});
    const std::string to = clean_text(sender.text(), 800);
    const bool utf8 = !is_ascii(to);
    const Returned original = returned(request);
    const std::string text = dsn_text(request);
    const bool plain = is_ascii(text);
    const std::string status = dsn_fields(request, utf8);
    const bool status_eight_bit = !is_ascii(status);
    const bool eight_bit = utf8 || original.eight_bit || status_eight_bit;
    const std::string& boundary = request.boundary;

    Dsn dsn;
    std::string& out = dsn.text;
    out.append("From: Mail Delivery System <postmaster@")
        .append(ascii_line(request.from_domain, 255));
    out.append(">\r\nTo: <").append(to).append(">\r\n");
    out.append("Date: ").append(rfc5322_date(request.unix_seconds)).append("\r\n");
    out.append("Message-ID: <").append(ascii_line(request.own_ref, 64)).append("@");
    out.append(ascii_line(request.hostname, 255)).append(">\r\n");
    if (const auto id = original_id(request.header); !id.empty()) {
        out.append("In-Reply-To: ").append(id).append("\r\nReferences: ").append(id).append("\r\n");
    }
    out.append("Subject: ").append(subject(headline)).append("\r\n");
    out += headline == DsnAction::delayed ? "Auto-Submitted: auto-generated\r\n"
                                          : "Auto-Submitted: auto-replied\r\n";
    out +=
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n "
        "boundary=\"";
    out.append(boundary).append("\"\r\n");
    if (eight_bit) out += "Content-Transfer-Encoding: 8bit\r\n";

    begin_part(boundary, plain ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8",
               plain ? "" : "quoted-printable", out);
    out += plain ? text : quoted_printable(text);
    begin_part(boundary, utf8 ? "message/global-delivery-status" : "message/delivery-status",
               status_eight_bit ? "8bit" : "", out);
    out += status;
    begin_part(boundary, original.type, original.eight_bit ? "8bit" : "", out);
    out += original.content;
    out.append("\r\n--").append(boundary).append("--\r\n");

    Recipient recipient;
    recipient.address = sender;
    recipient.notify = Notify{.never = true};
    dsn.envelope.recipients.push_back(std::move(recipient));
    dsn.envelope.smtputf8 = utf8;
    dsn.envelope.body = eight_bit ? Body::eight_bit_mime : Body::seven_bit;
    return dsn;
}

}  // namespace postern::proto
