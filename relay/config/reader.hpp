#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "relay/config/later.hpp"
#include "relay/config/schema.hpp"

namespace postern::relay::config {

constexpr std::string_view later_text = "belongs to a later version and has no effect yet";

/// Fills a section from its table: the visitor of `describe` that reads. Keys that nobody asked for
/// are unknown.
template <typename S>
class SectionReader {
  public:
    SectionReader(Reading& reading, const Node& node, std::string prefix, S& target)
        : r_(reading), node_(node), prefix_(std::move(prefix)), target_(target) {}

    void read() {
        if (node_.kind != Node::Kind::table) {
            r_.wrong_kind(node_, prefix_, "a table");
            return;
        }
        describe(*this, Section<S>{});
        unknown_keys();
    }

    template <typename T, typename F>
    void key(std::string_view name, T S::* member, const F& format, Reload) {
        known_.push_back(name);
        if (const Node* value = node_.find(name))
            format.read(r_, *value, path(name), target_.*member);
    }

    void secret(std::string_view name, proto::Secret S::* member, std::string S::* path_member,
                Reload) {
        const std::string file_key = fmt::format("{}_file", name);
        known_.push_back(name);
        file_keys_.push_back(file_key);
        const Node* value = node_.find(name);
        const Node* file = node_.find(file_key);
        if (value != nullptr && file != nullptr) {
            r_.fault(file->where, path(file_key),
                     fmt::format("{} is given too; keep one of them", name));
        } else if (value != nullptr) {
            std::string text;
            formats::Text{}.read(r_, *value, path(name), text);
            target_.*member = proto::Secret(text);
        } else if (file != nullptr) {
            std::string& from = target_.*path_member;
            formats::Path{}.read(r_, *file, path(file_key), from);
            if (!from.empty()) read_secret_file(*file, path(file_key), from, target_.*member);
        }
    }

    template <typename T>
    void table(std::string_view name, T S::* member) {
        known_.push_back(name);
        if (const Node* value = node_.find(name)) {
            SectionReader<T>(r_, *value, path(name), target_.*member).read();
        }
    }

    template <typename T>
    void tables(std::string_view name, std::vector<T> S::* member, Reload) {
        known_.push_back(name);
        const Node* value = node_.find(name);
        if (value == nullptr) return;
        constexpr std::size_t most = 256;
        if (value->kind != Node::Kind::list) {
            r_.fault(value->where, path(name),
                     fmt::format("expected a list of tables, not {}; write [[{}]]",
                                 name_of(value->kind), path(name)));
            return;
        }
        if (value->items.size() > most) {
            r_.fault(value->where, path(name), fmt::format("at most {} entries", most));
            return;
        }
        for (std::size_t i = 0; i < value->items.size(); ++i) {
            T& made = (target_.*member).emplace_back();
            SectionReader<T>(r_, value->items[i], fmt::format("{}.{}", path(name), i), made).read();
        }
    }

    template <typename T>
    void map(std::string_view name, std::map<std::string, T, std::less<>> S::* member, Reload) {
        known_.push_back(name);
        const Node* value = node_.find(name);
        if (value == nullptr) return;
        if (value->kind != Node::Kind::table) {
            r_.wrong_kind(*value, path(name), "a table");
            return;
        }
        // What an entry does not name it has as the sample shows it, whatever the order of the
        // file.
        const T defaults = (target_.*member)[std::string(built_in_plan)];
        for (const auto& [entry, fields] : value->fields) {
            std::string checked;
            Node as_text;
            as_text.kind = Node::Kind::text;
            as_text.where = fields.where;
            as_text.text = entry;
            formats::Label{}.read(r_, as_text, path(name), checked);
            if (checked.empty()) continue;
            T& made = (target_.*member).try_emplace(entry, defaults).first->second;
            SectionReader<T>(r_, fields, fmt::format("{}.{}", path(name), entry), made).read();
        }
    }

    void later(std::string_view names) {
        for (const std::string_view name : words(names)) {
            known_.push_back(name);
            if (const Node* value = node_.find(name))
                r_.notice(value->where, path(name), later_text);
        }
    }

    void later_sections() {
        for (const LaterSection& section : config::later_sections) {
            known_.push_back(section.name);
            if (const Node* value = node_.find(section.name)) later_section(section, *value);
        }
    }

  private:
    static constexpr std::string_view built_in_plan = "transactional";

    [[nodiscard]] std::string path(std::string_view name) const {
        return prefix_.empty() ? std::string(name) : fmt::format("{}.{}", prefix_, name);
    }

    void read_secret_file(const Node& node, const std::string& key, const std::string& file,
                          proto::Secret& out) {
        if (r_.need != Need::everything)
            return;  // Only `serve` uses secrets, and only its user can read them.
        std::string error;
        auto text = r_.around.read_file(file, error);
        if (!text) {
            r_.fault(node.where, key, fmt::format("cannot read {}: {}", file, error));
            return;
        }
        if (text->ends_with('\n')) text->pop_back();
        if (text->ends_with('\r')) text->pop_back();
        if (text->empty() ||
            text->find_first_of(std::string_view("\0\r\n", 3)) != std::string::npos) {
            r_.fault(node.where, key, fmt::format("{} must hold the secret on one line", file));
            return;
        }
        out = proto::Secret(*text);
    }

    void later_section(const LaterSection& section, const Node& node) {
        const std::vector<std::string_view> keys = words(section.keys);
        const auto table = [&](const Node& one) {
            for (const auto& [key, value] : one.fields) {
                if (std::ranges::find(keys, key) == keys.end())
                    unknown(value.where, fmt::format("{}.{}", section.name, key), key, keys);
            }
        };
        if (node.kind == Node::Kind::table) table(node);
        for (const Node& item : node.items) table(item);
        r_.notice(node.where, section.name, later_text);
    }

    void unknown(const Where& where, const std::string& full, std::string_view key,
                 std::span<const std::string_view> candidates) {
        const std::string_view near = nearest(key, candidates);
        r_.fault(where, full,
                 near.empty() ? "unknown key" : fmt::format("unknown key; did you mean {}?", near));
    }

    void unknown_keys() {
        std::vector<std::string_view> all = known_;
        all.insert(all.end(), file_keys_.begin(), file_keys_.end());
        for (const auto& [key, value] : node_.fields) {
            if (std::ranges::find(all, key) == all.end()) unknown(value.where, path(key), key, all);
        }
    }

    Reading& r_;
    const Node& node_;
    std::string prefix_;
    S& target_;
    std::vector<std::string_view> known_;
    std::vector<std::string> file_keys_;
};

}  // namespace postern::relay::config
