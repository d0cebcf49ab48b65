#include "policy/rule.hpp"

namespace postern::policy {

namespace {

constexpr std::array<std::string_view, rule_count> rule_names{
    "sender_ownership", "header_from", "login_guard", "limits", "suppression"};
constexpr std::array<std::string_view, 3> mode_names{"enforce", "observe", "off"};
constexpr std::array<std::string_view, 4> verdict_names{"accept", "delay", "throttle", "refuse"};

template <typename Enum, std::size_t N>
std::optional<Enum> find(const std::array<std::string_view, N>& names,
                         std::string_view text) noexcept {
    for (std::size_t i = 0; i < N; ++i) {
        if (names[i] == text) return static_cast<Enum>(i);
    }
    return std::nullopt;
}

}  // namespace

std::string_view name(Rule rule) noexcept {
    return rule_names[static_cast<std::size_t>(rule)];
}
std::optional<Rule> parse_rule(std::string_view text) noexcept {
    return find<Rule>(rule_names, text);
}

std::string_view name(Mode mode) noexcept {
    return mode_names[static_cast<std::size_t>(mode)];
}
std::optional<Mode> parse_mode(std::string_view text) noexcept {
    return find<Mode>(mode_names, text);
}

std::string_view name(VerdictKind kind) noexcept {
    return verdict_names[static_cast<std::size_t>(kind)];
}

}  // namespace postern::policy
