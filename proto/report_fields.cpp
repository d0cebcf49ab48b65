#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "proto/address_list.hpp"
#include "proto/reply.hpp"
#include "proto/report_impl.hpp"
#include "proto/report_words.hpp"
#include "proto/utf8.hpp"
#include "proto/xtext.hpp"

namespace postern::proto::reports {
namespace {

constexpr std::size_t envelope_id_limit = 100;  ///< RFC 3461 4.4
constexpr std::size_t word_limit = 64;
constexpr std::size_t list_mailboxes = 1000;  ///< Of one To or Cc.

/// RFC 3464 2.3.3
constexpr auto actions = std::to_array<std::pair<std::string_view, ReportAction>>({
    {"failed", ReportAction::failed},
    {"delayed", ReportAction::delayed},
    {"delivered", ReportAction::delivered},
    {"relayed", ReportAction::relayed},
    {"expanded", ReportAction::expanded},
});

std::optional<ReportAction> action_of(std::string_view value) {
    const std::string word = to_lower(value.substr(0, value.find_first_of(" \t(;")));
    for (const auto& [name, action] : actions) {
        if (word == name) return action;
    }
    return std::nullopt;
}

void append_utf8(std::uint32_t point, std::string& out) {
    const auto octet = [&out](std::uint32_t value) { out += static_cast<char>(value); };
    if (point < 0x80) return octet(point);
    if (point < 0x800) {
        octet(0xc0U | (point >> 6U));
    } else if (point < 0x10000) {
        octet(0xe0U | (point >> 12U));
        octet(0x80U | ((point >> 6U) & 0x3fU));
    } else {
        octet(0xf0U | (point >> 18U));
        octet(0x80U | ((point >> 12U) & 0x3fU));
        octet(0x80U | ((point >> 6U) & 0x3fU));
    }
    octet(0x80U | (point & 0x3fU));
}

/// The code point of a `\x{HEX}` that the text begins with (RFC 6533 3), and its length.
std::optional<std::pair<std::uint32_t, std::size_t>> embedded(std::string_view text) noexcept {
    if (!text.starts_with("\\x{")) return std::nullopt;
    std::uint32_t point = 0;
    std::size_t at = 3;
    for (; at < text.size() && at < 9 && text[at] != '}'; ++at) {
        const char c =
            text[at] >= 'a' && text[at] <= 'f' ? static_cast<char>(text[at] - 'a' + 'A') : text[at];
        if (hex_digit(c) < 0) return std::nullopt;
        point = point * 16 + static_cast<std::uint32_t>(hex_digit(c));
    }
    if (at == 3 || at >= text.size() || text[at] != '}') return std::nullopt;
    const bool surrogate = point >= 0xd800 && point < 0xe000;
    if (point < 0x20 || point == 0x7f || surrogate || point > 0x10ffff) return std::nullopt;
    return std::pair(point, at + 1);
}

/// utf-8-addr-xtext and utf-8-addr-unitext (RFC 6533 3).
std::string undo_embedded(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        if (const auto one = embedded(text)) {
            append_utf8(one->first, out);
            text.remove_prefix(one->second);
        } else {
            out += text.front();
            text.remove_prefix(1);
        }
    }
    return out;
}

/// `type; address` (RFC 3464 2.3.1, RFC 6533 4); empty where it is no mailbox.
std::string reported_mailbox(std::string_view value) {
    const std::size_t semicolon = value.find(';');
    std::string type;
    if (semicolon != std::string_view::npos && !value.substr(0, semicolon).contains('@')) {
        type = to_lower(trimmed(value.substr(0, semicolon)));
        value = trimmed(value.substr(semicolon + 1));
    }
    if (value.size() > 2048) return {};
    if (type == "utf-8") return foreign_mailbox(undo_embedded(value));
    if (!type.empty() && type != "rfc822") return {};
    // Who writes the field should have undone its xtext. A plus sign is common in local parts, so
    // it is undone only where what stands there is no mailbox.
    if (std::string plain = foreign_mailbox(value); !plain.empty()) return plain;
    return valid_xtext(value) ? foreign_mailbox(decode_xtext(value)) : std::string();
}

/// The text behind `smtp;`.
std::string_view without_type(std::string_view value) noexcept {
    const std::size_t semicolon = value.substr(0, word_limit).find(';');
    if (semicolon == std::string_view::npos) return value;
    const bool type = std::ranges::all_of(trimmed(value.substr(0, semicolon)), [](char c) {
        return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '-';
    });
    return type ? trimmed(value.substr(semicolon + 1)) : value;
}

/// The fields of one recipient, of each the first.
struct Group {
    std::string original;
    std::string final;
    std::string status;
    std::string diagnostic;
    std::string action_text;
    bool has_original = false;  ///< The field was there, whatever it says.
    bool has_final = false;

    /// Two recipients with no empty line between them.
    [[nodiscard]] bool next_begins(std::string_view name) const noexcept {
        return !action_text.empty() && ((name == "original-recipient" && has_original) ||
                                        (name == "final-recipient" && has_final));
    }

    void take(std::string_view name, std::string_view value) {
        if (name == "original-recipient") {
            has_original = true;
            if (original.empty()) original = reported_mailbox(value);
        } else if (name == "final-recipient") {
            has_final = true;
            if (final.empty()) final = reported_mailbox(value);
        } else if (name == "action" && action_text.empty()) {
            action_text = std::string(value.substr(0, word_limit));
        } else if (name == "status" && status.empty()) {
            status = enhanced_code_in(value.substr(0, word_limit), "245");
        } else if (name == "diagnostic-code" && diagnostic.empty()) {
            diagnostic = clean_text(squeezed(without_type(value)));
        }
    }
};

void finish(Group&& group, const ReportLimits& limits, Report& report) {
    const bool has_original = !group.original.empty();
    if (!has_original && group.final.empty()) return;
    std::optional<ReportAction> action = action_of(group.action_text);
    if (group.action_text.empty() && group.status.starts_with('5')) action = ReportAction::failed;
    if (!action) return;
    ReportedRecipient out;
    out.rcpt = has_original ? std::move(group.original) : group.final;
    out.final_rcpt = std::move(group.final);
    out.action = *action;
    out.status = std::move(group.status);
    if (out.status.empty()) out.status = status_in(group.diagnostic, classes_of(*action));
    out.diagnostic = std::move(group.diagnostic);
    add_recipient(std::move(out), limits, report);
}

}  // namespace

std::string_view classes_of(ReportAction action) noexcept {
    return action == ReportAction::failed || action == ReportAction::delayed ? "54" : "2";
}

void add_recipient(ReportedRecipient recipient, const ReportLimits& limits, Report& report) {
    if (report.recipients.size() >= limits.max_recipients) return;
    const bool known = std::ranges::any_of(report.recipients, [&](const ReportedRecipient& one) {
        return one.rcpt == recipient.rcpt && one.action == recipient.action;
    });
    if (!known) report.recipients.push_back(std::move(recipient));
}

bool read_delivery_status(std::string_view text, const ReportLimits& limits, Report& report) {
    bool any = false;
    Group group;
    const auto done = [&] {
        any = any || group.has_original || group.has_final;
        finish(std::exchange(group, {}), limits, report);
    };
    while (!text.empty() && report.recipients.size() < limits.max_recipients) {
        FieldReader fields(take_block(text));
        while (fields.next()) {
            const std::string_view name = fields.name();
            if (group.next_begins(name)) done();
            if (name == "original-envelope-id" && report.original_envelope_id.empty()) {
                const std::string id =
                    valid_xtext(fields.value()) ? decode_xtext(fields.value()) : std::string();
                report.original_envelope_id =
                    clean_text(id.empty() ? fields.value() : id, envelope_id_limit);
            } else {
                group.take(name, fields.value());
            }
        }
        done();
    }
    return any;
}

bool read_feedback(std::string_view text, const ReportLimits& limits, Report& report) {
    std::string removal;
    while (!text.empty()) {
        FieldReader fields(take_block(text));
        while (fields.next()) {
            const std::string_view value = fields.value();
            if (fields.name() == "feedback-type" && report.feedback_type.empty()) {
                report.feedback_type =
                    to_lower(clean_text(value.substr(0, value.find_first_of(" \t;(")), word_limit));
            } else if (fields.name() == "original-rcpt-to" &&
                       report.original_rcpts.size() < limits.max_recipients) {
                if (std::string rcpt = reported_mailbox(value); !rcpt.empty())
                    report.original_rcpts.push_back(std::move(rcpt));
            } else if (fields.name() == "removal-recipient" && removal.empty()) {
                removal = reported_mailbox(value);
            } else if (fields.name() == "original-envelope-id" &&
                       report.original_envelope_id.empty()) {
                report.original_envelope_id = clean_text(value, envelope_id_limit);
            }
        }
    }
    if (report.original_rcpts.empty() && !removal.empty() && limits.max_recipients > 0)
        report.original_rcpts.push_back(std::move(removal));
    return !report.feedback_type.empty();
}

void read_returned(std::string_view header, const ReportLimits& limits, Report& report) {
    FieldReader fields(header.substr(0, limits.max_header));
    while (fields.next()) {
        const std::string_view name = fields.name();
        if (name == "x-abuse" && report.token.empty()) {
            // The topmost one with a token: below it may stand what a client wrote.
            report.token = abuse_token(fields.value());
        } else if (name == "message-id" && report.message_id.empty()) {
            report.message_id = bracketed_message_id(fields.value());
        } else if (name == "to" || name == "cc") {
            const AddressList list = parse_address_list(
                fields.value(),
                {.octets = limits.max_header, .mailboxes = list_mailboxes, .comment_depth = 8});
            for (const Address& mailbox : list.mailboxes) {
                if (report.returned_to.size() >= limits.max_recipients) break;
                if (std::string text = mailbox_text(mailbox); !text.empty())
                    report.returned_to.push_back(std::move(text));
            }
        }
    }
}

}  // namespace postern::proto::reports
