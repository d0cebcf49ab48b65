// Where the keys are that tokens are checked with, and where tokens are fetched.
#include <fmt/format.h>

#include <algorithm>

#include "relay/config/formats.hpp"
#include "relay/config/names.hpp"

namespace postern::relay::config::formats {
namespace {

constexpr std::string_view secure = "https://";
constexpr std::string_view clear = "http://";

/// RFC 3986 without user, password and fragment. What is wrong with it; empty: nothing. `danger`:
/// of http to a place that is not ours.
std::string read_url(std::string_view text, KeySetPlace& out, std::string_view danger) {
    out.url = text;
    out.clear_text = text.starts_with(clear);
    out.port = out.clear_text ? 80 : 443;
    text.remove_prefix(out.clear_text ? clear.size() : secure.size());
    const bool visible = std::ranges::all_of(
        text, [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '<' && c != '>'; });
    if (!visible || text.contains('#') || text.contains('\\')) return "holds what no URL may";
    const std::size_t slash = text.find_first_of("/?");
    const std::string_view authority = text.substr(0, slash);
    if (authority.contains('@')) return "holds a user name; this one must do without";
    const auto place = parse_host_port(authority);
    if (!place) return "names no host";
    out.host = place->host;
    if (place->port) out.port = *place->port;
    out.target = slash == std::string_view::npos ? "/" : text.substr(slash);
    if (out.target.front() == '?') out.target.insert(0, 1, '/');
    const bool near = place->literal ? is_loopback(out.host) : out.host == "localhost";
    if (out.clear_text && !near) return fmt::format("{}; only loopback may be", danger);
    return "";
}

/// The scheme in lower case.
std::string with_scheme(const std::string& text, std::string_view lower) {
    std::string url = text;
    std::ranges::copy(lower.substr(0, lower.find("://")), url.begin());
    return url;
}

}  // namespace

void KeySetAt::read(Reading& r, const Node& node, const std::string& key, KeySetPlace& out) const {
    const auto text = text_of(r, node, key, "a URL like \"https://a.example/jwks\", or a file");
    if (!text) return;
    const std::string lower = lower_case(*text);
    KeySetPlace made;
    if (lower.starts_with(secure) || lower.starts_with(clear)) {
        constexpr std::string_view danger =
            "is fetched in the clear, where anybody on the way could put keys of his own";
        const std::string wrong = read_url(with_scheme(*text, lower), made, danger);
        if (!wrong.empty()) {
            r.fault(node.where, key,
                    fmt::format("{} {}; write one like \"https://a.example/jwks\"",
                                in_quotes(*text), wrong));
            return;
        }
    } else if (lower.contains("://")) {
        r.fault(node.where, key,
                fmt::format("{} is neither https nor a file; write one like "
                            "\"https://a.example/jwks\"",
                            in_quotes(*text)));
        return;
    } else {
        Path{}.read(r, node, key, made.file);
        if (made.file.empty()) return;
    }
    out = std::move(made);
}

void TokenUrl::read(Reading& r, const Node& node, const std::string& key, KeySetPlace& out) const {
    const auto text = text_of(r, node, key, "a URL like \"https://a.example/token\"");
    if (!text) return;
    const std::string lower = lower_case(*text);
    std::string wrong = "is no https URL";
    KeySetPlace made;
    if (lower.starts_with(secure) || lower.starts_with(clear)) {
        wrong = read_url(with_scheme(*text, lower), made,
                         "would send secrets in the clear to anybody on the way");
    }
    if (!wrong.empty()) {
        r.fault(node.where, key,
                fmt::format("{} {}; write one like \"https://a.example/token\"", in_quotes(*text),
                            wrong));
        return;
    }
    out = std::move(made);
}

}  // namespace postern::relay::config::formats
