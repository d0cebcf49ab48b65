#include "relay/config/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

#include "relay/config/key_tree.hpp"
#include "relay/config/later.hpp"

namespace postern::relay::config {
namespace {

using Variables = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view variable_prefix = "POSTERN_";

/// One variable with the key that it sets. `path` names fields and, as numbers, places in lists.
struct Assignment {
    std::vector<std::variant<std::string, std::size_t>> path;
    Key::Kind kind = Key::Kind::value;
    bool from_file = false;
    std::string variable;
    std::string value;
    bool operator<(const Assignment& other) const {
        return std::tie(path, variable) < std::tie(other.path, other.variable);
    }
};

std::optional<std::size_t> index_of(std::string_view text) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "REST" behind "KEY_"; empty optional where `text` does not begin with that key.
std::optional<std::string_view> behind(std::string_view text, std::string_view key) {
    if (text == key) return "";
    if (text.size() > key.size() + 1 && text.starts_with(key) && text[key.size()] == '_') {
        return text.substr(key.size() + 1);
    }
    return std::nullopt;
}

bool resolve(const Key& key, std::string_view rest, const Node* node, Assignment& out);

/// Of a table: the child whose name is the longest that fits.
bool resolve_child(const Key& table, std::string_view rest, const Node* node, Assignment& out) {
    std::vector<const Key*> fitting;
    for (const Key& child : table.children) {
        if (behind(rest, child.upper())) fitting.push_back(&child);
    }
    std::ranges::sort(fitting, std::ranges::greater{}, [](const Key* k) { return k->name.size(); });
    for (const Key* child : fitting) {
        Assignment attempt = out;
        attempt.path.emplace_back(child->name);
        const Node* below = node == nullptr ? nullptr : node->find(child->name);
        if (resolve(*child, *behind(rest, child->upper()), below, attempt)) {
            out = std::move(attempt);
            return true;
        }
    }
    return false;
}

/// Of a map: the shortest name behind which a key follows; a name that the file has wins, dashes
/// and all.
bool resolve_entry(const Key& map, std::string_view rest, const Node* node, Assignment& out) {
    std::vector<std::string> names;
    for (std::size_t end = rest.find('_'); end != std::string_view::npos;
         end = rest.find('_', end + 1)) {
        std::string name(rest.substr(0, end));
        for (char& c : name) {
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        }
        names.push_back(std::move(name));
    }
    const auto variable_form = [](std::string text) {
        for (char& c : text) {
            if (c == '-' || c == '.') c = '_';
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        }
        return text;
    };
    for (const std::string& name : names) {
        Assignment attempt = out;
        std::string chosen = name;
        if (node != nullptr) {
            for (const auto& [existing, fields] : node->fields) {
                if (variable_form(existing) == name) chosen = existing;
            }
        }
        attempt.path.emplace_back(chosen);
        if (resolve_child(map, rest.substr(name.size() + 1), nullptr, attempt)) {
            out = std::move(attempt);
            return true;
        }
    }
    return false;
}

/// Whether `rest` (what stands behind this key's own name) can belong to it; then `out` has path
/// and kind.
bool resolve(const Key& key, std::string_view rest, const Node* node, Assignment& out) {
    out.kind = key.kind;
    if (rest.empty()) return true;
    const bool wants_file = rest == "FILE";
    if (key.kind == Key::Kind::later) {
        if (key.children.empty() || wants_file) return true;
        return std::ranges::any_of(
                   key.children,
                   [&](const Key& c) { return behind(rest, c.upper()).has_value(); }) ||
               index_of(rest.substr(0, rest.find('_'))).has_value();
    }
    if (wants_file && key.kind != Key::Kind::path) {
        out.from_file = true;
        return true;
    }
    switch (key.kind) {
        case Key::Kind::table:
            return resolve_child(key, rest, node, out);
        case Key::Kind::map:
            return resolve_entry(key, rest, node, out);
        case Key::Kind::list: {
            const auto index = index_of(rest);
            if (!index) return false;
            out.path.emplace_back(*index);
            out.kind = Key::Kind::value;
            return true;
        }
        case Key::Kind::tables: {
            const auto end = std::min(rest.find('_'), rest.size());
            const auto index = index_of(rest.substr(0, end));
            if (!index) return false;
            out.path.emplace_back(*index);
            if (end == rest.size()) {
                out.kind = Key::Kind::table;
                return true;
            }
            return resolve_child(key, rest.substr(end + 1), nullptr, out);
        }
        default:
            return false;
    }
}

std::string dotted(const Assignment& a) {
    std::string out;
    for (const auto& step : a.path) {
        if (!out.empty()) out += '.';
        if (const auto* name = std::get_if<std::string>(&step)) {
            out += *name;
        } else {
            out += std::to_string(std::get<std::size_t>(step));
        }
    }
    return out;
}

/// What Kubernetes sets for a service of the name "postern".
bool looks_like_kubernetes(std::string_view name) {
    return name.ends_with("_SERVICE_HOST") ||
           name.find("_SERVICE_PORT") != std::string_view::npos || name.ends_with("_PORT") ||
           name.find("_PORT_") != std::string_view::npos;
}

/// A key in the form of `name` whose section is known: what it may have meant.
std::string nearest_variable(std::string_view rest) {
    const Key* table = &all_keys();
    std::string so_far(variable_prefix);
    while (true) {
        const Key* into = nullptr;
        for (const Key& child : table->children) {
            const auto after = behind(rest, child.upper());
            if (child.kind == Key::Kind::table && after && !after->empty() &&
                (into == nullptr || child.name.size() > into->name.size())) {
                into = &child;
            }
        }
        if (into == nullptr) break;
        so_far += into->upper() + "_";
        rest = *behind(rest, into->upper());
        table = into;
    }
    if (table == &all_keys()) return "";
    std::vector<std::string> names;
    for (const Key& child : table->children) names.push_back(child.upper());
    const std::vector<std::string_view> views(names.begin(), names.end());
    const std::string_view near = nearest(rest, views);
    return near.empty() ? "" : so_far + std::string(near);
}

class Layer {
  public:
    Layer(Node& root, Reading& reading) : root_(root), r_(reading) {}

    void own_names(const Variables& variables) {
        std::vector<Assignment> all;
        for (const auto& [name, value] : variables) {
            if (!name.starts_with(variable_prefix) || name == "POSTERN_CONFIG") continue;
            const std::string_view rest = std::string_view(name).substr(variable_prefix.size());
            Assignment a;
            a.variable = name;
            a.value = value;
            if (looks_like_kubernetes(name)) {
                r_.notice(place(name), "",
                          "passed over: it looks like what Kubernetes sets for a service");
            } else if (resolve_child(all_keys(), rest, &root_, a)) {
                all.push_back(std::move(a));
            } else if (!begins_with_section(rest)) {
                r_.notice(place(name), "",
                          "passed over: no section of the configuration has that name");
            } else {
                const std::string near = nearest_variable(rest);
                r_.fault(place(name), "",
                         near.empty() ? "no key of that name"
                                      : fmt::format("no key of that name; did you mean {}?", near));
            }
        }
        std::sort(all.begin(), all.end());
        for (Assignment& a : all) assign(a);
    }

    /// Names that other mail images use; ours win, so these are laid down first.
    void foreign_names(const Variables& variables) {
        const auto set = [&](std::string_view variable,
                             std::vector<std::variant<std::string, std::size_t>> path,
                             Key::Kind kind, bool from_file) {
            const auto found =
                std::ranges::find(variables, variable, &Variables::value_type::first);
            if (found == variables.end() || found->second.empty()) return;
            Assignment a{std::move(path), kind, from_file, found->first, found->second};
            r_.notice(place(variable), "", fmt::format("stands for {}", dotted(a)));
            assign(a);
        };
        set("RELAYHOST", {"upstream", std::size_t{0}, "address"}, Key::Kind::value, false);
        set("RELAYHOST_USERNAME", {"upstream", std::size_t{0}, "username"}, Key::Kind::value,
            false);
        set("RELAYHOST_PASSWORD", {"upstream", std::size_t{0}, "password"}, Key::Kind::secret,
            false);
        set("RELAYHOST_PASSWORD_FILE", {"upstream", std::size_t{0}, "password_file"},
            Key::Kind::path, false);
        set("ALLOWED_SENDER_DOMAINS", {"first_account", "owns"}, Key::Kind::later, false);
    }

    /// HOSTNAME counts only with a dot (a container's is its number) and where nothing else names
    /// the host.
    void hostname(const Variables& variables) {
        const auto found = std::ranges::find(variables, "HOSTNAME", &Variables::value_type::first);
        if (found == variables.end() || found->second.find('.') == std::string::npos) return;
        const Node* server = root_.find("server");
        if (server != nullptr && server->find("hostname") != nullptr) return;
        Assignment a{{"server", "hostname"}, Key::Kind::value, false, found->first, found->second};
        r_.notice(place("HOSTNAME"), "", "stands for server.hostname");
        assign(a);
    }

  private:
    static Where place(std::string_view variable) {
        return {fmt::format("environment {}", variable), 0};
    }

    static bool begins_with_section(std::string_view rest) {
        return std::ranges::any_of(all_keys().children, [&](const Key& section) {
            return behind(rest, section.upper()).has_value();
        });
    }

    void assign(Assignment& a) {
        const Where where = place(a.variable);
        const std::string key = dotted(a);
        if (a.kind == Key::Kind::later) {
            r_.notice(where, key, "belongs to a later version and has no effect yet");
            return;
        }
        if (a.from_file && !read_value_file(a, where, key)) return;
        auto value = make(a, where, key);
        Node* target = value ? walk(a, where, key) : nullptr;
        if (target == nullptr) return;
        value->where = where;
        *target = std::move(*value);
    }

    bool read_value_file(Assignment& a, const Where& where, const std::string& key) {
        std::string error;
        Node relative;
        relative.relative_to_cwd = true;
        const std::string file = r_.absolute(relative, a.value);
        auto text = r_.around.read_file(file, error);
        if (!text) {
            r_.fault(where, key, fmt::format("cannot read {}: {}", file, error));
            return false;
        }
        if (text->ends_with('\n')) text->pop_back();
        a.value = std::move(*text);
        return true;
    }

    std::optional<Node> make(const Assignment& a, const Where& where, const std::string& key) {
        const bool structured = a.kind == Key::Kind::list || a.kind == Key::Kind::table ||
                                a.kind == Key::Kind::tables || a.kind == Key::Kind::map;
        const std::string_view text = trimmed(a.value);
        if (structured && (text.starts_with('[') || text.starts_with('{')) &&
            !is_bracketed_address(a, text)) {
            auto parsed = parse_toml_value(text, where);
            if (auto* fault = std::get_if<Fault>(&parsed)) {
                fault->key = key;
                r_.faults.push_back(std::move(*fault));
                return std::nullopt;
            }
            return std::get<Node>(std::move(parsed));
        }
        if (structured && a.kind != Key::Kind::list) {
            r_.fault(
                where, key,
                "expected TOML: { key = \"value\" }, or [{ key = \"value\" }] where it is a list");
            return std::nullopt;
        }
        Node node;
        node.kind = Node::Kind::raw;
        node.text = a.value;
        node.relative_to_cwd = true;
        return node;
    }

    /// "[::]:587 starttls" begins like a TOML list and is none.
    static bool is_bracketed_address(const Assignment& a, std::string_view text) {
        const auto end = text.find(']');
        return a.kind == Key::Kind::list && end != std::string_view::npos &&
               text.substr(0, end).find_first_of("\"'") == std::string_view::npos &&
               text.find(':') < end;
    }

    /// The node at the assignment's path, made where it is missing.
    Node* walk(const Assignment& a, const Where& where, const std::string& key) {
        Node* node = &root_;
        for (const auto& step : a.path) {
            if (const auto* name = std::get_if<std::string>(&step)) {
                if (node->kind != Node::Kind::table) return wrong_shape(where, key);
                forget_other_form(*node, *name);
                node = &node->at(*name, where);
            } else {
                const std::size_t index = std::get<std::size_t>(step);
                if (node->kind == Node::Kind::table && node->fields.empty())
                    node->kind = Node::Kind::list;
                if (node->kind != Node::Kind::list) return wrong_shape(where, key);
                if (index > node->items.size()) {
                    r_.fault(where, key,
                             fmt::format("there are {} entries; the next one is number {}",
                                         node->items.size(), node->items.size()));
                    return nullptr;
                }
                if (index == node->items.size()) {
                    node->items.emplace_back();
                    node->items.back().where = where;
                }
                node = &node->items[index];
            }
        }
        return node;
    }

    /// A secret and its file are one key: what the environment sets replaces either.
    static void forget_other_form(Node& table, const std::string& name) {
        if (name == "password") table.remove("password_file");
        if (name == "password_file") table.remove("password");
    }

    Node* wrong_shape(const Where& where, const std::string& key) {
        r_.fault(where, key, "the file has another kind of value there; set the key as a whole");
        return nullptr;
    }

    Node& root_;
    Reading& r_;
};

}  // namespace

void apply_environment(Node& root, Reading& reading) {
    Variables variables = reading.around.environment;
    std::ranges::sort(variables);
    Layer layer(root, reading);
    layer.foreign_names(variables);
    layer.own_names(variables);
    layer.hostname(variables);
}

bool upstream_in_environment(const Surroundings& around) {
    return std::ranges::any_of(around.environment, [](const auto& v) {
        return (v.first.starts_with("POSTERN_UPSTREAM") && !looks_like_kubernetes(v.first)) ||
               (v.first == "RELAYHOST" && !v.second.empty());
    });
}

}  // namespace postern::relay::config
