#include <algorithm>
#include <array>
#include <cmath>

#include "proto/utf8.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::event {

namespace {

/// Octets that go into a JSON string as they are.
constexpr auto plain = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0x20; c < 0x7f; ++c) table[c] = true;
    table['"'] = table['\\'] = false;
    return table;
}();

void append_escape(std::string& out, unsigned char c) {
    constexpr char digits[] = "0123456789abcdef";
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\r':
            out += "\\r";
            return;
        case '\t':
            out += "\\t";
            return;
        default:
            out += "\\u00";
            out += digits[c >> 4U];
            out += digits[c & 15U];
    }
}

void append_digits(char*& at, unsigned value, int width) {
    for (int i = width - 1; i >= 0; --i) {
        at[i] = static_cast<char>('0' + value % 10);
        value /= 10;
    }
    at += width;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    const auto* p = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t i = 0;
    while (i < text.size()) {
        const auto start = i;
        while (i < text.size() && plain[p[i]]) ++i;
        out.append(text.substr(start, i - start));
        if (i == text.size()) break;
        if (p[i] < 0x80) {
            append_escape(out, p[i]);
            ++i;
            continue;
        }
        const auto length = proto::utf8_sequence(text.substr(i));
        // C1 controls (U+0080 to U+009F) move a terminal's cursor as well.
        const bool control = length == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0;
        if (control) {
            append_escape(out, p[i + 1]);
            i += 2;
        } else if (length != 0) {
            out.append(text.substr(i, length));
            i += length;
        } else {
            out += "\xef\xbf\xbd";
            ++i;
        }
    }
    out += '"';
}

std::string time_text(std::chrono::system_clock::time_point t) {
    using namespace std::chrono;
    const auto day = floor<days>(t);
    const year_month_day date(day);
    const auto time = floor<milliseconds>(t - day).count();
    char buffer[24];
    char* at = buffer;
    append_digits(at, static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999)), 4);
    *at++ = '-';
    append_digits(at, static_cast<unsigned>(date.month()), 2);
    *at++ = '-';
    append_digits(at, static_cast<unsigned>(date.day()), 2);
    *at++ = 'T';
    append_digits(at, static_cast<unsigned>(time / 3'600'000), 2);
    *at++ = ':';
    append_digits(at, static_cast<unsigned>(time / 60'000 % 60), 2);
    *at++ = ':';
    append_digits(at, static_cast<unsigned>(time / 1'000 % 60), 2);
    *at++ = '.';
    append_digits(at, static_cast<unsigned>(time % 1'000), 3);
    *at++ = 'Z';
    return {buffer, at};
}

void append_time(std::string& out, std::chrono::system_clock::time_point t) {
    out += '"';
    out += time_text(t);
    out += '"';
}

void JsonObject::real(std::string_view name, double value) {
    key(name);
    if (!std::isfinite(value)) {
        out_ += "null";
        return;
    }
    char buffer[32];
    const auto end =
        std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, 9).ptr;
    out_.append(buffer, end);
}

}  // namespace postern::relay::event
