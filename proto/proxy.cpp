#include "proto/proxy.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace postern::proto {
namespace {

using Status = ProxyResult::Status;
using namespace std::string_view_literals;

constexpr std::string_view v1_start = "PROXY ";
constexpr std::string_view v2_start = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t v2_fixed = 16;

std::uint16_t big_endian(std::string_view two) noexcept {
    return static_cast<std::uint16_t>((static_cast<unsigned char>(two[0]) << 8U) |
                                      static_cast<unsigned char>(two[1]));
}

std::string numeric(int family, std::string_view octets) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (inet_ntop(family, octets.data(), text.data(), text.size()) == nullptr) return {};
    return text.data();
}

ProxyResult done(std::size_t consumed, ProxyHeader header) {
    return {.status = Status::done, .consumed = consumed, .header = std::move(header)};
}

constexpr auto failure = [] {
    return ProxyResult{.status = Status::error, .consumed = 0, .header = {}};
};
constexpr auto more = [] { return ProxyResult{}; };

/// The text form is read and written anew, so that one address has one form.
std::optional<std::string> canonical(int family, std::string_view text) {
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    std::array<char, 16> octets{};
    if (text.empty() || text.size() >= terminated.size()) return std::nullopt;
    std::ranges::copy(text, terminated.begin());
    if (inet_pton(family, terminated.data(), octets.data()) != 1) return std::nullopt;
    return numeric(family, {octets.data(), octets.size()});
}

std::optional<std::uint16_t> port(std::string_view text) noexcept {
    std::uint16_t value = 0;
    const char* const end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, value);
    if (result.ec != std::errc{} || result.ptr != end) return std::nullopt;
    if (text.size() > 1 && text.front() == '0') return std::nullopt;
    return value;
}

ProxyResult parse_v1(std::string_view octets) {
    const std::string_view window = octets.substr(0, proxy_v1_limit);
    const std::size_t end = window.find("\r\n");
    if (end == std::string_view::npos) {
        return octets.size() >= proxy_v1_limit ? failure() : more();
    }
    const std::size_t consumed = end + 2;
    std::string_view line = window.substr(v1_start.size(), end - v1_start.size());
    if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) {
        ProxyHeader header;
        header.local = true;
        return done(consumed, std::move(header));
    }
    std::array<std::string_view, 5> words;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::size_t space = line.find(' ');
        if ((space == std::string_view::npos) != (i + 1 == words.size())) return failure();
        words[i] = line.substr(0, space);
        if (space != std::string_view::npos) line.remove_prefix(space + 1);
    }
    if (words[0] != "TCP4" && words[0] != "TCP6") return failure();
    const int family = words[0] == "TCP4" ? AF_INET : AF_INET6;
    auto source = canonical(family, words[1]);
    auto destination = canonical(family, words[2]);
    const auto source_port = port(words[3]);
    const auto destination_port = port(words[4]);
    if (!source || !destination || !source_port || !destination_port) return failure();
    return done(consumed, {.local = false,
                           .source = std::move(*source),
                           .source_port = *source_port,
                           .destination = std::move(*destination),
                           .destination_port = *destination_port});
}

ProxyResult parse_v2(std::string_view octets) {
    constexpr unsigned char version_local = 0x20;
    constexpr unsigned char version_proxy = 0x21;
    constexpr unsigned char unspecified = 0x00;
    constexpr unsigned char tcp4 = 0x11;
    constexpr unsigned char tcp6 = 0x21;
    // Each octet is judged as soon as it is there.
    if (octets.size() <= v2_start.size()) return more();
    const auto version = static_cast<unsigned char>(octets[12]);
    if (version != version_local && version != version_proxy) return failure();
    if (octets.size() < v2_fixed) return more();
    const auto family = static_cast<unsigned char>(octets[13]);
    const std::size_t length = big_endian(octets.substr(14, 2));
    if (length > proxy_v2_payload_limit) return failure();
    const bool local = version == version_local || family == unspecified;
    const std::size_t address = family == tcp4 ? 4 : 16;
    if (!local && ((family != tcp4 && family != tcp6) || length < 2 * address + 4))
        return failure();
    if (octets.size() < v2_fixed + length) return more();
    ProxyHeader header;
    header.local = local;
    if (!local) {
        const std::string_view payload = octets.substr(v2_fixed, length);
        const int af = family == tcp4 ? AF_INET : AF_INET6;
        header.source = numeric(af, payload.substr(0, address));
        header.destination = numeric(af, payload.substr(address, address));
        header.source_port = big_endian(payload.substr(2 * address, 2));
        header.destination_port = big_endian(payload.substr(2 * address + 2, 2));
    }
    return done(v2_fixed + length, std::move(header));
}

bool may_begin(std::string_view octets, std::string_view start) noexcept {
    return octets.substr(0, start.size()) == start.substr(0, octets.size());
}

}  // namespace

ProxyResult parse_proxy(std::string_view octets) {
    if (octets.empty()) return more();
    if (may_begin(octets, v2_start)) return parse_v2(octets);
    if (!may_begin(octets, v1_start)) return failure();
    return octets.size() < v1_start.size() ? more() : parse_v1(octets);
}

}  // namespace postern::proto
