#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::proto {

/// Bounds of command lines, in octets with their CRLF. They stop a peer that fills memory with a
/// line without end.
struct LineLimits {
    std::size_t command =
        4096;                  ///< RFC 5321 4.5.3.1.4 asks for 512; parameters and UTF-8 need more.
    std::size_t auth = 12288;  ///< AUTH and the lines of its exchange, RFC 4954 4.
    std::size_t passed_over = std::size_t{1}
                              << 20U;  ///< Of one line, behind what was wrong with it.
};

/// Cuts command lines out of what arrives, the same however it was cut. Strict: a line ends in
/// CRLF; a lone CR, a lone LF or a NUL spoils it, is reported as soon as seen, and the line's rest
/// up to CRLF is passed over. An overlong line is passed over to its end and then reported. One
/// that has no end within the bound is not worth more reading: the connection is to end. Holds
/// octets only of a line that is not whole yet.
class LineReader {
  public:
    enum class Kind : std::uint8_t {
        more,  ///< All input is consumed.
        line,
        bad_octets,  ///< `line` is what stood before them.
        too_long,
        auth_too_long,  ///< A line that began with AUTH, or belongs to its exchange.
        endless,        ///< Final: LineLimits::passed_over was exceeded.
    };
    struct Result {
        Kind kind;
        std::string_view
            line;  ///< Without CRLF. Valid until the next call; lies in `input` or in here.
    };
    enum class Mode : std::uint8_t { command, exchange };

    explicit LineReader(LineLimits limits = {}) : limits_(limits) {}

    /// Consumes from `input` up to the end of a line.
    [[nodiscard]] Result read(std::string_view& input, Mode mode);

    /// Nothing of a line has been consumed yet.
    [[nodiscard]] bool at_start() const noexcept {
        return (held_.empty() || done_) && !after_cr_ && skip_ == Skip::no;
    }

    /// Overwrites what is held of the line just read: for lines with secrets.
    void wipe_line() noexcept;

  private:
    enum class Skip : std::uint8_t { no, told, too_long, auth_too_long };

    [[nodiscard]] Result gather(std::string_view& input, Mode mode);
    void begin_skip(Skip how) noexcept;
    [[nodiscard]] bool skip_to_end(std::string_view& input) noexcept;
    void hold(char c);
    void release() noexcept;

    LineLimits limits_;
    std::string held_;
    std::size_t may_skip_ = 0;  ///< Of the line that is passed over.
    Skip skip_ = Skip::no;
    bool after_cr_ = false;
    bool done_ = false;  ///< held_ is the line last reported.
};

}  // namespace postern::proto
