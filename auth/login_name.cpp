#include "auth/login_name.hpp"

#include <algorithm>

#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t longest_label = 64;

}  // namespace

std::optional<std::string> asserted_login(std::string_view name) {
    std::optional<std::string> login = normalised_login(name);
    if (!login) return std::nullopt;
    const std::size_t at = login->rfind('@');
    const std::string_view local = std::string_view(*login).substr(0, at);
    const auto small = [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const std::string_view said = name.substr(0, name.rfind('@'));
    if (!std::ranges::equal(said, local, {}, small, small)) return std::nullopt;
    return login;
}

LoginName parse_login(std::string_view typed, char separator) {
    const std::size_t domain = typed.rfind('@');
    const std::size_t at =
        domain == std::string_view::npos ? domain : typed.find(separator, domain);
    if (at == std::string_view::npos) return {normalised_login(typed).value_or(""), {}};
    auto label = normalised_label(typed.substr(at + 1));
    if (!label) return {};
    return {normalised_login(typed.substr(0, at)).value_or(""), std::move(label)};
}

std::optional<std::string> normalised_label(std::string_view text) {
    std::string out(text.substr(0, longest_label + 1));
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    const bool good = !out.empty() && out.size() <= longest_label &&
                      is_letter_or_digit(out.front()) && std::ranges::all_of(out, [](char c) {
                          return is_letter_or_digit(c) || c == '.' || c == '_' || c == '-';
                      });
    if (!good) return std::nullopt;
    return out;
}

}  // namespace postern::auth
