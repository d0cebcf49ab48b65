#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace postern::policy {

/// Why a window's text was not taken.
enum class WindowError : std::uint8_t {
    syntax = 1,  ///< Not AMOUNT/PERIOD ("60/min", "9/10min", "1GiB/day").
    unit,   ///< A unit that is none: s sec second min minute h hour d day week, B KiB MiB GiB TiB.
    range,  ///< Amount 1 to 2^50, period 1 s to 366 days.
};
[[nodiscard]] const boost::system::error_category& window_category() noexcept;
[[nodiscard]] boost::system::error_code make_error_code(WindowError e) noexcept;

/// One window of a limit: `amount` at once, refilled evenly within `period` (GCRA): "60/min" is up
/// to 60 at once, then one a second.
struct Window {
    std::uint64_t amount = 0;  ///< Messages, recipients or octets; 1 to 2^50.
    std::chrono::seconds period{0};

    bool operator==(const Window&) const = default;

    /// How long `cost` takes to refill. Rounded down, so that `amount` at once always fits.
    [[nodiscard]] std::chrono::nanoseconds refill_time(std::uint64_t cost) const noexcept;
    /// "60/min", "9/10min", "1GiB/day"; sizes only where the amount is whole KiB.
    [[nodiscard]] std::string text() const;
};

/// "60/min", "9/10min", "1000/hour", "5000/day", "1GiB/day". Blanks around the parts are let
/// through, case of units is not minded. Never throws.
[[nodiscard]] boost::system::result<Window> parse_window(std::string_view text);

}  // namespace postern::policy

template <>
struct boost::system::is_error_code_enum<postern::policy::WindowError> : std::true_type {};
