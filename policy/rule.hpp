#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::policy {

/// The rules that an operator can switch ([rules] of the configuration), in the order in which they
/// stand there. At RCPT suppression is judged before limits: what is refused costs nothing.
enum class Rule : std::uint8_t { sender_ownership, header_from, login_guard, limits, suppression };
inline constexpr std::size_t rule_count = 5;
inline constexpr std::array<Rule, rule_count> all_rules{
    Rule::sender_ownership, Rule::header_from, Rule::login_guard, Rule::limits, Rule::suppression};
[[nodiscard]] std::string_view name(Rule rule) noexcept;
[[nodiscard]] std::optional<Rule> parse_rule(std::string_view text) noexcept;

/// enforce: its verdict counts. observe: it is judged, told and counted, and changes nothing. off:
/// not judged.
enum class Mode : std::uint8_t { enforce, observe, off };
[[nodiscard]] std::string_view name(Mode mode) noexcept;
[[nodiscard]] std::optional<Mode> parse_mode(std::string_view text) noexcept;

/// The modes in force: [rules].
class RuleModes {
  public:
    [[nodiscard]] Mode operator[](Rule rule) const noexcept {
        return modes_[static_cast<std::size_t>(rule)];
    }
    void set(Rule rule, Mode mode) noexcept { modes_[static_cast<std::size_t>(rule)] = mode; }
    bool operator==(const RuleModes&) const = default;

  private:
    std::array<Mode, rule_count> modes_{};  // enforce
};

/// What an account (or customer) sets differently: RULE=MODE.
class RuleOverrides {
  public:
    [[nodiscard]] std::optional<Mode> operator[](Rule rule) const noexcept {
        return modes_[static_cast<std::size_t>(rule)];
    }
    void set(Rule rule, std::optional<Mode> mode) noexcept {
        modes_[static_cast<std::size_t>(rule)] = mode;
    }
    bool operator==(const RuleOverrides&) const = default;

  private:
    std::array<std::optional<Mode>, rule_count> modes_{};
};

enum class VerdictKind : std::uint8_t { accept, delay, throttle, refuse };
[[nodiscard]] std::string_view name(VerdictKind kind) noexcept;

/// One rule that was judged: what it said, whether or not its mode let that count. For the events.
struct RuleSeen {
    std::string_view rule;     ///< Static text: of Rule, or size, syntax, suspended.
    std::string_view mode;     ///< Static text.
    std::string_view verdict;  ///< Static text: what it says, also in observe mode.
    std::vector<std::string> reasons;
    double weight = 0;
    std::vector<std::pair<std::string, std::string>> saw;  ///< Facts that it read, by name.
};

}  // namespace postern::policy
