#include "relay/config/mechanisms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "relay/config/reading.hpp"

namespace postern::relay::config {
namespace {

constexpr std::array<std::string_view, 8> known = {
    "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN",
    "EXTERNAL",           "OAUTHBEARER",   "XOAUTH2"};

}  // namespace

std::string read_mechanism(std::string_view text, std::string& out) {
    std::string upper(text);
    for (char& c : upper) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    if (std::ranges::find(known, upper) != known.end()) {
        out = std::move(upper);
        return {};
    }
    return fmt::format("is not {}", any_of(known));
}

}  // namespace postern::relay::config
