#include "relay/config/reading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace postern::relay::config {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
            row[j] = std::min({changed, above + 1, row[j - 1] + 1});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

void Reading::fault(const Where& where, std::string key, std::string text) {
    faults.push_back({printable(where.text()), printable(key), printable(text)});
}

void Reading::notice(const Where& where, std::string_view key, std::string_view text) {
    const std::string line = key.empty() ? fmt::format("{}: {}", where.text(), text)
                                         : fmt::format("{}: {}: {}", where.text(), key, text);
    notices.push_back(printable(line));
}

void Reading::wrong_kind(const Node& node, const std::string& key, std::string_view expected) {
    fault(node.where, key, fmt::format("expected {}, not {}", expected, name_of(node.kind)));
}

std::string Reading::absolute(const Node& node, const std::string& path) const {
    if (path.starts_with('/')) return path;
    std::string base = node.relative_to_cwd ? around.working_directory : folder;
    if (!base.empty() && !base.ends_with('/')) base += '/';
    return base + path;
}

std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
    }
    return out;
}

std::string in_quotes(std::string_view text) {
    constexpr std::size_t longest = 60;
    std::string out = "\"";
    for (const char c : text.substr(0, longest)) {
        const auto octet = static_cast<unsigned char>(c);
        out += octet < 0x20 || octet >= 0x7f ? '?' : c;
    }
    if (text.size() > longest) out += "...";
    return out + '"';
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
    constexpr std::size_t longest = 64;
    if (word.size() > longest) return {};
    std::string_view best;
    std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance && distance < candidate.size()) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

std::string_view trimmed(std::string_view text) noexcept {
    const auto begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::string any_of(std::span<const std::string_view> words) {
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
        out += in_quotes(words[i]);
    }
    return out;
}

}  // namespace postern::relay::config
