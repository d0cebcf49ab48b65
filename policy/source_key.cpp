#include "policy/source_key.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include <arpa/inet.h>

#include <fmt/format.h>

#include "policy/source.hpp"

namespace postern::policy {

namespace {

// The upper halves of 0::/16 belong to nobody: their first four octets tell our own kinds apart.
constexpr std::uint64_t v4_kind = 1ULL << 32U;
constexpr std::uint64_t text_kind = 2ULL << 32U;
constexpr std::uint64_t zero_kind = 3ULL << 32U;  // IPv6 whose first four octets are 0, as ::1
constexpr std::uint64_t low_half = 0xffffffffULL;
constexpr std::uint64_t v4_net = 0xffffff00ULL;
constexpr std::uint64_t v6_net = ~0xffffULL;

std::uint64_t kind_of(SourceKey key) {
    return key & ~low_half;
}

/// As inet_pton, of text that does not end in NUL.
template <typename Octets>
bool read(int family, std::string_view text, Octets& into) {
    std::array<char, INET6_ADDRSTRLEN> plain{};
    if (text.empty() || text.size() >= plain.size()) return false;
    std::ranges::copy(text, plain.begin());
    return inet_pton(family, plain.data(), into.data()) == 1;
}

std::uint64_t upper_half(const std::array<std::uint8_t, 16>& v6) {
    std::uint64_t half = 0;
    for (std::size_t i = 0; i < 8; ++i) half = half << 8U | v6[i];
    return half;
}

std::string v6_text(std::uint64_t half, int bits) {
    std::array<std::uint8_t, 16> v6{};
    for (std::size_t i = 0; i < 8; ++i) v6[i] = static_cast<std::uint8_t>(half >> (56 - 8 * i));
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(AF_INET6, v6.data(), text.data(), text.size());
    return fmt::format("{}/{}", text.data(), bits);
}

std::uint32_t hash_of_text(std::string_view text) {
    std::uint32_t hash = 2166136261U;  // FNV-1a
    for (const char c : text) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
    return hash;
}

}  // namespace

std::optional<SourceKey> parse_source(std::string_view text) noexcept {
    std::array<std::uint8_t, 4> v4{};
    if (read(AF_INET, text, v4)) {
        return v4_kind | static_cast<std::uint64_t>(v4[0]) << 24U |
               static_cast<std::uint64_t>(v4[1]) << 16U | static_cast<std::uint64_t>(v4[2]) << 8U |
               v4[3];
    }
    if (text.ends_with("/64")) text.remove_suffix(3);
    std::array<std::uint8_t, 16> v6{};
    if (!read(AF_INET6, text, v6)) return std::nullopt;
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(mapped.begin(), mapped.end(), v6.begin())) {
        return parse_source(
            canonical_source(std::array<std::uint8_t, 4>{v6[12], v6[13], v6[14], v6[15]}));
    }
    const std::uint64_t half = upper_half(v6);
    return kind_of(half) == 0 ? zero_kind | half : half;
}

SourceKey source_key(std::string_view source) noexcept {
    if (const auto key = parse_source(source)) return *key;
    return text_kind | hash_of_text(source);
}

std::string source_text(SourceKey key) {
    const std::uint64_t low = key & low_half;
    switch (kind_of(key)) {
        case v4_kind:
            return fmt::format("{}.{}.{}.{}", low >> 24U, low >> 16U & 0xffU, low >> 8U & 0xffU,
                               low & 0xffU);
        case text_kind:
            return {};
        case zero_kind:
            return v6_text(low, 64);
        default:
            return v6_text(key, 64);
    }
}

SourceKey network_key(SourceKey source) noexcept {
    switch (kind_of(source)) {
        case v4_kind:
            return v4_kind | (source & v4_net);
        case text_kind:
        case zero_kind:
            return 0;
        default:
            return source & v6_net;
    }
}

std::string network_text(SourceKey network) {
    if (kind_of(network) != v4_kind) return v6_text(network, 48);
    return source_text(network) + "/24";
}

std::uint8_t place_in_network(SourceKey source) noexcept {
    if (kind_of(source) == v4_kind) return static_cast<std::uint8_t>(source & 0xffU);
    return static_cast<std::uint8_t>((source ^ source >> 8U) & 0xffU);
}

std::optional<SourceKey> parse_network(std::string_view text) noexcept {
    for (const std::string_view bits : {"/24", "/48"}) {
        if (!text.ends_with(bits)) continue;
        const std::string_view host = text.substr(0, text.size() - bits.size());
        const bool v6 = host.contains(':');
        if (v6 != (bits == "/48") || host.ends_with("/64")) return std::nullopt;
        const auto source = parse_source(host);
        const SourceKey network = source ? network_key(*source) : 0;
        if (network == 0) return std::nullopt;
        return network;
    }
    return std::nullopt;
}

}  // namespace postern::policy
