#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::proto {

/// What stands before the first octet of a piece of body.
struct ScanState {
    bool after_cr = false;
    bool at_line_start = false;   ///< A CRLF, or the body's beginning, stands before.
    std::size_t line_length = 0;  ///< Octets of the line so far.
};

struct ScanLimits {
    bool dots = false;         ///< A dot at a line's start is looked for.
    std::size_t max_line = 0;  ///< At least 64; a line with its CRLF may have so many octets.
};

/// Length of the clean beginning of `text`: how many octets stand before the first that needs
/// attention. That is a NUL, an LF without CR, the octet behind a CR that is no LF, a dot at a
/// line's start where `dots`, or the octet that makes a line too long. text.size() where there is
/// none. About 64 octets a step. A CR as the last octet is clean.
[[nodiscard]] std::size_t scan_body(std::string_view text, const ScanState& state,
                                    const ScanLimits& limits) noexcept;

}  // namespace postern::proto
