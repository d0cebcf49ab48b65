#include "proto/utf8.hpp"

#include <algorithm>
#include <cstdint>

namespace postern::proto {

namespace {

constexpr std::uint32_t octet(char c) noexcept {
    return static_cast<unsigned char>(c);
}

constexpr bool is_tail(char c) noexcept {
    return (octet(c) & 0xc0U) == 0x80U;
}

/// Simple case folding of the scripts that mail addresses on phones are capitalised in.
constexpr std::uint32_t fold(std::uint32_t c) noexcept {
    if (c >= 'A' && c <= 'Z') return c + 32;
    if (c < 0xc0) return c;
    if (c <= 0xde) return c == 0xd7 ? c : c + 32;
    if (c >= 0x100 && c <= 0x17f) {
        if (c == 0x130 || c == 0x131 || c == 0x138 || c == 0x149 || c == 0x17f) return c;
        if (c == 0x178) return 0xff;
        const bool upper_is_odd = (c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e);
        return ((c & 1U) != 0) == upper_is_odd ? c + 1 : c;
    }
    if (c == 0x386) return 0x3ac;
    if (c >= 0x388 && c <= 0x38a) return c + 37;
    if (c == 0x38c) return 0x3cc;
    if (c == 0x38e || c == 0x38f) return c + 63;
    if (c >= 0x391 && c <= 0x3ab && c != 0x3a2) return c + 32;
    if (c == 0x3c2) return 0x3c3;  // final sigma
    if (c >= 0x400 && c <= 0x40f) return c + 80;
    if (c >= 0x410 && c <= 0x42f) return c + 32;
    return c;
}

}  // namespace

std::size_t utf8_sequence(std::string_view text) noexcept {
    if (text.empty()) return 0;
    const std::uint32_t lead = octet(text[0]);
    if (lead < 0x80) return 1;
    // The second octet's bounds keep out overlong forms, surrogates and what lies above U+10FFFF.
    std::size_t length = 0;
    std::uint32_t low = 0x80;
    std::uint32_t high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        length = 3;
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        length = 4;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
    } else {
        return 0;
    }
    if (text.size() < length) return 0;
    if (octet(text[1]) < low || octet(text[1]) > high) return 0;
    for (std::size_t i = 2; i < length; ++i) {
        if (!is_tail(text[i])) return 0;
    }
    return length;
}

bool is_ascii(std::string_view text) noexcept {
    return std::ranges::all_of(text, [](char c) { return octet(c) < 0x80; });
}

bool valid_utf8(std::string_view text) noexcept {
    if (is_ascii(text)) return true;
    while (!text.empty()) {
        const std::size_t n = utf8_sequence(text);
        if (n == 0) return false;
        text.remove_prefix(n);
    }
    return true;
}

bool has_control(std::string_view text) noexcept {
    return std::ranges::any_of(text, is_control);
}

bool same_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && std::ranges::equal(a, b, [](char x, char y) {
               return ascii_lower(x) == ascii_lower(y);
           });
}

std::string to_lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), ascii_lower);
    return out;
}

std::string to_upper(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
    });
    return out;
}

std::string fold_case(std::string_view text) {
    if (is_ascii(text)) return to_lower(text);
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const std::size_t n = utf8_sequence(text);
        if (n == 1) {
            out += ascii_lower(text[0]);
        } else if (n == 2) {  // every script that fold() knows lies below U+0800
            const std::uint32_t c = fold((octet(text[0]) & 0x1fU) << 6U | (octet(text[1]) & 0x3fU));
            out += static_cast<char>(0xc0U | c >> 6U);
            out += static_cast<char>(0x80U | (c & 0x3fU));
        } else {
            out += text.substr(0, std::max<std::size_t>(n, 1));
        }
        text.remove_prefix(std::max<std::size_t>(n, 1));
    }
    return out;
}

}  // namespace postern::proto
