#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proto/body_scan.hpp"

namespace postern::proto {

/// Bounds of a message body.
struct BodyLimits {
    std::uint64_t max_size = 0;  ///< Octets handed out; 0: none. Stops a peer that fills memory.
    std::size_t max_line =
        64 * 1024;  ///< Octets with CRLF. Stops a line that no reader downstream can hold.
    bool normalize_newlines =
        false;  ///< A lone LF in text becomes CRLF (and never part of an end of data).
};

/// Reads a message's octets, the same however they were cut, and hands out views: nothing is copied
/// or stored. After a fault it reads on to the true end and hands out nothing more. DATA (RFC
/// 5321 4.5.2): CRLF.CRLF alone ends, dots are unstuffed. BDAT (RFC 3030): the caller counts the
/// octets.
class BodyReader {
  public:
    enum class Framing : std::uint8_t { dots, counted };
    enum class Fault : std::uint8_t {
        none,
        octets,  ///< A lone CR, a lone LF, or NUL.
        long_line,
        size,
    };
    enum class Kind : std::uint8_t {
        more,    ///< All input is consumed.
        octets,  ///< `bytes` belongs to the message.
        end,     ///< The end of data has been consumed. Dots only.
    };
    struct Piece {
        Kind kind;
        std::string_view bytes;
        bool is_static = false;  ///< Constant text, not a view into the input.
    };

    BodyReader() = default;
    BodyReader(Framing framing, const BodyLimits& limits) : limits_(limits), framing_(framing) {}

    [[nodiscard]] Piece read(std::string_view& input);

    /// Behind the last octet of a counted body: what must be added so that it ends in CRLF (empty:
    /// nothing, static). A CR at the very end is a fault.
    [[nodiscard]] std::string_view finish();

    /// The caller's own fault, where none came before: a size that was announced.
    void fail(Fault fault) noexcept;

    [[nodiscard]] Fault fault() const noexcept { return fault_; }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }  ///< Octets handed out.

  private:
    enum class At : std::uint8_t {
        line_start,
        text,
        cr,
        dot,     ///< Behind a dot at a line's start, which was taken out.
        dot_cr,  ///< Behind such a dot and a CR.
    };

    [[nodiscard]] Piece give(std::string_view bytes, bool is_static);
    [[nodiscard]] Piece attend(std::string_view& input);
    [[nodiscard]] Piece read_dot(std::string_view& input);
    [[nodiscard]] Piece read_dot_cr(std::string_view& input);
    void advance(std::string_view clean) noexcept;

    BodyLimits limits_;
    std::uint64_t size_ = 0;
    std::size_t line_length_ = 0;
    Framing framing_ = Framing::dots;
    At at_ = At::line_start;
    bool behind_lone_lf_ =
        false;  ///< The line began behind a lone LF: no end of data can begin here.
    Fault fault_ = Fault::none;
};

}  // namespace postern::proto
