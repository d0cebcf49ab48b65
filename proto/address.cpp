#include "proto/address.hpp"

#include <arpa/inet.h>
#include <idn2.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include "proto/utf8.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t max_local = 64;    // RFC 5321 4.5.3.1.1
constexpr std::size_t max_domain = 255;  // RFC 5321 4.5.3.1.2
constexpr std::size_t max_label = 63;    // RFC 1035 2.3.4

class Category final : public boost::system::error_category {
  public:
    [[nodiscard]] const char* name() const noexcept override { return "postern.address"; }
    [[nodiscard]] std::string message(int value) const override {
        switch (static_cast<AddressError>(value)) {
            case AddressError::syntax:
                return "not a mailbox";
            case AddressError::too_long:
                return "address too long";
            case AddressError::no_domain:
                return "address without a domain";
            case AddressError::needs_smtputf8:
                return "address with non-ASCII octets needs SMTPUTF8";
            case AddressError::bad_utf8:
                return "address is not UTF-8";
        }
        return "unknown address error";
    }
};

constexpr bool is_alnum(char c) noexcept {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

constexpr bool is_high(char c) noexcept {
    return static_cast<unsigned char>(c) >= 0x80;
}

/// atext of RFC 5322 3.2.3; high octets stand for UTF8-non-ascii (RFC 6531 3.3).
constexpr bool is_atext(char c) noexcept {
    return is_alnum(c) || is_high(c) || std::string_view("!#$%&'*+-/=?^_`{|}~").contains(c);
}

bool is_dot_string(std::string_view text) noexcept {
    bool want_atom = true;
    for (const char c : text) {
        if (c == '.') {
            if (want_atom) return false;
            want_atom = true;
        } else if (is_atext(c)) {
            want_atom = false;
        } else {
            return false;
        }
    }
    return !want_atom;
}

/// Octets of the quoted string that `text` begins with, its quotes included; 0 where it is none.
std::size_t quoted_length(std::string_view text) noexcept {
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (is_control(text[i])) return 0;
        if (text[i] == '"') return i + 1;
        if (text[i] == '\\') {
            ++i;
            if (i == text.size() || is_control(text[i]) || is_high(text[i])) return 0;
        }
    }
    return 0;
}

bool is_ip(int family, std::string_view text) noexcept {
    std::array<char, 64> copy{};
    std::array<unsigned char, 16> address{};
    // inet_pton reads up to a NUL, and what stands behind it would go along unseen.
    if (text.size() >= copy.size() || text.contains('\0')) return false;
    std::ranges::copy(text, copy.begin());
    return ::inet_pton(family, copy.data(), address.data()) == 1;
}

/// RFC 5321 4.1.3. No tag but IPv6 is registered.
bool is_literal(std::string_view text) noexcept {
    if (text.size() < 3 || text.back() != ']') return false;
    text = text.substr(1, text.size() - 2);
    constexpr std::string_view tag = "IPv6:";
    if (same_ignoring_case(text.substr(0, tag.size()), tag))
        return is_ip(AF_INET6, text.substr(tag.size()));
    return is_ip(AF_INET, text);
}

/// Labels of letters, digits, hyphens inside, and (seen in the wild, harmless) underscores; high
/// octets are for libidn2 to judge.
bool has_label_syntax(std::string_view domain) noexcept {
    const bool only_ascii = is_ascii(domain);
    while (true) {
        const std::size_t dot = domain.find('.');
        const std::string_view label = domain.substr(0, dot);
        if (label.empty() || label.front() == '-' || label.back() == '-') return false;
        if (only_ascii && label.size() > max_label) return false;
        if (!std::ranges::all_of(
                label, [](char c) { return is_alnum(c) || is_high(c) || c == '-' || c == '_'; })) {
            return false;
        }
        if (dot == std::string_view::npos) return true;
        domain.remove_prefix(dot + 1);
    }
}

/// The A-label form of a domain with non-ASCII octets, lower case; empty where it has none.
std::string a_labels(std::string_view domain) {
    const std::string copy(domain);
    std::uint8_t* found = nullptr;
    const int status = ::idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(copy.c_str()), &found,
                                        IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    const std::unique_ptr<std::uint8_t, decltype(&::idn2_free)> owner(found, &::idn2_free);
    if (status != IDN2_OK || found == nullptr) return {};
    return to_lower(reinterpret_cast<const char*>(found));
}

boost::system::result<void> check_domain(std::string_view domain) {
    if (domain.empty()) return AddressError::no_domain;
    if (domain.size() > max_domain) return AddressError::too_long;
    if (domain.front() == '[') {
        if (!is_literal(domain)) return AddressError::syntax;
        return {};
    }
    if (!has_label_syntax(domain)) return AddressError::syntax;
    if (!is_ascii(domain)) {
        const std::string labels = a_labels(domain);
        if (labels.empty() || !has_label_syntax(labels)) return AddressError::syntax;
        if (labels.size() > max_domain) return AddressError::too_long;
    }
    return {};
}

std::string unquoted(std::string_view local) {
    if (local.size() < 2 || local.front() != '"') return std::string(local);
    std::string out;
    for (std::size_t i = 1; i + 1 < local.size(); ++i) {
        if (local[i] == '\\' && i + 2 < local.size()) ++i;
        out += local[i];
    }
    return out;
}

}  // namespace

const boost::system::error_category& address_category() noexcept {
    static const Category category;
    return category;
}

boost::system::error_code make_error_code(AddressError e) noexcept {
    return {static_cast<int>(e), address_category()};
}

std::string Address::text() const {
    if (domain.empty()) return local;
    std::string out;
    out.reserve(local.size() + 1 + domain.size());
    out += local;
    out += '@';
    out += domain;
    return out;
}

bool Address::ascii() const noexcept {
    return is_ascii(local) && is_ascii(domain);
}

std::string Address::normalised() const {
    std::string out = fold_case(unquoted(local));
    if (!domain.empty()) {
        out += '@';
        out += normalised_domain(domain);
    }
    return out;
}

boost::system::result<Address> parse_mailbox(std::string_view text, bool smtputf8) {
    if (!valid_utf8(text)) return AddressError::bad_utf8;
    if (!smtputf8 && !is_ascii(text)) return AddressError::needs_smtputf8;
    if (text.empty()) return AddressError::syntax;

    std::size_t length = 0;
    if (text.front() == '"') {
        length = quoted_length(text);
        if (length == 0) return AddressError::syntax;
    } else {
        length = std::min(text.find('@'), text.size());
        if (!is_dot_string(text.substr(0, length))) return AddressError::syntax;
    }
    if (length > max_local) return AddressError::too_long;
    if (length == text.size()) return AddressError::no_domain;
    if (text[length] != '@') return AddressError::syntax;
    const std::string_view domain = text.substr(length + 1);
    if (const auto checked = check_domain(domain); !checked) return checked.error();
    return Address{std::string(text.substr(0, length)), std::string(domain)};
}

std::string normalised_domain(std::string_view domain) {
    if (!is_ascii(domain) && valid_utf8(domain) && !domain.contains('\0')) {
        if (std::string labels = a_labels(domain); !labels.empty()) return labels;
    }
    return to_lower(domain);
}

std::string normalised_address(std::string_view text) {
    if (const auto address = parse_mailbox(text, true)) return address->normalised();
    return fold_case(text);
}

}  // namespace postern::proto
