#include "proto/parameters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>

#include "proto/utf8.hpp"
#include "proto/xtext.hpp"

namespace postern::proto {

namespace {

constexpr std::size_t max_envid = 100;       // RFC 3461 4.4
constexpr std::size_t max_orcpt = 500;       // RFC 3461 4.2
constexpr std::size_t max_size_digits = 20;  // RFC 1870 3

using Value = std::optional<std::string_view>;  // Unset: no `=`.

template <class Target>
struct ParameterRow {
    std::string_view keyword;
    ParameterFault (*read)(Value value, Target& target);
};

constexpr ParameterFault good_if(bool good) noexcept {
    return good ? ParameterFault::none : ParameterFault::bad;
}

bool is_keyword(std::string_view text) noexcept {
    const auto alnum = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !text.empty() && alnum(text.front()) &&
           std::ranges::all_of(text, [&](char c) { return alnum(c) || c == '-'; });
}

ParameterFault read_size(Value value, Envelope& envelope) {
    if (!value || value->empty() || value->size() > max_size_digits) return ParameterFault::bad;
    if (!std::ranges::all_of(*value, [](char c) { return c >= '0' && c <= '9'; }))
        return ParameterFault::bad;
    const auto read =
        std::from_chars(value->data(), value->data() + value->size(), envelope.declared_size);
    if (read.ec != std::errc{}) envelope.declared_size = std::numeric_limits<std::uint64_t>::max();
    return ParameterFault::none;
}

ParameterFault read_body(Value value, Envelope& envelope) {
    if (!value) return ParameterFault::bad;
    if (same_ignoring_case(*value, "7BIT")) {
        envelope.body = Body::seven_bit;
    } else if (same_ignoring_case(*value, "8BITMIME")) {
        envelope.body = Body::eight_bit_mime;
    } else {
        return same_ignoring_case(*value, "BINARYMIME") ? ParameterFault::unknown
                                                        : ParameterFault::bad;
    }
    return ParameterFault::none;
}

ParameterFault read_smtputf8(Value value, Envelope& envelope) {
    envelope.smtputf8 = true;
    return good_if(!value);
}

ParameterFault read_ret(Value value, Envelope& envelope) {
    if (!value) return ParameterFault::bad;
    if (same_ignoring_case(*value, "FULL")) {
        envelope.ret = Ret::full;
    } else if (same_ignoring_case(*value, "HDRS")) {
        envelope.ret = Ret::headers;
    } else {
        return ParameterFault::bad;
    }
    return ParameterFault::none;
}

ParameterFault read_envid(Value value, Envelope& envelope) {
    if (!value || value->size() > max_envid || !valid_xtext(*value)) return ParameterFault::bad;
    envelope.envid = *value;
    return ParameterFault::none;
}

ParameterFault read_auth(Value value, Envelope& /*envelope*/) {
    return good_if(value && (*value == "<>" || valid_xtext(*value)));
}

ParameterFault read_notify(Value value, Recipient& recipient) {
    if (!value) return ParameterFault::bad;
    Notify notify;
    std::string_view rest = *value;
    while (true) {
        const std::size_t comma = rest.find(',');
        const std::string_view word = rest.substr(0, comma);
        bool* const flag = same_ignoring_case(word, "NEVER")     ? &notify.never
                           : same_ignoring_case(word, "SUCCESS") ? &notify.success
                           : same_ignoring_case(word, "FAILURE") ? &notify.failure
                           : same_ignoring_case(word, "DELAY")   ? &notify.delay
                                                                 : nullptr;
        if (flag == nullptr || *flag) return ParameterFault::bad;
        *flag = true;
        if (comma == std::string_view::npos) break;
        rest.remove_prefix(comma + 1);
    }
    if (notify.never && (notify.success || notify.failure || notify.delay))
        return ParameterFault::bad;
    recipient.notify = notify;
    return ParameterFault::none;
}

bool valid_orcpt(std::string_view text, bool smtputf8) noexcept {
    const std::size_t semicolon = text.find(';');
    if (text.size() > max_orcpt || semicolon == std::string_view::npos) return false;
    const std::string_view type = text.substr(0, semicolon);
    const std::string_view address = text.substr(semicolon + 1);
    if (!is_keyword(type)) return false;
    if (is_ascii(address)) return valid_xtext(address);
    if (!smtputf8 || !same_ignoring_case(type, "utf-8") || !valid_utf8(address)) return false;
    return std::ranges::none_of(
        address, [](char c) { return is_control(c) || c == ' ' || c == '+' || c == '='; });
}

/// Walks over ` keyword[=value]`; each may come once.
template <class Target, std::size_t Count>
ParameterFault read_all(std::string_view text, const std::array<ParameterRow<Target>, Count>& rows,
                        Target& target) {
    std::array<bool, Count> seen{};
    while (true) {
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        if (text.empty()) return ParameterFault::none;
        const std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(word.size());
        const std::size_t equals = word.find('=');
        const std::string_view keyword = word.substr(0, equals);
        if (!is_keyword(keyword)) return ParameterFault::bad;
        const auto row = std::ranges::find_if(rows, [&](const ParameterRow<Target>& r) {
            return same_ignoring_case(r.keyword, keyword);
        });
        if (row == rows.end()) return ParameterFault::unknown;
        bool& once = seen.at(static_cast<std::size_t>(row - rows.begin()));
        if (once) return ParameterFault::bad;
        once = true;
        const Value value =
            equals == std::string_view::npos ? Value{} : Value{word.substr(equals + 1)};
        if (const ParameterFault fault = row->read(value, target); fault != ParameterFault::none)
            return fault;
    }
}

constexpr std::array<ParameterRow<Envelope>, 6> mail_rows{{
    {"SIZE", read_size},          // RFC 1870
    {"BODY", read_body},          // RFC 6152
    {"SMTPUTF8", read_smtputf8},  // RFC 6531
    {"RET", read_ret},            // RFC 3461
    {"ENVID", read_envid},        // RFC 3461
    {"AUTH", read_auth},          // RFC 4954
}};

}  // namespace

ParameterFault read_mail_parameters(std::string_view text, Envelope& envelope) {
    return read_all(text, mail_rows, envelope);
}

ParameterFault read_rcpt_parameters(std::string_view text, bool smtputf8, Recipient& recipient) {
    struct Target {
        Recipient& recipient;
        bool smtputf8;
    };
    static constexpr std::array<ParameterRow<Target>, 2> rows{{
        {"NOTIFY",
         [](Value value, Target& target) { return read_notify(value, target.recipient); }},
        {"ORCPT",
         [](Value value, Target& target) {
             if (!value || !valid_orcpt(*value, target.smtputf8)) return ParameterFault::bad;
             target.recipient.orcpt = *value;
             return ParameterFault::none;
         }},
    }};
    Target target{recipient, smtputf8};
    return read_all(text, rows, target);
}

}  // namespace postern::proto
