#include "relay/config/tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "relay/config/reading.hpp"
#include "relay/config/toml_scan.hpp"

// Header-only and without exceptions: a fault of the file is a value here like any other.
#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace postern::relay::config {
namespace {

Node convert(const toml::node& from, const std::string& file);

Node convert_table(const toml::table& from, const std::string& file) {
    Node node;
    for (const auto& [key, value] : from) {
        node.fields.push_back({std::string(key.str()), convert(value, file)});
    }
    // toml++ sorts by name; faults are told in the file's order.
    std::ranges::sort(node.fields, {},
                      [](const Field& f) { return std::tie(f.value.where.line, f.name); });
    return node;
}

Node convert(const toml::node& from, const std::string& file) {
    Node node;
    if (const auto* table = from.as_table()) {
        node = convert_table(*table, file);
    } else if (const auto* list = from.as_array()) {
        node.kind = Node::Kind::list;
        for (const auto& item : *list) node.items.push_back(convert(item, file));
    } else if (const auto* text = from.as_string()) {
        node.kind = Node::Kind::text;
        node.text = text->get();
    } else if (const auto* integer = from.as_integer()) {
        node.kind = Node::Kind::integer;
        node.integer = integer->get();
    } else if (const auto* number = from.as_floating_point()) {
        node.kind = Node::Kind::number;
        node.number = number->get();
    } else if (const auto* flag = from.as_boolean()) {
        node.kind = Node::Kind::flag;
        node.flag = flag->get();
    } else {
        node.kind = Node::Kind::other;
    }
    node.where = {file, from.source().begin.line};
    return node;
}

}  // namespace

std::string Where::text() const {
    return line == 0 ? source : fmt::format("{}:{}", source, line);
}

const Node* Node::find(std::string_view key) const noexcept {
    const auto it = std::ranges::find(fields, key, &Field::name);
    return it == fields.end() ? nullptr : &it->value;
}

Node* Node::find(std::string_view key) noexcept {
    const auto it = std::ranges::find(fields, key, &Field::name);
    return it == fields.end() ? nullptr : &it->value;
}

Node& Node::at(const std::string& key, const Where& place) {
    if (Node* found = find(key)) return *found;
    Node made;
    made.where = place;
    return fields.emplace_back(key, std::move(made)).value;
}

void Node::remove(std::string_view key) {
    std::erase_if(fields, [&](const auto& f) { return f.name == key; });
}

std::string_view name_of(Node::Kind kind) noexcept {
    switch (kind) {
        case Node::Kind::text:
        case Node::Kind::raw:
            return "a string";
        case Node::Kind::integer:
            return "a whole number";
        case Node::Kind::number:
            return "a number";
        case Node::Kind::flag:
            return "true or false";
        case Node::Kind::list:
            return "a list";
        case Node::Kind::table:
            return "a table";
        case Node::Kind::other:
            return "a date or time";
    }
    return "a value";
}

std::variant<Node, Fault> parse_toml(std::string_view text, const std::string& file) {
    if (const auto line = line_with_stray_octet(text)) {
        return Fault{printable(Where{file, *line}.text()), "",
                     "no TOML: a character beyond ASCII outside of a string; put quotes around it"};
    }
    const toml::parse_result parsed = toml::parse(text, std::string_view(file));
    if (!parsed) {
        const toml::parse_error& error = parsed.error();
        return Fault{printable(Where{file, error.source().begin.line}.text()), "",
                     printable(fmt::format("no TOML: {}", error.description()))};
    }
    Node root = convert_table(parsed.table(), file);
    root.where = {file, 0};
    return root;
}

std::variant<Node, Fault> parse_toml_value(std::string_view text, const Where& place) {
    const std::string line = fmt::format("value = {}", text);
    const bool stray = line_with_stray_octet(line).has_value();
    const toml::parse_result parsed =
        toml::parse(stray ? std::string_view() : std::string_view(line));
    const toml::node* value = parsed ? parsed.table().get("value") : nullptr;
    if (value == nullptr || parsed.table().size() != 1) {
        return Fault{place.text(), "",
                     "no TOML value: a list is [\"a\", \"b\"], a table { key = \"value\" }"};
    }
    Node node = convert(*value, place.source);
    struct Mark {
        const Where& place;
        void operator()(Node& n) const {
            n.where = place;
            n.relative_to_cwd = true;
            for (Node& item : n.items) (*this)(item);
            for (auto& [key, field] : n.fields) (*this)(field);
        }
    };
    Mark{place}(node);
    return node;
}

}  // namespace postern::relay::config
