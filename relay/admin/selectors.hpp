#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "relay/admin/json.hpp"

namespace postern::relay::admin {

/// A query read name by name; a name that nobody read is an error, for a selector that is passed
/// over selects too much.
class Selectors {
  public:
    Selectors(const Query& query, std::chrono::system_clock::time_point now)
        : query_(query), now_(now) {}

    [[nodiscard]] std::vector<std::string> texts(const std::string& name);
    [[nodiscard]] std::string text(const std::string& name);
    [[nodiscard]] bool flag(const std::string& name) { return text(name) == "true"; }
    [[nodiscard]] Checked<std::optional<std::chrono::system_clock::time_point>> time(
        const std::string& name);
    /// A whole number from `least` to `most`; `unset` where it is not there.
    [[nodiscard]] Checked<std::size_t> number(const std::string& name, std::size_t unset,
                                              std::size_t most, std::size_t least = 1);
    [[nodiscard]] Checked<void> done() const;

  private:
    const Query& query_;
    std::chrono::system_clock::time_point now_;
    std::vector<std::string> read_;
};

/// Where no event of the journal is called so (which would find nothing, as if nothing had
/// happened): what would be right.
[[nodiscard]] std::optional<std::string> instead_of_event(std::string_view name);

inline constexpr std::size_t default_page = 100;
inline constexpr std::size_t largest_page = 1000;

}  // namespace postern::relay::admin
