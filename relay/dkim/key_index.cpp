#include "relay/dkim/key_index.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace postern::relay::dkim {

namespace {

constexpr std::string_view index_head = "postern-dkim ";
constexpr int index_version = 1;
constexpr std::size_t longest_selector = 63;
/// Beyond what a time of the system's clock can be (the year 2255).
constexpr std::int64_t latest_ms = 9'000'000'000'000;

using Milliseconds = std::chrono::milliseconds;

std::optional<std::string_view> take_line(std::string_view& text) noexcept {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    return line;
}

/// Up to the next space.
std::string_view take_part(std::string_view& line) noexcept {
    const std::size_t end = std::min(line.find(' '), line.size());
    const std::string_view part = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return part;
}

template <typename T>
std::optional<T> number_in(std::string_view text) noexcept {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<KeyState> parse_state(std::string_view text) noexcept {
    for (const KeyState one : {KeyState::fresh, KeyState::active, KeyState::retired}) {
        if (text == name(one)) return one;
    }
    return std::nullopt;
}

/// It becomes a file's name.
bool is_selector(std::string_view text) noexcept {
    return !text.empty() && text.size() <= longest_selector &&
           std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
           });
}

std::optional<IndexedKey> read_key_line(std::string_view line) {
    IndexedKey key;
    key.selector = take_part(line);
    const auto algorithm = proto::parse_dkim_algorithm(take_part(line));
    const auto state = parse_state(take_part(line));
    const auto created = number_in<std::int64_t>(take_part(line));
    if (!is_selector(key.selector) || !algorithm || !state || !created || *created < 0 ||
        *created > latest_ms || line.empty())
        return std::nullopt;
    key.algorithm = *algorithm;
    key.state = *state;
    key.created = std::chrono::system_clock::time_point(Milliseconds(*created));
    key.value = line;
    return key;
}

}  // namespace

std::string_view name(KeyState state) noexcept {
    switch (state) {
        case KeyState::fresh:
            return "new";
        case KeyState::active:
            return "active";
        case KeyState::retired:
            break;
    }
    return "retired";
}

std::string index_text(const std::vector<IndexedKey>& keys) {
    std::string out = fmt::format("{}{}\n", index_head, index_version);
    for (const IndexedKey& key : keys) {
        out += fmt::format(
            "{} {} {} {} {}\n", key.selector, proto::name(key.algorithm), name(key.state),
            std::chrono::duration_cast<Milliseconds>(key.created.time_since_epoch()).count(),
            key.value);
    }
    out += fmt::format("end {}\n", keys.size());
    return out;
}

result<std::vector<IndexedKey>> read_index(std::string_view text) {
    auto line = take_line(text);
    if (!line || !line->starts_with(index_head)) return KeyError::damaged;
    const auto version = number_in<int>(line->substr(index_head.size()));
    if (!version) return KeyError::damaged;
    if (*version > index_version) return KeyError::newer;
    std::vector<IndexedKey> keys;
    while ((line = take_line(text)) && !line->starts_with("end ")) {
        auto key = read_key_line(*line);
        if (!key || keys.size() == most_keys) return KeyError::damaged;
        if (std::ranges::find(keys, key->selector, &IndexedKey::selector) != keys.end())
            return KeyError::damaged;
        keys.push_back(std::move(*key));
    }
    // A selector has no space: "end " begins no line of a key but one called so.
    if (!line || number_in<std::size_t>(line->substr(4)) != keys.size() || !text.empty())
        return KeyError::damaged;
    return keys;
}

}  // namespace postern::relay::dkim
