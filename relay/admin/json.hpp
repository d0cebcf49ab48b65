#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay/admin/api.hpp"

namespace postern::relay::admin {

/// Keeps the fields' order, as the documentation has it.
using Json = nlohmann::ordered_json;

/// One line; octets that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string dump(const Json& value);
[[nodiscard]] Response json_response(const Json& value);

/// RFC 3339 with milliseconds; null where it is not set.
[[nodiscard]] Json time_or_null(const std::optional<std::chrono::system_clock::time_point>& t);
/// Null where it is empty.
[[nodiscard]] Json text_or_null(std::string_view text);

/// "2026-03-02T09:15:00Z" (fraction and offset too), or an age before `now`: "2h", "30m", "7d",
/// "45s". Empty optional where it is neither.
[[nodiscard]] std::optional<std::chrono::system_clock::time_point> parse_time(
    std::string_view text, std::chrono::system_clock::time_point now);

/// "2h", "30m", "7d", "45s".
[[nodiscard]] std::optional<std::chrono::seconds> parse_age(std::string_view text);

/// A value, or the problem that the client is told.
template <typename T>
using Checked = boost::system::result<T, Problem>;

/// What an endpoint answers with. A struct of its own: nlohmann's type converts to everything,
/// which a result refuses.
struct Answer {
    Json json;
};

/// The fields of a JSON object, read one by one; what nobody read is an unknown field.
class Fields {
  public:
    [[nodiscard]] static Checked<Fields> parse(const std::string& body);

    [[nodiscard]] Checked<std::optional<std::string>> text(const std::string& name);
    [[nodiscard]] Checked<std::optional<bool>> flag(const std::string& name);
    /// One string serves where a list is asked for.
    [[nodiscard]] Checked<std::optional<std::vector<std::string>>> texts(const std::string& name);
    [[nodiscard]] Checked<std::map<std::string, std::string>> pairs(const std::string& name);
    /// A problem that names a field that nobody asked for.
    [[nodiscard]] Checked<void> done() const;
    /// All fields as selectors: strings, numbers and lists of them.
    [[nodiscard]] Checked<Query> as_query() const;

  private:
    Json object_;
    std::vector<std::string> read_;
};

[[nodiscard]] Problem invalid(std::string detail, std::string field = "");
[[nodiscard]] Problem not_found(std::string detail);
[[nodiscard]] Problem not_ready(std::string detail);
[[nodiscard]] Problem internal(std::string detail);

/// Lets boost::system::result<T, Problem>::value() throw; nothing in postern calls it unchecked.
[[noreturn]] void throw_exception_from_error(const Problem& problem,
                                             const boost::source_location& where);

}  // namespace postern::relay::admin
