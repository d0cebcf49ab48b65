#include "relay/cli/output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "proto/reply.hpp"

namespace postern::relay::cli {
namespace {

/// JSON in ASCII alone: C1 and bidirectional controls move a terminal as well as C0 do.
std::string dump_for_terminal(const Json& value) {
    const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (c == '\x7f') {
            out += "\\u007f";
        } else {
            out += c;
        }
    }
    return out;
}

std::string for_terminal(std::string_view text) {
    constexpr std::size_t longest = 64U << 10U;
    return proto::clean_text(text, longest);
}

void write(std::FILE* file, std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), file);
    std::fflush(file);
}

std::size_t width(std::string_view text) {
    // Continuation octets of UTF-8 take no column.
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string one_value(const Json& value) {
    if (value.is_null()) return "";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_array()) {
        std::string out;
        for (const Json& item : value) out += (out.empty() ? "" : " ") + one_value(item);
        return out;
    }
    if (value.is_object()) {
        std::string out;
        for (const auto& [key, item] : value.items()) {
            out += fmt::format("{}{}={}", out.empty() ? "" : " ", key, one_value(item));
        }
        return out;
    }
    return dump_for_terminal(value);
}

}  // namespace

void Output::line(const Json& value) const {
    write(stdout, dump_for_terminal(value) + "\n");
}

void Output::text(std::string_view value) const {
    write(stdout, for_terminal(value) + "\n");
}

void Output::json_part(std::string_view before, const Json& value, std::string_view after) const {
    std::string out(before);
    if (!value.is_null()) out += dump_for_terminal(value);
    write(stdout, out.append(after));
}

void Output::note(std::string_view value) const {
    write(stderr, for_terminal(value) + "\n");
}

void Output::secret(std::string_view value) const {
    write(stdout, value);
    write(stdout, "\n");
}

void Output::table(const std::vector<std::string>& head,
                   const std::vector<std::vector<std::string>>& rows) const {
    if (rows.empty()) return;
    std::vector<std::vector<std::string>> clean{head};
    for (const auto& row : rows) {
        auto& added = clean.emplace_back();
        for (const std::string& cell : row) added.push_back(for_terminal(cell));
    }
    std::vector<std::size_t> widths(head.size());
    for (const auto& row : clean) {
        for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i]));
    }
    std::string out;
    for (const auto& row : clean) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        out += line + "\n";
    }
    write(stdout, out);
}

void Output::fields(const std::vector<std::pair<std::string, std::string>>& all) const {
    std::size_t widest = 0;
    for (const auto& [name, value] : all) widest = std::max(widest, name.size());
    std::string out;
    for (const auto& [name, value] : all) {
        if (value.empty()) continue;
        out += fmt::format("{}:{}{}\n", name, std::string(widest - name.size() + 1, ' '),
                           for_terminal(value));
    }
    write(stdout, out);
}

Exit Output::fault(Exit code, std::string_view what, std::string_view right) const {
    if (json) {
        const bool own = code == Exit::failure;
        const bool away = code == Exit::unreachable;
        const std::string name = own ? "internal" : away ? "not_ready" : "invalid";
        const int status = own ? 500 : away ? 503 : 400;
        const Json object{{"type", "about:blank"},
                          {"title", name},
                          {"status", status},
                          {"detail", fmt::format("{}: {}", what, right)},
                          {"code", name}};
        write(stderr, dump_for_terminal(object) + "\n");
    } else {
        write(stderr, fmt::format("postern: {}: {}\n", for_terminal(what), for_terminal(right)));
    }
    return code;
}

Exit Output::problem(std::string_view subject, const Json& object) const {
    const std::string code = object.value("code", "internal");
    if (json) {
        write(stderr, dump_for_terminal(object) + "\n");
    } else {
        const std::string detail = object.value("detail", "the answer was no problem object");
        const std::string field = object.value("field", "");
        for (const Json& line : object.value("lines", Json::array())) {
            if (!line.is_object()) continue;
            write(stderr, fmt::format("postern: {}:{}: {}: {}\n", for_terminal(subject),
                                      line.value("line", std::size_t{0}),
                                      for_terminal(line.value("what", "")),
                                      for_terminal(line.value("right", ""))));
        }
        const bool lines = detail.find('\n') != std::string::npos;
        if (lines) {
            std::string_view rest = detail;
            while (!rest.empty()) {
                const auto end = std::min(rest.find('\n'), rest.size());
                write(stderr, fmt::format("postern: {}\n", for_terminal(rest.substr(0, end))));
                rest.remove_prefix(std::min(end + 1, rest.size()));
            }
        } else {
            const std::string what =
                field.empty() ? std::string(subject) : fmt::format("{}: {}", subject, field);
            write(stderr,
                  fmt::format("postern: {}: {}\n", for_terminal(what), for_terminal(detail)));
        }
    }
    return code == "internal" ? Exit::failure : Exit::refused;
}

std::string shown(const Json& object, const std::string& field) {
    const auto it = object.find(field);
    return it == object.end() ? "" : one_value(*it);
}

std::string shown_time(const Json& object, const std::string& field) {
    std::string text = shown(object, field);
    constexpr std::size_t to_seconds = 19;
    if (text.size() > to_seconds && text[10] == 'T') {
        text.resize(to_seconds);
        text[10] = ' ';
    }
    return text;
}

}  // namespace postern::relay::cli
