#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::relay::sink {

/// The sink's own reading of a mail's octets (RFC 5321 4.5.2), apart from the relay's, so that no
/// error is shared: a line ends with CRLF and with nothing else, a first dot is removed, a line
/// that is one dot ends the mail.
class DotReader {
  public:
    /// Reads up to the end of the mail; appends what it unstuffed to `into`, if given. Returns how
    /// many octets it took.
    std::size_t feed(std::string_view octets, std::string* into);

    [[nodiscard]] bool done() const noexcept { return state_ == State::done; }
    /// Octets of the mail so far, unstuffed.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] bool eight_bit() const noexcept { return eight_bit_; }

  private:
    enum class State : std::uint8_t { line_start, dot, dot_cr, text, done };

    void keep(std::string_view octets, std::string* into);

    State state_ = State::line_start;
    bool after_cr_ = false;
    bool eight_bit_ = false;
    std::uint64_t size_ = 0;
};

}  // namespace postern::relay::sink
