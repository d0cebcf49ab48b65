#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "proto/reply.hpp"
#include "proto/report_impl.hpp"
#include "proto/report_words.hpp"
#include "proto/utf8.hpp"

namespace postern::proto::reports {
namespace {

constexpr std::size_t told_limit = 65536;      ///< Of the text before the copy: what is looked at.
constexpr std::size_t entry_limit = 1024;      ///< Of what is said of one recipient.
constexpr std::size_t address_limit = 320;     ///< RFC 5321 4.5.3.1: 64, an @, 255.
constexpr std::size_t copy_blocks_limit = 16;  ///< Blocks of text looked at for a copied header.

/// What a text that tells of a failure or a delay says: lower case, one space between words.
struct Phrase {
    std::string_view text;
    ReportAction action;
};
constexpr auto phrases = std::to_array<Phrase>({
    // qmail and its kin (QSBMF)
    {"hi. this is the", ReportAction::failed},
    {"i'm afraid i wasn't able to deliver", ReportAction::failed},
    // Exim, GMX, web.de
    {"could not be delivered to one or more of its recipients", ReportAction::failed},
    {"has not yet been delivered to one or more of its recipients", ReportAction::delayed},
    {"has not been delivered to one or more of its recipients after", ReportAction::delayed},
    // Postfix of old
    {"could not be delivered to one or more recipients", ReportAction::failed},
    {"i'm sorry to have to inform you that", ReportAction::failed},
    {"this is a warning only", ReportAction::delayed},
    {"you do not need to resend your message", ReportAction::delayed},
    // sendmail
    {"the following addresses had permanent fatal errors", ReportAction::failed},
    {"the following addresses had delivery problems", ReportAction::failed},
    {"the following addresses had transient non-fatal errors", ReportAction::delayed},
    {"this is a warning message only", ReportAction::delayed},
    // Gmail
    {"your message wasn't delivered to", ReportAction::failed},
    {"delivery to the following recipient failed permanently", ReportAction::failed},
    {"delivery to the following recipients failed permanently", ReportAction::failed},
    {"there was a problem delivering your message", ReportAction::failed},
    {"delivery to the following recipient has been delayed", ReportAction::delayed},
    {"there was a temporary problem delivering your message", ReportAction::delayed},
    // Exchange, Microsoft 365
    {"delivery has failed to these recipients", ReportAction::failed},
    {"did not reach some or all of the intended recipients", ReportAction::failed},
    {"the following recipient(s) could not be reached", ReportAction::failed},
    {"the following recipient(s) cannot be reached", ReportAction::failed},
    {"delivery to the following recipients failed", ReportAction::failed},
    {"delivery to these recipients or groups is delayed", ReportAction::delayed},
    {"delivery to these recipients or distribution lists is delayed", ReportAction::delayed},
    {"couldn't be delivered", ReportAction::failed},
    {"could not be delivered", ReportAction::failed},
    // Yahoo, AOL
    {"unable to deliver your message", ReportAction::failed},
    {"unable to deliver the message", ReportAction::failed},
    {"unable to deliver message", ReportAction::failed},
    // T-Online, GMX, web.de and others in German
    {"konnte nicht zugestellt werden", ReportAction::failed},
    {"nicht zugestellt werden konnte", ReportAction::failed},
    {"konnte an folgende", ReportAction::failed},
    {"folgende adressen haben nicht funktioniert", ReportAction::failed},
    {"konnte noch nicht zugestellt werden", ReportAction::delayed},
    {"message log follows:", ReportAction::failed},
    {"failed addresses follow:", ReportAction::failed},
    // gateways
    {"delivery failed", ReportAction::failed},
    {"delivery failure", ReportAction::failed},
    {"failed to deliver", ReportAction::failed},
    {"was not delivered", ReportAction::failed},
    {"was undeliverable", ReportAction::failed},
    {"undeliverable", ReportAction::failed},
    {"recipient address rejected", ReportAction::failed},
    {"user unknown", ReportAction::failed},
    {"unknown user", ReportAction::failed},
    {"this is a permanent error", ReportAction::failed},
    {"delivery is delayed", ReportAction::delayed},
    {"has been delayed", ReportAction::delayed},
    {"will be retried", ReportAction::delayed},
    {"will keep trying", ReportAction::delayed},
    {"will continue to be retried", ReportAction::delayed},
});

/// A text that says both speaks of a failure where it has one of these.
constexpr auto final_words = std::to_array<std::string_view>(
    {"permanent", "will not be retried", "giving up", "given up", "this is a permanent error"});

/// Lines behind which a copy of the mail begins; they stand between dashes or bars.
constexpr auto copy_marks = std::to_array<std::string_view>({
    "copy of the message",
    "original message",
    "message header",
    "message text follows",
    "unsent message",
    "undelivered message",
    "returned message",
    "header of the original",
});

/// Fields that no text for people begins a line with.
constexpr auto copy_fields = std::to_array<std::string_view>({
    "return-path:",
    "received:",
    "dkim-signature:",
    "message-id:",
    "x-abuse:",
    "mime-version:",
    "x-google-dkim-signature:",
});

/// What may stand before an address at the beginning of a line.
constexpr auto address_labels = std::to_array<std::string_view>(
    {"to:", "recipient:", "recipient address:", "failed recipient:", "rcpt to:", "mailto:"});

/// Behind which an address stands in a sentence.
constexpr auto address_leads = std::to_array<std::string_view>(
    {"delivered to ", "your message to ", "deliver your message to ", "delivering your message to ",
     "deliver to ", "delivery to ", "message to ", "zugestellt werden an "});

bool begins_copy(std::string_view line, bool& with_line) {
    const std::string_view text = trimmed(line);
    with_line = false;
    if (text.size() > 512) return false;
    const std::string lower = to_lower(text);
    const auto is_begin = [&](std::string_view one) { return lower.starts_with(one); };
    if (!line.starts_with(' ') && std::ranges::any_of(copy_fields, is_begin)) {
        with_line = true;
        return true;
    }
    if (lower.starts_with("original message headers")) return true;
    if (!lower.starts_with('-') && !lower.starts_with('|')) return false;
    return std::ranges::any_of(copy_marks,
                               [&](std::string_view one) { return lower.contains(one); });
}

/// Splits a text into what it tells and the copy that it quotes.
std::pair<std::string_view, std::string_view> split_copy(std::string_view text) {
    std::string_view rest = text;
    while (!rest.empty()) {
        const std::size_t begin = text.size() - rest.size();
        bool with_line = false;
        if (begins_copy(take_line(rest), with_line))
            return {text.substr(0, begin), with_line ? text.substr(begin) : rest};
    }
    return {text, {}};
}

/// Unset: it tells of neither.
std::optional<ReportAction> told_action(std::string_view lower) {
    bool failed = false;
    bool delayed = false;
    for (const Phrase& phrase : phrases) {
        if (!lower.contains(phrase.text)) continue;
        (phrase.action == ReportAction::delayed ? delayed : failed) = true;
    }
    if (!failed && !delayed) return std::nullopt;
    const bool final = std::ranges::any_of(
        final_words, [lower](std::string_view one) { return lower.contains(one); });
    return delayed && !(failed && final) ? ReportAction::delayed : ReportAction::failed;
}

/// The address that the text begins with, less brackets and quotes; `rest` is what stands behind.
std::string address_at(std::string_view text, std::string_view& rest) {
    while (!text.empty() && std::string_view("<'\"*-|( \t").contains(text.front()))
        text.remove_prefix(1);
    std::string_view word = text.substr(0, text.find_first_of(" \t<>,;:()'\"|"));
    while (word.ends_with('.')) word.remove_suffix(1);
    if (word.size() > address_limit || !word.contains('@')) return {};
    std::string address = foreign_mailbox(word);
    if (address.empty()) return {};
    rest = text.substr(word.size());
    if (rest.starts_with("<mailto:")) rest.remove_prefix(std::min(rest.find('>'), rest.size()));
    while (!rest.empty() && std::string_view(">'\")|:;,. \t").contains(rest.front()))
        rest.remove_prefix(1);
    return address;
}

std::string address_at_line_start(std::string_view line, std::string_view& rest) {
    line = trimmed(line);
    const std::string lower = to_lower(line.substr(0, 24));
    for (const std::string_view label : address_labels) {
        if (!lower.starts_with(label)) continue;
        line = trimmed(line.substr(label.size()));
        break;
    }
    return address_at(line, rest);
}

struct Entry {
    std::string rcpt;
    std::string text;
};

bool has_code(std::string_view text) {
    return reply_code_in(text) != 0 || !enhanced_code_in(text, "45").empty();
}

class Entries {
  public:
    Entries(const ReportHeader& header, const ReportLimits& limits)
        : header_(header), most_(limits.max_recipients) {}

    /// What is said of a recipient goes on until an empty line, once anything was said.
    void line(std::string_view line) {
        line = trimmed(line);
        if (line.empty()) {
            if (open_ != nullptr && !open_->text.empty()) open_ = nullptr;
            return;
        }
        std::string_view rest;
        std::string address = address_at_line_start(line, rest);
        if (!address.empty() && usable(address)) {
            begin(std::move(address));
            line = rest;
        }
        if (open_ == nullptr || line.empty() || open_->text.size() >= entry_limit) return;
        if (!open_->text.empty()) open_->text += ' ';
        open_->text += line.substr(0, entry_limit - std::min(open_->text.size(), entry_limit));
    }

    /// A line with a code and an address somewhere.
    void coded_line(std::string_view line) {
        line = trimmed(line.substr(0, entry_limit));
        if (reply_code_in(line) == 0) return;
        for (std::string_view words = line; !words.empty();) {
            const std::size_t space = words.find(' ');
            std::string_view rest;
            std::string address = address_at(words.substr(0, space), rest);
            if (!address.empty() && usable(address)) {
                begin(std::move(address));
                if (open_ != nullptr) open_->text = line;
                open_ = nullptr;
            }
            words.remove_prefix(space == std::string_view::npos ? words.size() : space + 1);
        }
    }

    void add(std::string address, std::string_view text) {
        if (usable(address)) begin(std::move(address));
        if (open_ != nullptr) open_->text = text;
        open_ = nullptr;
    }

    [[nodiscard]] const std::vector<Entry>& all() const noexcept { return all_; }

  private:
    /// Not who sent the mail: such texts name him, too.
    [[nodiscard]] bool usable(const std::string& address) const {
        return std::ranges::find(header_.to, address) == header_.to.end();
    }

    /// Some tell of a recipient twice, in words first and with the code later.
    void begin(std::string address) {
        open_ = nullptr;
        const auto known = std::ranges::find(all_, address, &Entry::rcpt);
        if (known != all_.end()) {
            if (has_code(known->text)) return;
            known->text.clear();
            open_ = &*known;
        } else if (all_.size() < most_) {
            open_ = &all_.emplace_back(Entry{.rcpt = std::move(address), .text = {}});
        }
    }

    const ReportHeader& header_;
    std::size_t most_;
    std::vector<Entry> all_;
    Entry* open_ = nullptr;
};

/// The first line that a code stands in.
std::string_view line_with_code(std::string_view text) {
    while (!text.empty()) {
        const std::string_view line = take_line(text);
        if (has_code(line)) return trimmed(line);
    }
    return {};
}

void read_sentences(std::string_view told, std::string_view plain, std::string_view lower,
                    Entries& entries) {
    const std::string_view text = line_with_code(told);
    for (const std::string_view lead : address_leads) {
        std::size_t at = lower.find(lead);
        for (int tries = 0; at != std::string_view::npos && tries < 8; ++tries) {
            std::string_view rest;
            std::string address =
                address_at(plain.substr(at + lead.size(), address_limit + 8), rest);
            if (!address.empty()) entries.add(std::move(address), text);
            at = lower.find(lead, at + lead.size());
        }
    }
}

std::vector<Entry> read_entries(std::string_view told, std::string_view plain,
                                std::string_view lower, const ReportHeader& header,
                                const ReportLimits& limits) {
    Entries entries(header, limits);
    for (std::string_view rest = told; !rest.empty();) entries.line(take_line(rest));
    if (entries.all().empty()) {
        for (std::string_view rest = told; !rest.empty();) entries.coded_line(take_line(rest));
    }
    if (entries.all().empty()) read_sentences(told, plain, lower, entries);
    if (header.failed.empty()) return entries.all();
    // Who is named there failed, and nobody else.
    std::vector<Entry> out;
    for (const std::string& rcpt : header.failed) {
        const auto found = std::ranges::find(entries.all(), rcpt, &Entry::rcpt);
        const bool said = found != entries.all().end() && !found->text.empty();
        out.push_back(
            {.rcpt = rcpt, .text = said ? found->text : std::string(line_with_code(told))});
    }
    return out;
}

void read_copy(std::string_view copy, const ReportLimits& limits, Report& report) {
    for (std::size_t i = 0; i < copy_blocks_limit && !copy.empty(); ++i) {
        if (!report.message_id.empty() || !report.token.empty()) return;
        read_returned(take_block(copy), limits, report);
    }
}

}  // namespace

bool read_bounce_text(std::string_view text, const ReportHeader& header, const ReportLimits& limits,
                      Report& report) {
    // Anybody may quote a bounce in a letter: who writes must be a mail system, too.
    if (header.failed.empty() &&
        (header.vacation || (!header.from_daemon && !header.failure_subject)))
        return false;
    const auto [whole, copy] = split_copy(text);
    const std::string_view told = whole.substr(0, told_limit);
    const std::string plain = squeezed(told);
    const std::string lower = to_lower(plain);
    std::optional<ReportAction> action = told_action(lower);
    if (!action && !header.failed.empty()) action = ReportAction::failed;
    if (!action) return false;
    for (const Entry& entry : read_entries(told, plain, lower, header, limits)) {
        ReportedRecipient one;
        one.rcpt = entry.rcpt;
        one.action = *action;
        one.status = status_in(entry.text, classes_of(*action));
        one.diagnostic = clean_text(squeezed(entry.text));
        add_recipient(std::move(one), limits, report);
    }
    if (report.recipients.empty()) return false;
    read_copy(copy, limits, report);
    return true;
}

}  // namespace postern::proto::reports
