#include "relay/admin/selectors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "relay/config/reading.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::admin {

std::vector<std::string> Selectors::texts(const std::string& name) {
    read_.push_back(name);
    std::vector<std::string> out;
    const auto [begin, end] = query_.equal_range(name);
    for (auto it = begin; it != end; ++it) out.push_back(it->second);
    return out;
}

std::string Selectors::text(const std::string& name) {
    auto all = texts(name);
    return all.empty() ? "" : std::move(all.back());
}

Checked<std::optional<std::chrono::system_clock::time_point>> Selectors::time(
    const std::string& name) {
    const std::string value = text(name);
    if (value.empty()) return std::optional<std::chrono::system_clock::time_point>();
    const auto t = parse_time(value, now_);
    if (!t)
        return invalid("must be a time like \"2026-03-02T09:15:00Z\" or an age like \"2h\"", name);
    return t;
}

Checked<std::size_t> Selectors::number(const std::string& name, std::size_t unset, std::size_t most,
                                       std::size_t least) {
    const std::string value = text(name);
    if (value.empty()) return unset;
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size() || number < least ||
        number > most) {
        return invalid(fmt::format("must be a whole number from {} to {}", least, most), name);
    }
    return number;
}

std::optional<std::string> instead_of_event(std::string_view name) {
    const auto written = event::written_names();
    if (std::ranges::find(written, name) != written.end()) return std::nullopt;
    const std::string_view near = config::nearest(name, written);
    if (near.empty()) return fmt::format("no such event; there are {}", fmt::join(written, ", "));
    return fmt::format("no such event; did you mean {}?", near);
}

Checked<void> Selectors::done() const {
    for (const auto& [name, value] : query_) {
        if (std::ranges::find(read_, name) == read_.end()) return invalid("unknown selector", name);
    }
    return {};
}

}  // namespace postern::relay::admin
