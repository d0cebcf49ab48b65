#include "auth/sasl_message.hpp"

#include <algorithm>

#include "auth/saslprep.hpp"

namespace postern::auth {
namespace {

constexpr auto is_alpha = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
constexpr auto is_digit = [](char c) { return c >= '0' && c <= '9'; };

/// printable_octet = %x21-2B / %x2D-7E: ASCII without comma.
constexpr auto printable_octet = [](char c) { return c >= 0x21 && c <= 0x7E && c != ','; };

/// Takes the text before the next comma, and the comma.
std::optional<std::string_view> take_field(std::string_view& rest) noexcept {
    const std::size_t comma = rest.find(',');
    if (comma == std::string_view::npos) return std::nullopt;
    const std::string_view field = rest.substr(0, comma);
    rest.remove_prefix(comma + 1);
    return field;
}

/// saslname: "," and "=" stand as =2C and =3D, and no other "=" may.
std::optional<std::string> decode_saslname(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '=') {
            out.push_back(text[i]);
            continue;
        }
        const std::string_view escape = text.substr(i, 3);
        if (escape == "=2C") {
            out.push_back(',');
        } else if (escape == "=3D") {
            out.push_back('=');
        } else {
            return std::nullopt;
        }
        i += 2;
    }
    if (!well_formed(out)) return std::nullopt;
    return out;
}

bool is_binding_name(std::string_view text) noexcept {
    return !text.empty() && std::ranges::all_of(text, [](char c) {
        return is_alpha(c) || is_digit(c) || c == '.' || c == '-';
    });
}

bool is_nonce(std::string_view field) noexcept {
    return field.starts_with("r=") && field.size() > 2 &&
           std::ranges::all_of(field.substr(2), printable_octet);
}

/// attr-val = ALPHA "=" value; value holds neither NUL nor comma.
bool is_extension(std::string_view field) noexcept {
    return field.size() > 2 && is_alpha(field[0]) && field[1] == '=' && valid_utf8(field) &&
           field.find('\0') == std::string_view::npos;
}

bool are_extensions(std::string_view rest) noexcept {
    while (const auto field = take_field(rest)) {
        if (!is_extension(*field)) return false;
    }
    return is_extension(rest);
}

bool is_base64(std::string_view text) noexcept {
    if (text.empty() || text.size() % 4 != 0) return false;
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    return std::ranges::all_of(text.substr(0, text.size() - padding), [](char c) {
        return is_alpha(c) || is_digit(c) || c == '+' || c == '/';
    });
}

bool parse_flag(std::string_view field, Gs2Header& out) {
    if (field == "n") {
        out.flag = BindingFlag::unsupported;
    } else if (field == "y") {
        out.flag = BindingFlag::unoffered;
    } else if (field.starts_with("p=") && is_binding_name(field.substr(2))) {
        out.flag = BindingFlag::used;
        out.binding = field.substr(2);
    } else {
        return false;
    }
    return true;
}

}  // namespace

bool well_formed(std::string_view text) noexcept {
    return !text.empty() && text.size() <= max_name_octets &&
           text.find('\0') == std::string_view::npos && valid_utf8(text);
}

std::optional<PlainMessage> parse_plain(std::string_view message) noexcept {
    const std::size_t first = message.find('\0');
    if (first == std::string_view::npos) return std::nullopt;
    const std::size_t second = message.find('\0', first + 1);
    if (second == std::string_view::npos) return std::nullopt;
    const PlainMessage out{message.substr(0, first), message.substr(first + 1, second - first - 1),
                           message.substr(second + 1)};
    if (!out.authzid.empty() && !well_formed(out.authzid)) return std::nullopt;
    // A third NUL would be in the password.
    if (!well_formed(out.authcid) || !well_formed(out.password)) return std::nullopt;
    return out;
}

std::optional<Gs2Header> take_gs2_header(std::string_view& message) {
    Gs2Header out;
    const auto flag = take_field(message);
    if (!flag || !parse_flag(*flag, out)) return std::nullopt;
    const auto authzid = take_field(message);
    if (!authzid) return std::nullopt;
    if (!authzid->empty()) {
        if (!authzid->starts_with("a=")) return std::nullopt;
        auto decoded = decode_saslname(authzid->substr(2));
        if (!decoded) return std::nullopt;
        out.authzid = std::move(*decoded);
    }
    return out;
}

std::optional<ScramFirst> parse_scram_first(std::string_view message) {
    std::string_view rest = message;
    auto gs2 = take_gs2_header(rest);
    if (!gs2) return std::nullopt;
    ScramFirst out{std::move(*gs2), {}, {}};
    out.header = message.substr(0, message.size() - rest.size());

    const auto name = take_field(rest);
    if (!name || !name->starts_with("n=")) return std::nullopt;
    auto decoded = decode_saslname(name->substr(2));
    if (!decoded) return std::nullopt;
    out.name = std::move(*decoded);

    const auto nonce = take_field(rest);
    if (!is_nonce(nonce.value_or(rest))) return std::nullopt;
    if (nonce && !are_extensions(rest)) return std::nullopt;
    return out;
}

std::optional<std::string_view> binding_of_final(std::string_view message) noexcept {
    std::string_view rest = message;
    const auto binding = take_field(rest);
    if (!binding || !binding->starts_with("c=") || !is_base64(binding->substr(2)))
        return std::nullopt;
    const auto nonce = take_field(rest);
    if (!nonce || !is_nonce(*nonce)) return std::nullopt;
    while (const auto field = take_field(rest)) {
        if (!is_extension(*field)) return std::nullopt;
    }
    if (!rest.starts_with("p=") || !is_base64(rest.substr(2))) return std::nullopt;
    return binding->substr(2);
}

}  // namespace postern::auth
