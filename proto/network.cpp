#include "proto/network.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <span>

namespace postern::proto {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct Parsed {
    std::array<std::uint8_t, 16> bytes{};
    bool v4 = false;
};

std::optional<Parsed> parse_address(std::string_view text) {
    if (text.size() >= INET6_ADDRSTRLEN) return std::nullopt;
    const std::string copy(text);
    Parsed p;
    if (inet_pton(AF_INET, copy.c_str(), p.bytes.data() + mapped_prefix.size()) == 1) {
        std::ranges::copy(mapped_prefix, p.bytes.begin());
        p.v4 = true;
        return p;
    }
    if (inet_pton(AF_INET6, copy.c_str(), p.bytes.data()) == 1) return p;
    return std::nullopt;
}

bool is_mapped(const std::array<std::uint8_t, 16>& bytes) {
    return std::ranges::equal(mapped_prefix, std::span(bytes).first<12>());
}

bool bit(const std::array<std::uint8_t, 16>& bytes, unsigned n) {
    return ((bytes[n / 8] >> (7U - n % 8U)) & 1U) != 0;
}

std::string print(const std::array<std::uint8_t, 16>& bytes, bool v4) {
    std::array<char, INET6_ADDRSTRLEN> out{};
    if (v4) {
        inet_ntop(AF_INET, bytes.data() + mapped_prefix.size(), out.data(), out.size());
    } else {
        inet_ntop(AF_INET6, bytes.data(), out.data(), out.size());
    }
    return out.data();
}

bool within_any(std::string_view address, std::span<const std::string_view> networks) {
    return std::ranges::any_of(networks, [&](std::string_view n) {
        const auto network = Network::parse(n);
        return network && network->contains(address);
    });
}

}  // namespace

std::optional<Network> Network::parse(std::string_view text) {
    const auto slash = text.find('/');
    const auto address = parse_address(text.substr(0, slash));
    if (!address) return std::nullopt;
    Network network;
    network.bytes_ = address->bytes;
    if (slash != std::string_view::npos) {
        const std::string_view digits = text.substr(slash + 1);
        unsigned bits = 0;
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), bits);
        if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
        if (bits > (address->v4 ? 32U : 128U)) return std::nullopt;
        network.bits_ = address->v4 ? bits + 96U : bits;
    }
    for (unsigned n = network.bits_; n < 128; ++n) {
        if (bit(network.bytes_, n)) return std::nullopt;
    }
    return network;
}

std::optional<Network> Network::around(std::string_view address, unsigned prefix) {
    const auto parsed = parse_address(address);
    if (!parsed) return std::nullopt;
    const bool v4 = parsed->v4 || is_mapped(parsed->bytes);
    Network network;
    network.bytes_ = parsed->bytes;
    network.bits_ = std::min(v4 ? prefix + 96U : prefix, 128U);
    for (unsigned n = network.bits_; n < 128; ++n)
        network.bytes_[n / 8] &= static_cast<std::uint8_t>(~(0x80U >> n % 8U));
    return network;
}

bool Network::contains(std::string_view address) const {
    const auto other = parse_address(address);
    if (!other) return false;
    for (unsigned n = 0; n < bits_; ++n) {
        if (bit(bytes_, n) != bit(other->bytes, n)) return false;
    }
    // ::/0 speaks of IPv6 alone, as everywhere else.
    return bits_ >= 96 || !is_mapped(other->bytes);
}

std::string Network::text() const {
    const bool host = prefix() == (is_v4() ? 32U : 128U);
    return host ? print(bytes_, is_v4()) : cidr();
}

std::string Network::cidr() const {
    return print(bytes_, is_v4()) + "/" + std::to_string(prefix());
}

bool Network::is_v4() const noexcept {
    return bits_ >= 96 && is_mapped(bytes_);
}

unsigned Network::prefix() const noexcept {
    return is_v4() ? bits_ - 96U : bits_;
}

std::optional<std::string> canonical_address(std::string_view text) {
    const auto parsed = parse_address(text);
    if (!parsed) return std::nullopt;
    return print(parsed->bytes, parsed->v4 || is_mapped(parsed->bytes));
}

bool is_loopback(std::string_view address) {
    static constexpr std::array<std::string_view, 2> networks = {"127.0.0.0/8", "::1"};
    return within_any(address, networks);
}

bool is_private(std::string_view address) {
    static constexpr std::array<std::string_view, 8> networks = {
        "127.0.0.0/8",    "::1",      "10.0.0.0/8", "172.16.0.0/12",
        "192.168.0.0/16", "fc00::/7", "fe80::/10",  "169.254.0.0/16"};
    return within_any(address, networks);
}

}  // namespace postern::proto
