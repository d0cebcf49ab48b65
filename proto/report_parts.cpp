#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "proto/report_impl.hpp"
#include "proto/utf8.hpp"

namespace postern::proto::reports {
namespace {

constexpr std::size_t field_name_limit = 64;
constexpr std::size_t boundary_limit = 200;  ///< RFC 2046 says 70.
constexpr std::size_t depth_limit = 32;      ///< Whatever the limits say: walking is recursive.

bool only_space(std::string_view text) noexcept {
    return std::ranges::all_of(text, is_space);
}

bool is_field_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= field_name_limit &&
           std::ranges::all_of(name, [](char c) { return c > ' ' && c < '\x7f'; });
}

/// A parameter's value, quoted or not; takes it off.
std::string take_value(std::string_view& text) {
    std::string out;
    if (!text.starts_with('"')) {
        const std::string_view word = text.substr(0, text.find_first_of("; \t\r\n("));
        text.remove_prefix(word.size());
        return std::string(word);
    }
    text.remove_prefix(1);
    while (!text.empty() && text.front() != '"') {
        if (text.front() == '\\' && text.size() > 1) text.remove_prefix(1);
        out += text.front();
        text.remove_prefix(1);
    }
    if (!text.empty()) text.remove_prefix(1);
    return out;
}

class Walker {
  public:
    explicit Walker(const ReportLimits& limits)
        : limits_(limits), max_depth_(std::min(limits.max_depth, depth_limit)) {}

    void walk(std::string_view header, std::string_view body, std::size_t depth) {
        ContentType type;
        std::string encoding;
        FieldReader fields(header.substr(0, limits_.max_header));
        while (fields.next()) {
            if (fields.name() == "content-type" && type.type.empty()) {
                type = read_content_type(fields.value());
            } else if (fields.name() == "content-transfer-encoding" && encoding.empty()) {
                encoding = to_lower(fields.value().substr(0, fields.value().find_first_of(" ;(")));
            }
        }
        const bool multipart = type.type.starts_with("multipart/") && !type.boundary.empty();
        if (multipart) {
            if (parts_.report_type.empty()) parts_.report_type = std::move(type.report_type);
            if (depth < max_depth_) split(body, "--" + type.boundary, depth);
            return;
        }
        if (parts_.leaves.size() >= limits_.max_parts) return;
        // One that names no boundary has its text in the open.
        if (type.type.empty() || type.type.starts_with("multipart/")) type.type = "text/plain";
        parts_.leaves.push_back(
            {.type = std::move(type.type), .encoding = std::move(encoding), .body = body});
    }

    [[nodiscard]] Parts take() { return std::move(parts_); }

  private:
    /// A line is a boundary only where nothing but white space stands behind it: one boundary may
    /// be the beginning of another.
    void split(std::string_view body, std::string_view delimiter, std::size_t depth) {
        std::optional<std::size_t> begin;
        for (std::size_t at = 0; at < body.size();) {
            const std::size_t lf = body.find('\n', at);
            const std::size_t next = lf == std::string_view::npos ? body.size() : lf + 1;
            std::string_view rest = body.substr(at, next - at);
            const std::size_t line = std::exchange(at, next);
            if (!rest.starts_with(delimiter)) continue;
            rest.remove_prefix(delimiter.size());
            const bool last = rest.starts_with("--");
            if (last) rest.remove_prefix(2);
            if (!only_space(rest)) continue;
            if (begin && !part(body.substr(*begin, line - *begin), depth)) return;
            if (last) return;
            begin = next;
        }
        if (begin) (void)part(body.substr(*begin), depth);
    }

    bool part(std::string_view text, std::size_t depth) {
        if (++seen_ > limits_.max_parts) return false;
        const std::string_view header = take_block(text);
        walk(header, text, depth + 1);
        return true;
    }

    const ReportLimits& limits_;
    std::size_t max_depth_;
    std::size_t seen_ = 0;
    Parts parts_;
};

constexpr int no_digit = -1;

constexpr int base64_digit(char c) noexcept {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : no_digit;
}

constexpr int any_hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = ascii_lower(c);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : no_digit;
}

/// RFC 2045 6.8, whatever the length of its lines; false where it is none.
bool undo_base64(std::string_view text, std::string& out) {
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
        if (is_space(c)) continue;
        if (c == '=') break;
        const int digit = base64_digit(c);
        if (digit == no_digit) return false;
        bits = ((bits << 6U) | static_cast<std::uint32_t>(digit)) & 0xffffU;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out += static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xffU);
        }
    }
    return true;
}

/// RFC 2045 6.7; an equals sign that begins nothing stays.
void undo_quoted_printable(std::string_view text, std::string& out) {
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '=') {
            out += text[i];
            continue;
        }
        const std::string_view rest = text.substr(i + 1);
        if (rest.starts_with("\r\n")) {
            i += 2;
        } else if (rest.starts_with('\n')) {
            ++i;
        } else if (rest.size() >= 2 && any_hex_digit(rest[0]) >= 0 && any_hex_digit(rest[1]) >= 0) {
            out += static_cast<char>(any_hex_digit(rest[0]) * 16 + any_hex_digit(rest[1]));
            i += 2;
        } else {
            out += '=';
        }
    }
}

}  // namespace

std::string_view take_line(std::string_view& text) noexcept {
    const std::size_t lf = text.find('\n');
    std::string_view line = text.substr(0, lf);
    text.remove_prefix(lf == std::string_view::npos ? text.size() : lf + 1);
    while (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

std::string_view take_block(std::string_view& text) noexcept {
    const std::string_view whole = text;
    while (!text.empty()) {
        const std::size_t begin = whole.size() - text.size();
        if (take_line(text).empty()) return whole.substr(0, begin);
    }
    return whole;
}

bool FieldReader::next() {
    while (!rest_.empty()) {
        const std::string_view line = take_line(rest_);
        const std::size_t colon = line.substr(0, 2 * field_name_limit).find(':');
        if (colon == std::string_view::npos) continue;
        std::string_view name = line.substr(0, colon);
        while (name.ends_with(' ') || name.ends_with('\t')) name.remove_suffix(1);
        if (!is_field_name(name)) continue;
        name_ = to_lower(name);
        value_ = line.substr(colon + 1);
        while (rest_.starts_with(' ') || rest_.starts_with('\t')) value_ += take_line(rest_);
        return true;
    }
    return false;
}

ContentType read_content_type(std::string_view value) {
    ContentType out;
    out.type = to_lower(trimmed(value.substr(0, value.find_first_of(";("))));
    if (out.type.size() > 127 || !out.type.contains('/')) return {};
    while (true) {
        const std::size_t semicolon = value.find(';');
        if (semicolon == std::string_view::npos) return out;
        value = trimmed(value.substr(semicolon + 1));
        const std::size_t end = value.find_first_of("=;");
        if (end == std::string_view::npos) return out;
        if (value[end] == ';') continue;
        const std::string name = to_lower(trimmed(value.substr(0, end)));
        value = trimmed(value.substr(end + 1));
        std::string text = take_value(value);
        if (name == "boundary" && out.boundary.empty()) {
            while (text.ends_with(' ')) text.pop_back();
            if (text.size() <= boundary_limit && !has_control(text)) out.boundary = std::move(text);
        } else if (name == "report-type" && out.report_type.empty() && text.size() <= 64) {
            out.report_type = to_lower(text);
        }
    }
}

Parts take_apart(std::string_view header, std::string_view body, const ReportLimits& limits) {
    Walker walker(limits);
    walker.walk(header, body, 0);
    return walker.take();
}

std::string_view decoded(const Part& part, std::string& room) {
    room.clear();
    if (part.encoding == "base64") return undo_base64(part.body, room) ? room : part.body;
    if (part.encoding != "quoted-printable") return part.body;
    undo_quoted_printable(part.body, room);
    return room;
}

}  // namespace postern::proto::reports
