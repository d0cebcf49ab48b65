#include "relay/intake/forward.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "proto/header.hpp"
#include "proto/utf8.hpp"

namespace postern::relay::intake {

namespace {

/// Lone CR and LF as line ends: no upstream may read them as anything else.
void append_with_crlf(std::string& out, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\r') {
            if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
            out += "\r\n";
        } else if (c == '\n') {
            out += "\r\n";
        } else {
            out += c == '\0' ? ' ' : c;
        }
    }
    if (!out.ends_with("\r\n")) out += "\r\n";
}

}  // namespace

std::size_t received_fields(std::string_view mail) {
    constexpr std::string_view field = "received:";
    std::size_t count = 0;
    while (!mail.empty()) {
        const std::size_t end = mail.find('\n');
        std::string_view line = mail.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty()) break;
        if (proto::same_ignoring_case(line.substr(0, field.size()), field)) ++count;
        mail.remove_prefix(end == std::string_view::npos ? mail.size() : end + 1);
    }
    return count;
}

NewEntry make_forward_entry(const event::MappedMessage& message, const proto::Address& sender,
                            std::string_view mail, const std::string& hostname,
                            const std::string& id, WallTime now) {
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    // No "from": that would be the mark by which mail of ours is known that comes again.
    std::string text = fmt::format("Received: by {} with LMTP id {};\r\n\t{}\r\n", hostname, id,
                                   proto::rfc5322_date(seconds));
    text.reserve(text.size() + mail.size() + mail.size() / 16);
    append_with_crlf(text, mail);
    NewEntry entry;
    entry.id = id;
    entry.ref = message.ref;
    entry.account = message.account;
    entry.customer = message.customer;
    proto::Recipient rcpt;
    rcpt.address = sender;
    rcpt.notify = proto::Notify{.never = true};
    entry.envelope.recipients.push_back(std::move(rcpt));
    entry.envelope.smtputf8 = !sender.ascii();
    if (!proto::is_ascii(text)) entry.envelope.body = proto::Body::eight_bit_mime;
    entry.dsn = true;
    entry.created = now;
    entry.next_attempt = now;
    const auto kept = std::make_shared<const std::string>(std::move(text));
    entry.pieces.emplace_back(*kept);
    entry.keep = kept;
    return entry;
}

}  // namespace postern::relay::intake
