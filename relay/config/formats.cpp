#include "relay/config/formats.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "proto/address.hpp"
#include "proto/utf8.hpp"
#include "relay/config/names.hpp"

namespace postern::relay::config::formats {
namespace {

template <typename T>
std::optional<T> whole_number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};
constexpr std::array<Unit, 5> size_units = {{{"B", 1},
                                             {"KiB", 1ULL << 10U},
                                             {"MiB", 1ULL << 20U},
                                             {"GiB", 1ULL << 30U},
                                             {"TiB", 1ULL << 40U}}};
constexpr std::array<Unit, 5> time_units = {
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

/// "25MiB" in its smallest unit; empty where it is no number with one of `units`, or too large.
std::optional<std::uint64_t> measured(std::string_view text, std::span<const Unit> units) {
    const auto letters = text.find_first_not_of("0123456789");
    if (letters == 0 || letters == std::string_view::npos) return std::nullopt;
    const auto amount = whole_number<std::uint64_t>(text.substr(0, letters));
    const auto unit = std::ranges::find(units, text.substr(letters), &Unit::name);
    if (!amount || unit == units.end()) return std::nullopt;
    if (*amount >
        static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / unit->factor) {
        return std::nullopt;
    }
    return *amount * unit->factor;
}

/// The value in the largest unit that divides it.
std::string in_units(std::uint64_t value, std::span<const Unit> units) {
    const Unit* best = &units.front();
    for (const Unit& unit : units) {
        if (value != 0 && value % unit.factor == 0) best = &unit;
    }
    return fmt::format("{}{}", value / best->factor, best->name);
}

std::string shown(const Node& node, std::string_view text) {
    return node.kind == Node::Kind::integer ? std::string(text) : in_quotes(text);
}

}  // namespace

std::optional<std::string> text_of(Reading& r, const Node& node, const std::string& key,
                                   std::string_view expected) {
    if (node.kind == Node::Kind::text || node.kind == Node::Kind::raw) return node.text;
    r.wrong_kind(node, key, expected);
    return std::nullopt;
}

std::optional<std::vector<Node>> items_of(Reading& r, const Node& node, const std::string& key,
                                          std::size_t most) {
    std::vector<Node> items;
    if (node.kind == Node::Kind::list) {
        items = node.items;
    } else if (node.kind == Node::Kind::text) {
        items.push_back(node);
    } else if (node.kind == Node::Kind::raw) {
        std::string_view rest = node.text;
        while (!trimmed(rest).empty()) {
            const auto comma = rest.find(',');
            Node item = node;
            item.text = trimmed(rest.substr(0, comma));
            items.push_back(std::move(item));
            if (comma == std::string_view::npos || items.size() > most) break;
            rest.remove_prefix(comma + 1);
        }
    } else {
        r.wrong_kind(node, key, "a list of strings");
        return std::nullopt;
    }
    if (items.size() > most) {
        r.fault(node.where, key, fmt::format("at most {} entries", most));
        return std::nullopt;
    }
    return items;
}

void no_such_word(Reading& r, const Node& node, const std::string& key, std::string_view word,
                  const std::vector<std::string_view>& words,
                  const std::vector<std::string_view>& later) {
    if (std::ranges::find(later, word) != later.end()) {
        r.fault(node.where, key,
                fmt::format("{} belongs to a later version; this one knows {}", in_quotes(word),
                            any_of(words)));
    } else {
        r.fault(node.where, key, fmt::format("{} is not {}", in_quotes(word), any_of(words)));
    }
}

void Text::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    auto text = text_of(r, node, key, "a string");
    if (!text) return;
    if (std::ranges::any_of(
            *text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
        r.fault(node.where, key, "holds control characters; write plain text");
        return;
    }
    out = std::move(*text);
}

void Word::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    std::string text;
    Text{}.read(r, node, key, text);
    if (text.empty()) {
        if (node.text.empty())
            r.fault(node.where, key, "is empty; write something, or leave it out");
        return;
    }
    out = std::move(text);
}

void Path::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "the path of a file");
    if (!text) return;
    if (text->empty() || text->find('\0') != std::string::npos) {
        r.fault(node.where, key, "the path is empty; name a file, or leave the key out");
        return;
    }
    out = r.absolute(node, *text);
}

void Hostname::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "a host name like \"smtp.example.net\"");
    if (!text) return;
    const std::string lower = lower_case(*text);
    if (!is_host_name(lower) || lower.find('.') == std::string::npos) {
        r.fault(node.where, key,
                fmt::format("{} is no full host name; write one like \"smtp.example.net\"",
                            in_quotes(*text)));
        return;
    }
    out = lower;
}

void Domain::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "a domain like \"example.net\"");
    if (!text) return;
    std::string form = proto::normalised_domain(*text);
    if (!is_host_name(form) || form.find('.') == std::string::npos) {
        r.fault(node.where, key,
                fmt::format("{} is no domain; write one like \"example.net\"", in_quotes(*text)));
        return;
    }
    out = std::move(form);
}

void Mailbox::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "a mail address");
    if (!text) return;
    if (!looks_like_mailbox(*text)) {
        r.fault(node.where, key,
                fmt::format("{} is no mail address; write one like \"help@example.net\"",
                            in_quotes(*text)));
        return;
    }
    out = *text;
}

void HeaderMailbox::read(Reading& r, const Node& node, const std::string& key,
                         std::string& out) const {
    const auto text = text_of(r, node, key, "a mail address");
    if (!text) return;
    const bool plain =
        proto::is_ascii(*text) && text->find_first_of("\"(),:;[\\]") == std::string::npos;
    if (!looks_like_mailbox(*text) || !plain) {
        r.fault(node.where, key,
                fmt::format("{} is no plain mail address; write one like \"abuse@example.net\"",
                            in_quotes(*text)));
        return;
    }
    out = *text;
}

void HeaderMailboxOrNone::read(Reading& r, const Node& node, const std::string& key,
                               std::string& out) const {
    const auto text = text_of(r, node, key, "a mail address, or \"\"");
    if (!text) return;
    if (text->empty()) {
        out.clear();
    } else {
        HeaderMailbox{}.read(r, node, key, out);
    }
}

void UserName::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "the name of a user");
    if (!text) return;
    if (*text == "root" || *text == "0") {
        r.fault(node.where, key,
                "the relay never stays root; name a user of its own, like \"postern\"");
        return;
    }
    if (!is_label(*text)) {
        r.fault(node.where, key,
                fmt::format("{} is no user name; write one like \"postern\"", in_quotes(*text)));
        return;
    }
    out = *text;
}

void Label::read(Reading& r, const Node& node, const std::string& key, std::string& out) const {
    const auto text = text_of(r, node, key, "a name");
    if (!text) return;
    if (!is_label(*text)) {
        r.fault(
            node.where, key,
            fmt::format("{} is no name; use up to 64 letters, digits, dots, dashes and underscores",
                        in_quotes(*text)));
        return;
    }
    out = *text;
}

void Flag::read(Reading& r, const Node& node, const std::string& key, bool& out) const {
    if (node.kind == Node::Kind::flag) {
        out = node.flag;
    } else if (node.kind == Node::Kind::raw && (node.text == "true" || node.text == "false")) {
        out = node.text == "true";
    } else if (node.kind == Node::Kind::raw) {
        r.fault(node.where, key, fmt::format("{} is not true or false", in_quotes(node.text)));
    } else {
        r.wrong_kind(node, key, "true or false");
    }
}

void Count::read(Reading& r, const Node& node, const std::string& key, std::uint32_t& out) const {
    std::optional<std::int64_t> value;
    std::string text;
    if (node.kind == Node::Kind::integer) {
        value = node.integer;
        text = fmt::format("{}", node.integer);
    } else if (node.kind == Node::Kind::raw) {
        value = whole_number<std::int64_t>(node.text);
        text = node.text;
    } else {
        r.wrong_kind(node, key, fmt::format("a whole number from {} to {}", min, max));
        return;
    }
    if (!value || *value < std::int64_t{min} || *value > std::int64_t{max}) {
        r.fault(node.where, key,
                fmt::format("{} is no whole number from {} to {}", shown(node, text), min, max));
        return;
    }
    out = static_cast<std::uint32_t>(*value);
}

void Number::read(Reading& r, const Node& node, const std::string& key, double& out) const {
    std::optional<double> value;
    if (node.kind == Node::Kind::number) value = node.number;
    if (node.kind == Node::Kind::integer) value = static_cast<double>(node.integer);
    if (node.kind == Node::Kind::raw) {
        value = whole_number<double>(node.text);
        if (!value) value = std::numeric_limits<double>::quiet_NaN();
    }
    if (!value) {
        r.wrong_kind(node, key, fmt::format("a number from {} to {}", min, max));
    } else if (!(*value >= min && *value <= max)) {
        r.fault(node.where, key, fmt::format("not a number from {} to {}", min, max));
    } else {
        out = *value;
    }
}

void Size::read(Reading& r, const Node& node, const std::string& key, std::uint64_t& out) const {
    const auto text = text_of(r, node, key, "a size like \"25MiB\"");
    if (!text) return;
    const auto value = measured(*text, size_units);
    if (!value) {
        r.fault(node.where, key,
                fmt::format("{} is no size; write one like \"25MiB\" (B, KiB, MiB, GiB, TiB)",
                            in_quotes(*text)));
    } else if (*value < min || *value > max) {
        r.fault(node.where, key,
                fmt::format("{} is not between {} and {}", in_quotes(*text),
                            in_units(min, size_units), in_units(max, size_units)));
    } else {
        out = *value;
    }
}

void Span::read(Reading& r, const Node& node, const std::string& key, Duration& out) const {
    const auto text = text_of(r, node, key, "a duration like \"20s\"");
    if (!text) return;
    const auto value = measured(*text, time_units);
    if (!value) {
        r.fault(node.where, key,
                fmt::format("{} is no duration; write one like \"20s\" (ms, s, m, h, d)",
                            in_quotes(*text)));
        return;
    }
    const auto count = [](Duration d) { return static_cast<std::uint64_t>(d.count()); };
    if (*value < count(min) || *value > count(max)) {
        r.fault(node.where, key,
                fmt::format("{} is not between {} and {}", in_quotes(*text),
                            in_units(count(min), time_units), in_units(count(max), time_units)));
        return;
    }
    out = Duration(static_cast<Duration::rep>(*value));
}

}  // namespace postern::relay::config::formats
