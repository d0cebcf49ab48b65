#pragma once

#include <string_view>
#include <vector>

namespace postern::proto {

/// What ends the data of DATA once the text has ended in CRLF.
inline constexpr std::string_view final_dot = ".\r\n";

/// Outward dot-stuffing (RFC 5321 4.5.2) of a text that comes in pieces, without copying: what is
/// to be written is a sequence of views into the pieces and into static text. The text must hold
/// CRLF line ends only and not be stuffed. A dot after any LF is stuffed, so that nothing after a
/// lone LF could end the data either.
class DotStuffer {
  public:
    /// Appends the views that carry `piece`. Without a dot at the start of a line that is one view.
    void add(std::string_view piece, std::vector<std::string_view>& out);

    /// Ends the text: appends CRLF unless it ended in one (or is empty). A text that ends in a lone
    /// CR gets CRLF after it, and so never makes the final dot something else.
    void end_text(std::vector<std::string_view>& out);

    /// end_text() and the final dot. (ClientSession sends the final dot itself: use end_text() with
    /// it.)
    void end_data(std::vector<std::string_view>& out);

  private:
    enum class At : unsigned char { line_start, inside, after_cr, after_lf };
    At at_ = At::line_start;
};

}  // namespace postern::proto
