#include "policy/source.hpp"

#include <algorithm>

#include <arpa/inet.h>

#include <fmt/format.h>

namespace postern::policy {

std::string canonical_source(const std::array<std::uint8_t, 4>& v4) {
    return fmt::format("{}.{}.{}.{}", v4[0], v4[1], v4[2], v4[3]);
}

std::string canonical_source(const std::array<std::uint8_t, 16>& v6) {
    constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(mapped.begin(), mapped.end(), v6.begin())) {
        return canonical_source(std::array<std::uint8_t, 4>{v6[12], v6[13], v6[14], v6[15]});
    }
    auto net = v6;
    std::fill(net.begin() + 8, net.end(), std::uint8_t{0});
    char text[INET6_ADDRSTRLEN] = {};
    inet_ntop(AF_INET6, net.data(), text,
              sizeof text);  // cannot fail: the buffer is as large as it takes
    return std::string(text) + "/64";
}

std::string canonical_source(std::string_view address) {
    constexpr std::size_t longest = 64;  // of a key made of text that is no address
    std::string text(address.substr(0, longest));
    const auto plain = text.substr(0, text.find('%'));
    std::array<std::uint8_t, 4> v4{};
    if (inet_pton(AF_INET, plain.c_str(), v4.data()) == 1) return canonical_source(v4);
    std::array<std::uint8_t, 16> v6{};
    const bool is_network = plain.ends_with("/64");
    const auto host = is_network ? plain.substr(0, plain.size() - 3) : plain;
    if (inet_pton(AF_INET6, host.c_str(), v6.data()) == 1) return canonical_source(v6);
    for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return text;
}

std::string wide_source(std::string_view source) {
    std::string text(source.substr(0, source.find('/')));
    if (std::array<std::uint8_t, 4> v4{}; inet_pton(AF_INET, text.c_str(), v4.data()) == 1)
        return fmt::format("{}.{}.{}.0/24", v4[0], v4[1], v4[2]);
    if (std::array<std::uint8_t, 16> v6{}; inet_pton(AF_INET6, text.c_str(), v6.data()) == 1) {
        std::fill(v6.begin() + 6, v6.end(), std::uint8_t{0});
        char out[INET6_ADDRSTRLEN] = {};
        inet_ntop(AF_INET6, v6.data(), out, sizeof out);
        return std::string(out) + "/48";
    }
    return std::string(source);
}

}  // namespace postern::policy
