#include "proto/report_words.hpp"

#include <algorithm>

#include "proto/address.hpp"
#include "proto/address_list.hpp"
#include "proto/reply.hpp"
#include "proto/report_impl.hpp"
#include "proto/utf8.hpp"

namespace postern::proto {
namespace reports {
namespace {

constexpr std::size_t token_length = 32;
constexpr std::size_t id_limit = 998;
constexpr std::size_t mailbox_limit = 1024;  ///< With a display name.

bool is_number(char c) noexcept {
    return c >= '0' && c <= '9';
}

bool is_letter(char c) noexcept {
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/// Length of the d.d{1,3}.d{1,3} that the text begins with; 0: none.
std::size_t enhanced_length(std::string_view text) noexcept {
    if (text.size() < 5 || text[1] != '.') return 0;
    std::size_t at = 2;
    for (int part = 0; part < 2; ++part) {
        const std::size_t begin = at;
        while (at < text.size() && is_number(text[at])) ++at;
        if (at == begin || at - begin > 3) return 0;
        if (part == 0) {
            if (at == text.size() || text[at] != '.') return 0;
            ++at;
        }
    }
    const bool longer = at + 1 < text.size() && text[at] == '.' && is_number(text[at + 1]);
    return longer || (at < text.size() && is_letter(text[at])) ? 0 : at;
}

}  // namespace

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

std::string squeezed(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (!is_space(c)) {
            out += c;
        } else if (!out.ends_with(' ')) {
            out += ' ';
        }
    }
    return out;
}

std::string mailbox_text(const Address& address) {
    if (address.domain.empty()) return {};
    std::string text = address.local + "@" + to_lower(address.domain);
    return clean_text(text, text.size() + 1) == text ? text : std::string();
}

}  // namespace reports

std::string report_token(std::string_view text) {
    const auto hexadecimal = [](char c) {
        return reports::is_number(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
    };
    if (text.size() != reports::token_length || !std::ranges::all_of(text, hexadecimal)) return {};
    return to_lower(text);
}

std::string abuse_token(std::string_view body) {
    while (true) {
        const std::size_t at = body.find("ref=");
        if (at == std::string_view::npos) return {};
        const bool whole_word = at == 0 || body[at - 1] == ';' || is_space(body[at - 1]);
        body.remove_prefix(at + 4);
        if (!whole_word) continue;
        std::string_view word = body.substr(0, reports::token_length + 1);
        word = word.substr(0, word.find_first_of("; \t\r\n"));
        if (std::string token = report_token(word); !token.empty()) return token;
    }
}

std::string bracketed_message_id(std::string_view text) {
    text = reports::trimmed(text);
    const std::size_t begin = text.find('<');
    const std::size_t end = begin == std::string_view::npos ? begin : text.find('>', begin);
    if (end != std::string_view::npos) {
        const std::string_view id = text.substr(begin, end - begin + 1);
        return id.size() <= 2 || id.size() > reports::id_limit ? std::string()
                                                               : clean_text(id, reports::id_limit);
    }
    if (begin != std::string_view::npos || text.contains('>')) return {};
    text = text.substr(0, text.find_first_of(" \t\r\n"));
    if (text.empty() || text.size() > reports::id_limit - 2 || !text.contains('@')) return {};
    return "<" + clean_text(text, reports::id_limit - 2) + ">";
}

std::string enhanced_code_in(std::string_view text, std::string_view classes) {
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (!classes.contains(text[at])) continue;
        const char before = at == 0 ? ' ' : text[at - 1];
        if (reports::is_number(before) || reports::is_letter(before) || before == '.') continue;
        const std::size_t length = reports::enhanced_length(text.substr(at));
        if (length > 0) return std::string(text.substr(at, length));
    }
    return {};
}

int reply_code_in(std::string_view text) noexcept {
    using reports::is_number;
    for (std::size_t at = 0; at + 3 <= text.size(); ++at) {
        if (text[at] != '4' && text[at] != '5') continue;
        if (!is_number(text[at + 1]) || !is_number(text[at + 2])) continue;
        const char before = at == 0 ? ' ' : text[at - 1];
        const char behind = at + 3 == text.size() ? ' ' : text[at + 3];
        if (!is_space(before) && !std::string_view(";:('\"#>").contains(before)) continue;
        if (!is_space(behind) && !std::string_view("-:;,)'\"").contains(behind)) continue;
        return (text[at] - '0') * 100 + (text[at + 1] - '0') * 10 + (text[at + 2] - '0');
    }
    return 0;
}

std::string status_in(std::string_view text, std::string_view classes) {
    std::string code = enhanced_code_in(text, classes);
    if (!code.empty()) return code;
    const int reply = reply_code_in(text);
    const char digit = static_cast<char>('0' + reply / 100);
    return reply != 0 && classes.contains(digit) ? std::string(1, digit) + ".0.0" : std::string();
}

std::string foreign_mailbox(std::string_view text) {
    text = reports::trimmed(text);
    if (text.empty() || text.size() > reports::mailbox_limit) return {};
    if (const auto one = parse_mailbox(text, true)) return reports::mailbox_text(*one);
    const AddressList list = parse_address_list(
        text, {.octets = reports::mailbox_limit, .mailboxes = 2, .comment_depth = 8});
    // `bob@example.org <bob@example.org>` counts as two there.
    if (!list.valid || list.mailboxes.empty()) return {};
    if (list.mailboxes.size() == 2 && list.mailboxes[0] != list.mailboxes[1]) return {};
    return reports::mailbox_text(list.mailboxes[0]);
}

}  // namespace postern::proto
