#include <algorithm>
#include <array>
#include <utility>

#include "proto/report_impl.hpp"
#include "proto/utf8.hpp"

namespace postern::proto::reports {
namespace {

constexpr auto entities = std::to_array<std::pair<std::string_view, char>>({
    {"&lt;", '<'},
    {"&gt;", '>'},
    {"&amp;", '&'},
    {"&quot;", '"'},
    {"&#39;", '\''},
    {"&apos;", '\''},
    {"&nbsp;", ' '},
    {"&#64;", '@'},
});

/// Elements that begin a new line.
constexpr auto blocks =
    std::to_array<std::string_view>({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "pre", "td"});

std::string element_name(std::string_view tag) {
    if (tag.starts_with('/')) tag.remove_prefix(1);
    return to_lower(tag.substr(0, std::min<std::size_t>(tag.find_first_of(" \t\r\n/>"), 12)));
}

}  // namespace

std::string text_of_html(std::string_view html) {
    std::string out;
    while (!html.empty()) {
        const std::size_t plain = std::min(html.find_first_of("<&"), html.size());
        out += html.substr(0, plain);
        html.remove_prefix(plain);
        if (html.starts_with('&')) {
            const auto entity = std::ranges::find_if(
                entities, [html](const auto& one) { return html.starts_with(one.first); });
            const bool known = entity != entities.end();
            out += known ? entity->second : '&';
            html.remove_prefix(known ? entity->first.size() : 1);
        } else if (!html.empty()) {
            const std::size_t end = html.find('>');
            if (end == std::string_view::npos) break;  // No tag ends any more.
            const std::string name = element_name(html.substr(1, end - 1));
            if (std::ranges::find(blocks, name) != blocks.end()) out += '\n';
            html.remove_prefix(end + 1);
        }
    }
    return out;
}

}  // namespace postern::proto::reports
