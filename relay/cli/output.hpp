#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "relay/admin/json.hpp"

namespace postern::relay::cli {

using admin::Json;

enum class Exit : int { done = 0, refused = 1, usage = 2, unreachable = 3, failure = 4 };

/// Results go to stdout, faults to stderr: "postern: WHAT: WHAT WOULD BE RIGHT", or the API's
/// problem object.
class Output {
  public:
    bool json = false;

    /// One result as a line of JSON.
    void line(const Json& value) const;
    /// Text of a person's; control octets become '?'.
    void text(std::string_view value) const;
    /// A secret, as it is.
    void secret(std::string_view value) const;
    /// Part of a result that is JSON as a whole.
    void json_part(std::string_view before, const Json& value, std::string_view after) const;
    /// A word beside the result, on stderr.
    void note(std::string_view value) const;
    /// Columns as wide as their widest cell; the head in capitals.
    void table(const std::vector<std::string>& head,
               const std::vector<std::vector<std::string>>& rows) const;
    /// "name:  value", values below each other.
    void fields(const std::vector<std::pair<std::string, std::string>>& all) const;

    Exit fault(Exit code, std::string_view what, std::string_view right) const;
    /// Of the API: what `subject` met.
    Exit problem(std::string_view subject, const Json& object) const;
};

/// A field for a person: "" of null, strings as they are, lists joined by a space.
[[nodiscard]] std::string shown(const Json& object, const std::string& field);
/// A time for a person: "2026-03-02 09:15:00".
[[nodiscard]] std::string shown_time(const Json& object, const std::string& field);

}  // namespace postern::relay::cli
