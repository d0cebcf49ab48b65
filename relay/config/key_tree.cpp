#include "relay/config/key_tree.hpp"

#include <fmt/format.h>

#include "relay/config/later.hpp"
#include "relay/config/schema.hpp"

namespace postern::relay::config {
namespace {

template <typename F>
constexpr Key::Kind kind_of(const F&) {
    return Key::Kind::value;
}
template <typename F>
constexpr Key::Kind kind_of(const formats::ListOf<F>&) {
    return Key::Kind::list;
}
constexpr Key::Kind kind_of(const formats::Pointers&) {
    return Key::Kind::table;
}
constexpr Key::Kind kind_of(const formats::Path&) {
    return Key::Kind::path;
}

template <typename S>
class KeyCollector {
  public:
    explicit KeyCollector(Key& into) : into_(into) { describe(*this, Section<S>{}); }

    template <typename T, typename F>
    void key(std::string_view name, T S::*, const F& format, Reload) {
        add(name, kind_of(format));
    }
    template <typename T>
    void secret(std::string_view name, T S::*, std::string S::*, Reload) {
        add(name, Key::Kind::secret);
        add(fmt::format("{}_file", name), Key::Kind::path);
    }
    template <typename T>
    void table(std::string_view name, T S::*) {
        KeyCollector<T>(add(name, Key::Kind::table));
    }
    template <typename T>
    void tables(std::string_view name, std::vector<T> S::*, Reload) {
        KeyCollector<T>(add(name, Key::Kind::tables));
    }
    template <typename T>
    void map(std::string_view name, std::map<std::string, T, std::less<>> S::*, Reload) {
        KeyCollector<T>(add(name, Key::Kind::map));
    }
    void later(std::string_view names) {
        for (const std::string_view name : words(names)) add(name, Key::Kind::later);
    }
    void later_sections() {
        for (const LaterSection& section : config::later_sections) {
            Key& table = add(section.name, Key::Kind::later);
            for (const std::string_view name : words(section.keys)) {
                table.children.push_back({std::string(name), Key::Kind::later, {}});
            }
        }
    }

  private:
    Key& add(std::string_view name, Key::Kind kind) {
        return into_.children.emplace_back(Key{std::string(name), kind, {}});
    }
    Key& into_;
};

}  // namespace

std::string Key::upper() const {
    std::string out = name;
    for (char& c : out) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return out;
}

const Key& all_keys() {
    static const Key root = [] {
        Key made{"", Key::Kind::table, {}};
        KeyCollector<Config> collect(made);
        return made;
    }();
    return root;
}

}  // namespace postern::relay::config
