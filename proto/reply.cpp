#include "proto/reply.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t max_line = 510;  // RFC 5321 4.5.3.1.5: 512 octets with CRLF

void append_code(int code, char after, std::string& out) {
    std::array<char, 12> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), code).ptr;
    out.append(digits.data(), end);
    out += after;
}

bool is_plain(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t limit) {
    std::string out;
    out.reserve(std::min(text.size(), limit));
    while (!text.empty()) {
        std::size_t taken = utf8_sequence(text);
        std::string_view piece = text.substr(0, taken);
        if (text.starts_with("\r\n")) {
            taken = 2;
            piece = " ";
        } else if (text[0] == '\n' || text[0] == '\r') {
            piece = " ";
        } else if (taken == 0) {
            taken = 1;
            piece = "?";
        } else if (is_control(text[0]) || (taken == 2 && text[0] == '\xc2' &&
                                           static_cast<unsigned char>(text[1]) < 0xa0)) {
            piece = "?";  // C0, DEL, and C1 (U+0080 to U+009F)
        }
        if (out.size() + piece.size() > limit) break;
        out += piece;
        text.remove_prefix(taken);
    }
    return out;
}

void render(const Reply& reply, std::string& out) {
    std::string_view rest = reply.text;
    for (bool last = false; !last;) {
        const std::size_t end = rest.find('\n');
        last = end == std::string_view::npos;
        std::string_view line = rest.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        const std::size_t start = out.size();
        append_code(reply.code, last ? ' ' : '-', out);
        if (!reply.enhanced.empty()) {
            out += reply.enhanced;
            if (!line.empty()) out += ' ';
        }
        const std::size_t room = max_line - std::min(max_line, out.size() - start);
        if (line.size() <= room && is_plain(line)) {
            out += line;
        } else {
            out += clean_text(line, room);
        }
        out += "\r\n";
        if (!last) rest.remove_prefix(end + 1);
    }
}

}  // namespace postern::proto
