#pragma once

#include <string_view>

namespace postern::relay::process {

/// "1.2.3"
[[nodiscard]] std::string_view version() noexcept;
/// Of the source, 12 hexadecimal digits; "unknown" where it was built without its history.
[[nodiscard]] std::string_view commit() noexcept;
/// RFC 3339 UTC; of the commit (or SOURCE_DATE_EPOCH), so that the same source gives the same
/// program.
[[nodiscard]] std::string_view built() noexcept;

}  // namespace postern::relay::process
