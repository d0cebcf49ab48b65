#include "relay/admin/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <stdexcept>

#include "relay/event/json.hpp"

namespace postern::relay::admin {
namespace {

using std::chrono::system_clock;

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
    if (at + count > text.size()) return std::nullopt;
    int value = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + at + count, value);
    const bool all = error == std::errc{} && end == text.data() + at + count;
    return all && text[at] >= '0' && text[at] <= '9' ? std::optional(value) : std::nullopt;
}

/// "Z" or "+01:00" as what is to be taken off; empty where it is neither.
std::optional<std::chrono::minutes> offset(std::string_view text) {
    if (text == "Z" || text == "z") return std::chrono::minutes(0);
    if (text.size() != 6 || text[3] != ':' || (text[0] != '+' && text[0] != '-'))
        return std::nullopt;
    const auto hours = digits(text, 1, 2);
    const auto minutes = digits(text, 4, 2);
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    const auto value = std::chrono::minutes(*hours * 60 + *minutes);
    return text[0] == '+' ? value : -value;
}

/// RFC 3339 5.6.
std::optional<system_clock::time_point> rfc3339(std::string_view text) {
    constexpr std::size_t shortest = 20;
    if (text.size() < shortest || text[4] != '-' || text[7] != '-' || text[13] != ':' ||
        text[16] != ':') {
        return std::nullopt;
    }
    if (text[10] != 'T' && text[10] != 't' && text[10] != ' ') return std::nullopt;
    const auto year = digits(text, 0, 4);
    const auto month = digits(text, 5, 2);
    const auto day = digits(text, 8, 2);
    const auto hour = digits(text, 11, 2);
    const auto minute = digits(text, 14, 2);
    const auto second = digits(text, 17, 2);
    if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
    const std::chrono::year_month_day date(std::chrono::year(*year),
                                           std::chrono::month(static_cast<unsigned>(*month)),
                                           std::chrono::day(static_cast<unsigned>(*day)));
    if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
    std::size_t at = 19;
    std::int64_t micros = 0;
    if (at < text.size() && text[at] == '.') {
        std::int64_t unit = 100'000;
        for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, unit /= 10) {
            micros += unit * (text[at] - '0');
        }
    }
    const auto zone = offset(text.substr(at));
    if (!zone) return std::nullopt;
    return system_clock::time_point(std::chrono::sys_days(date)) + std::chrono::hours(*hour) +
           std::chrono::minutes(*minute) - *zone + std::chrono::seconds(*second) +
           std::chrono::microseconds(micros);
}

}  // namespace

std::optional<std::chrono::seconds> parse_age(std::string_view text) {
    if (text.size() < 2 || text.front() < '0' || text.front() > '9') return std::nullopt;
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() - 1) return std::nullopt;
    switch (text.back()) {
        case 's':
            return std::chrono::seconds(value);
        case 'm':
            return std::chrono::minutes(value);
        case 'h':
            return std::chrono::hours(value);
        case 'd':
            return std::chrono::hours(24) * value;
        default:
            return std::nullopt;
    }
}

std::string dump(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Response json_response(const Json& value) {
    return {200, "application/json", dump(value) + "\n"};
}

Json time_or_null(const std::optional<system_clock::time_point>& t) {
    return t ? Json(event::time_text(*t)) : Json(nullptr);
}

Json text_or_null(std::string_view text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

std::optional<system_clock::time_point> parse_time(std::string_view text,
                                                   system_clock::time_point now) {
    if (const auto t = rfc3339(text)) return t;
    if (const auto before = parse_age(text)) return now - *before;
    return std::nullopt;
}

Problem invalid(std::string detail, std::string field) {
    return {400, "invalid", std::move(detail), std::move(field)};
}
Problem not_found(std::string detail) {
    return {404, "not_found", std::move(detail), ""};
}
Problem not_ready(std::string detail) {
    return {503, "not_ready", std::move(detail), ""};
}
Problem internal(std::string detail) {
    return {500, "internal", std::move(detail), ""};
}

void throw_exception_from_error(const Problem& problem, const boost::source_location&) {
    throw std::logic_error(problem.detail);
}

Response problem(const Problem& p) {
    Json out;
    out["type"] = "about:blank";
    out["title"] = p.code;
    out["status"] = p.status;
    out["detail"] = p.detail;
    out["code"] = p.code;
    if (!p.field.empty()) out["field"] = p.field;
    for (const Problem::Line& one : p.lines)
        out["lines"].push_back({{"line", one.line}, {"what", one.what}, {"right", one.right}});
    return {p.status, "application/problem+json", dump(out) + "\n"};
}

Checked<Fields> Fields::parse(const std::string& body) {
    Fields fields;
    fields.object_ = Json::object();
    if (body.find_first_not_of(" \t\r\n") == std::string::npos) return fields;
    // Depth is bounded by counting brackets first: the parser itself recurses.
    constexpr std::ptrdiff_t deepest = 1000;
    if (std::ranges::count_if(body, [](char c) { return c == '[' || c == '{'; }) > deepest) {
        return invalid("the body is nested too deep or has too many lists");
    }
    fields.object_ = Json::parse(body, nullptr, false);
    if (!fields.object_.is_object())
        return invalid("the body is no JSON object; send {\"field\": value}");
    return fields;
}

Checked<std::optional<std::string>> Fields::text(const std::string& name) {
    read_.push_back(name);
    const auto it = object_.find(name);
    if (it == object_.end() || it->is_null()) return std::optional<std::string>();
    if (!it->is_string()) return invalid("must be a string", name);
    return std::optional(it->get<std::string>());
}

Checked<std::optional<bool>> Fields::flag(const std::string& name) {
    read_.push_back(name);
    const auto it = object_.find(name);
    if (it == object_.end() || it->is_null()) return std::optional<bool>();
    if (!it->is_boolean()) return invalid("must be true or false", name);
    return std::optional(it->get<bool>());
}

Checked<std::optional<std::vector<std::string>>> Fields::texts(const std::string& name) {
    read_.push_back(name);
    const auto it = object_.find(name);
    if (it == object_.end() || it->is_null()) return std::optional<std::vector<std::string>>();
    if (it->is_string()) return std::optional(std::vector{it->get<std::string>()});
    if (!it->is_array() || !std::ranges::all_of(*it, [](const Json& j) { return j.is_string(); })) {
        return invalid("must be a list of strings", name);
    }
    return std::optional(it->get<std::vector<std::string>>());
}

Checked<std::map<std::string, std::string>> Fields::pairs(const std::string& name) {
    read_.push_back(name);
    std::map<std::string, std::string> out;
    const auto it = object_.find(name);
    if (it == object_.end() || it->is_null()) return out;
    if (!it->is_object()) return invalid("must be an object of strings", name);
    for (const auto& [key, value] : it->items()) {
        if (!value.is_string() && !value.is_null())
            return invalid("must be an object of strings", name);
        out[key] = value.is_string() ? value.get<std::string>() : "";
    }
    return out;
}

Checked<void> Fields::done() const {
    for (const auto& [key, value] : object_.items()) {
        if (std::ranges::find(read_, key) == read_.end()) return invalid("unknown field", key);
    }
    return {};
}

Checked<Query> Fields::as_query() const {
    Query out;
    const auto add = [&](const std::string& key, const Json& value) {
        if (value.is_string()) out.emplace(key, value.get<std::string>());
        if (value.is_number_unsigned())
            out.emplace(key, std::to_string(value.get<std::uint64_t>()));
        if (value.is_boolean()) out.emplace(key, value.get<bool>() ? "true" : "false");
        return value.is_string() || value.is_number_unsigned() || value.is_boolean() ||
               value.is_null();
    };
    for (const auto& [key, value] : object_.items()) {
        if (value.is_array()) {
            for (const Json& item : value) {
                if (!add(key, item)) return invalid("must be a string or a list of strings", key);
            }
        } else if (!add(key, value)) {
            return invalid("must be a string or a list of strings", key);
        }
    }
    return out;
}

}  // namespace postern::relay::admin
