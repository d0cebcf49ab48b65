#include "proto/path.hpp"

#include <algorithm>

#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t max_path = 256;

/// Position of the bracket that closes the path, quoted strings passed over.
std::size_t closing_bracket(std::string_view text) noexcept {
    bool quoted = false;
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (quoted && text[i] == '\\') {
            ++i;
        } else if (text[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && text[i] == '>') {
            return i;
        }
    }
    return std::string_view::npos;
}

constexpr bool in_route(char c) noexcept {
    const auto u = static_cast<unsigned char>(c);
    return u >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || std::string_view("-_.[]:@,").contains(c);
}

/// `@a,@b:`, of which no hop is empty. Colons may stand inside a literal's brackets.
std::size_t route_length(std::string_view text) noexcept {
    bool want_at = true;
    bool literal = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (!in_route(c) || want_at != (c == '@')) return 0;
        if (want_at) {
            if (i + 1 == text.size() || std::string_view(",:@").contains(text[i + 1])) return 0;
            want_at = false;
        } else if (c == '[') {
            literal = true;
        } else if (c == ']') {
            literal = false;
        } else if (c == ',') {
            want_at = true;
        } else if (c == ':' && !literal) {
            return i + 1;
        }
    }
    return 0;
}

}  // namespace

boost::system::result<PathText> split_path(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (text.empty() || text.front() != '<') return AddressError::syntax;
    const std::size_t end = closing_bracket(text);
    if (end == std::string_view::npos) return AddressError::syntax;
    PathText path{.mailbox = text.substr(1, end - 1), .rest = text.substr(end + 1)};
    if (!path.rest.empty() && path.rest.front() != ' ') return AddressError::syntax;
    if (end + 1 > max_path) return AddressError::too_long;
    if (path.mailbox.starts_with('@')) {
        const std::size_t route = route_length(path.mailbox);
        if (route == 0 || route == path.mailbox.size()) return AddressError::syntax;
        path.mailbox.remove_prefix(route);
    }
    return path;
}

boost::system::result<Address> parse_forward_path(std::string_view mailbox, bool smtputf8) {
    if (same_ignoring_case(mailbox, "postmaster")) return Address{std::string(mailbox), {}};
    return parse_mailbox(mailbox, smtputf8);
}

}  // namespace postern::proto
