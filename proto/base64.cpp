#include "proto/base64.hpp"

#include <array>
#include <cstdint>

#include "proto/wipe.hpp"

namespace postern::proto {

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint32_t bad = 64;

constexpr auto values = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(bad);
    for (std::size_t i = 0; i < alphabet.size(); ++i) {
        table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
    }
    return table;
}();

constexpr std::uint32_t value_of(char c) noexcept {
    return values[static_cast<unsigned char>(c)];
}

constexpr std::uint32_t octet_of(char c) noexcept {
    return static_cast<unsigned char>(c);
}

}  // namespace

std::string base64_encode(std::string_view octets) {
    std::string out;
    out.reserve((octets.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < octets.size(); i += 3) {
        const std::size_t n = std::min<std::size_t>(3, octets.size() - i);
        std::uint32_t group = octet_of(octets[i]) << 16U;
        if (n > 1) group |= octet_of(octets[i + 1]) << 8U;
        if (n > 2) group |= octet_of(octets[i + 2]);
        out += alphabet[group >> 18U];
        out += alphabet[group >> 12U & 63U];
        out += n > 1 ? alphabet[group >> 6U & 63U] : '=';
        out += n > 2 ? alphabet[group & 63U] : '=';
    }
    return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=')
        ++padding;
    const std::string_view digits = text.substr(0, text.size() - padding);

    std::string out;
    out.reserve(text.size() / 4 * 3);
    std::uint32_t group = 0;
    std::uint32_t seen = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        const std::uint32_t value = value_of(digits[i]);
        seen |= value & bad;
        group = group << 6U | (value & 63U);
        if (i % 4 == 3) {
            out += static_cast<char>(group >> 16U & 255U);
            out += static_cast<char>(group >> 8U & 255U);
            out += static_cast<char>(group & 255U);
            group = 0;
        }
    }
    std::uint32_t unused = 0;
    if (padding == 1) {
        unused = group & 3U;
        out += static_cast<char>(group >> 10U & 255U);
        out += static_cast<char>(group >> 2U & 255U);
    } else if (padding == 2) {
        unused = group & 15U;
        out += static_cast<char>(group >> 4U & 255U);
    }
    if (seen != 0 || unused != 0) {
        wipe(out);
        return std::nullopt;
    }
    return out;
}

}  // namespace postern::proto
