#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace postern::relay::event {

/// Longer lines are damage: no event of ours comes near.
inline constexpr std::size_t longest_line = 4U << 20U;

struct LinesRead {
    std::size_t damaged = 0;  ///< Over-long, or torn at the end of the file.
    bool stopped = false;     ///< `each` returned false.
};
/// Calls `each` for each line of a file that holds `needle` (empty: all), without its '\n', until
/// it returns false. Memory is bounded by one line. A line without end is passed over: it is still
/// being written, or was torn.
[[nodiscard]] boost::system::result<LinesRead> read_lines(
    const std::string& path, std::string_view needle,
    const std::function<bool(std::string_view)>& each);

}  // namespace postern::relay::event
