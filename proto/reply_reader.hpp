#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/reply.hpp"

namespace postern::proto {

/// Octets of text that a foreign reply keeps: with its code, enhanced code and [REF] it stays
/// within a reply line of 510.
inline constexpr std::size_t foreign_text_limit = 460;

/// Reads one reply of an upstream after the other (RFC 5321 4.2) from octets however cut. Lines end
/// in CRLF; a lone CR or LF belongs to the text. Memory is bounded by the largest reply
/// allowed.
class ReplyReader {
  public:
    struct Bounds {
        std::size_t reply_octets =
            65536;  ///< One reply with all its lines: against endless replies.
    };
    enum class Status : std::uint8_t {
        need_more,  ///< All of the input is consumed.
        done,       ///< A reply is whole: code(), lines(), reply().
        too_long,   ///< Final.
        bad,        ///< No SMTP, or lines of one reply with different codes. Final.
    };

    ReplyReader() = default;
    explicit ReplyReader(Bounds bounds) : bounds_(bounds) {}

    /// Consumes from the front of `input` up to the end of one reply. After `done` the next call
    /// begins a new one.
    [[nodiscard]] Status read(std::string_view& input);

    /// Octets of a reply that is not whole are held.
    [[nodiscard]] bool partial() const noexcept {
        return status_ == Status::need_more && octets_ > 0;
    }

    [[nodiscard]] int code() const noexcept { return code_; }
    /// Texts of the lines as they came, without code and separator.
    [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }
    /// As behaviour asks: lines joined by one space, cleaned, an enhanced code of the right class
    /// (2.0.0, 4.0.0 or 5.0.0 where it had none; empty for 3xx).
    [[nodiscard]] Reply reply() const;

  private:
    [[nodiscard]] Status line_done();

    Bounds bounds_;
    Status status_ = Status::need_more;
    std::size_t octets_ = 0;
    int code_ = 0;
    std::string line_;
    std::vector<std::string> lines_;
};

}  // namespace postern::proto
