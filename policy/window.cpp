#include "policy/window.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace postern::policy {

namespace {

constexpr std::uint64_t max_amount = std::uint64_t{1} << 50U;
constexpr std::uint64_t max_period_s = 366ULL * 86'400;
constexpr std::size_t longest_window = 64;

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};
constexpr std::array<Unit, 11> time_units{{{"s", 1},
                                           {"sec", 1},
                                           {"second", 1},
                                           {"min", 60},
                                           {"minute", 60},
                                           {"hour", 3'600},
                                           {"h", 3'600},
                                           {"day", 86'400},
                                           {"d", 86'400},
                                           {"week", 604'800},
                                           {"w", 604'800}}};
constexpr std::array<Unit, 6> size_units{{{"", 1},
                                          {"b", 1},
                                          {"kib", 1ULL << 10U},
                                          {"mib", 1ULL << 20U},
                                          {"gib", 1ULL << 30U},
                                          {"tib", 1ULL << 40U}}};

class Category final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.window"; }
    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<WindowError>(value)) {
            case WindowError::syntax:
                return "not a window such as \"60/min\", \"9/10min\" or \"1GiB/day\"";
            case WindowError::unit:
                return "an unknown unit: s min hour day week after the slash, KiB MiB GiB TiB "
                       "before it";
            case WindowError::range:
                return "out of range: an amount from 1 to 2^50 in a period from 1 s to 366 days";
        }
        return "unknown";
    }
};

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Digits at the front of `text`, which is cut; unset: none, or more than 64 bits.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

template <std::size_t N>
std::optional<std::uint64_t> factor_of(const std::array<Unit, N>& units, std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    for (const auto& unit : units) {
        if (unit.name == lower) return unit.factor;
    }
    return std::nullopt;
}

}  // namespace

const boost::system::error_category& window_category() noexcept {
    static const Category category;
    return category;
}

boost::system::error_code make_error_code(WindowError e) noexcept {
    return {static_cast<int>(e), window_category()};
}

std::chrono::nanoseconds Window::refill_time(std::uint64_t cost) const noexcept {
    if (amount == 0) return std::chrono::nanoseconds::max();
    __extension__ using Wide = unsigned __int128;
    const Wide period_ns = static_cast<Wide>(period.count()) * 1'000'000'000U;
    const Wide time = static_cast<Wide>(cost) * period_ns / amount;
    constexpr auto longest = static_cast<Wide>(std::chrono::nanoseconds::max().count() / 4);
    return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(time, longest)));
}

std::string Window::text() const {
    std::string out;
    static constexpr std::array<std::pair<std::uint64_t, std::string_view>, 4> sizes{
        {{1ULL << 40U, "TiB"}, {1ULL << 30U, "GiB"}, {1ULL << 20U, "MiB"}, {1ULL << 10U, "KiB"}}};
    const auto size = std::find_if(sizes.begin(), sizes.end(), [this](const auto& s) {
        return amount >= s.first && amount % s.first == 0;
    });
    out = size == sizes.end() ? fmt::format("{}/", amount)
                              : fmt::format("{}{}/", amount / size->first, size->second);

    static constexpr std::array<std::pair<std::int64_t, std::string_view>, 4> periods{
        {{86'400, "day"}, {3'600, "hour"}, {60, "min"}, {1, "s"}}};
    for (const auto& [length, unit] : periods) {
        if (period.count() % length != 0) continue;
        const auto n = period.count() / length;
        out += n == 1 ? std::string(unit) : fmt::format("{}{}", n, unit);
        break;
    }
    return out;
}

boost::system::result<Window> parse_window(std::string_view text) {
    if (text.size() > longest_window) return WindowError::syntax;
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) return WindowError::syntax;
    auto left = trim(text.substr(0, slash));
    auto right = trim(text.substr(slash + 1));

    const auto amount = take_number(left);
    if (!amount) return WindowError::syntax;
    const auto size = factor_of(size_units, trim(left));
    if (!size) return WindowError::unit;
    if (right.empty()) return WindowError::syntax;
    std::uint64_t count = 1;
    if (right.front() >= '0' && right.front() <= '9') {
        const auto number = take_number(right);
        if (!number) return WindowError::range;
        count = *number;
    }
    const auto length = factor_of(time_units, trim(right));
    if (!length) return WindowError::unit;

    if (*amount == 0 || *amount > max_amount / *size || count == 0 ||
        count > max_period_s / *length) {
        return WindowError::range;
    }
    return Window{.amount = *amount * *size,
                  .period = std::chrono::seconds(static_cast<std::int64_t>(count * *length))};
}

}  // namespace postern::policy
