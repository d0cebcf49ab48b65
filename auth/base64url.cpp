#include "auth/base64url.hpp"

#include <cstdint>

namespace postern::auth {
namespace {

constexpr std::uint32_t no_digit = 64;

constexpr std::uint32_t digit(char c) noexcept {
    if (c >= 'A' && c <= 'Z') return static_cast<std::uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<std::uint32_t>(c - 'a') + 26;
    if (c >= '0' && c <= '9') return static_cast<std::uint32_t>(c - '0') + 52;
    if (c == '-') return 62;
    if (c == '_') return 63;
    return no_digit;
}

}  // namespace

std::optional<std::string> base64url_decode(std::string_view text) {
    if (text.size() % 4 == 1) return std::nullopt;
    std::string out;
    out.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    unsigned held = 0;
    for (const char c : text) {
        const std::uint32_t value = digit(c);
        if (value == no_digit) return std::nullopt;
        bits = bits << 6U | value;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        out.push_back(static_cast<char>(bits >> held & 0xFFU));
        bits &= (1U << held) - 1;
    }
    if (bits != 0) return std::nullopt;
    return out;
}

}  // namespace postern::auth
