#include "relay/admin/api.hpp"

namespace postern::relay::admin {
namespace {

int hex(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::optional<std::string> decoded(std::string_view text, char space) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            if (i + 2 >= text.size()) return std::nullopt;
            const int high = hex(text[i + 1]);
            const int low = hex(text[i + 2]);
            if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
            out += static_cast<char>(high * 16 + low);
            i += 2;
        } else if (text[i] == space) {
            out += ' ';
        } else {
            out += text[i];
        }
    }
    return out;
}

template <typename F>
bool each_part(std::string_view text, char separator, F take) {
    while (true) {
        const auto end = text.find(separator);
        if (!take(text.substr(0, end))) return false;
        if (end == std::string_view::npos) return true;
        text.remove_prefix(end + 1);
    }
}

}  // namespace

bool Request::set_target(std::string_view target) {
    constexpr std::size_t longest = 8192;
    if (!target.starts_with('/') || target.size() > longest) return false;
    segments.clear();
    query.clear();
    const auto mark = target.find('?');
    const bool path_good =
        each_part(target.substr(1, mark == std::string_view::npos ? mark : mark - 1), '/',
                  [&](std::string_view part) {
                      auto text = decoded(part, '\0');
                      if (text && !text->empty()) segments.push_back(std::move(*text));
                      return text.has_value();
                  });
    if (!path_good) return false;
    if (mark == std::string_view::npos) return true;
    return each_part(target.substr(mark + 1), '&', [&](std::string_view part) {
        if (part.empty()) return true;
        const auto equals = part.find('=');
        auto name = decoded(part.substr(0, equals), '+');
        auto value = decoded(equals == std::string_view::npos ? "" : part.substr(equals + 1), '+');
        if (!name || !value) return false;
        query.emplace(std::move(*name), std::move(*value));
        return true;
    });
}

}  // namespace postern::relay::admin
