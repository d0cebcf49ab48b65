#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "relay/config/load.hpp"

namespace postern::relay::config {

/// Where a value stands: a line of the file, or a variable of the environment.
struct Where {
    std::string source;  ///< "FILE" or "environment POSTERN_..."
    unsigned line = 0;   ///< 0: no line.
    [[nodiscard]] std::string text() const;
};

/// A value of the file or the environment before its key gives it a meaning. The file's TOML and
/// the environment's text meet here, each value with its place, so that every later fault can name
/// it.
struct Field;
struct Node {
    enum class Kind : std::uint8_t {
        text,
        raw,  ///< Text of the environment: number, flag or list as its key asks.
        integer,
        number,
        flag,
        list,
        table,
        other,  ///< A date or a time: no key takes one.
    };
    Kind kind = Kind::table;
    Where where;
    std::string text;
    std::int64_t integer = 0;
    double number = 0;
    bool flag = false;
    std::vector<Node> items;
    std::vector<Field> fields;  ///< In the file's order.
    bool relative_to_cwd =
        false;  ///< From the environment: relative paths start at the working directory.

    [[nodiscard]] const Node* find(std::string_view key) const noexcept;
    [[nodiscard]] Node* find(std::string_view key) noexcept;
    /// The field, made (an empty table) where it is missing.
    Node& at(const std::string& key, const Where& place);
    void remove(std::string_view key);
};

struct Field {
    std::string name;
    Node value;
};

/// "a string", "a whole number", "a list", ...
[[nodiscard]] std::string_view name_of(Node::Kind kind) noexcept;

/// The whole file as a table, or its syntax error with its line.
[[nodiscard]] std::variant<Node, Fault> parse_toml(std::string_view text, const std::string& file);
/// One TOML value ("[1, 2]", "{ a = 1 }") from the environment.
[[nodiscard]] std::variant<Node, Fault> parse_toml_value(std::string_view text, const Where& place);

}  // namespace postern::relay::config
