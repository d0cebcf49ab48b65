#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/config/tree.hpp"

namespace postern::relay::config {

/// What one load gathers while it reads: faults, notices, and what paths and secrets need.
struct Reading {
    const Surroundings& around;
    std::string folder;  ///< Where relative paths of the file start.
    Need need = Need::everything;
    std::vector<Fault> faults;
    std::vector<std::string> notices;

    void fault(const Where& where, std::string key, std::string text);
    void notice(const Where& where, std::string_view key, std::string_view text);
    /// "expected a size like ..., not a list"
    void wrong_kind(const Node& node, const std::string& key, std::string_view expected);
    [[nodiscard]] std::string absolute(const Node& node, const std::string& path) const;
};

/// `text` with its control octets as '?'.
[[nodiscard]] std::string printable(std::string_view text);

/// `text` in quotes for a message: control octets become '?', cut at 60 octets.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// The candidate nearest to `word` by edit distance, where one is near enough to be meant; else
/// empty.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<const std::string_view> candidates);

/// Removes spaces and tabs at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// "a, b or c"
[[nodiscard]] std::string any_of(std::span<const std::string_view> words);

}  // namespace postern::relay::config
