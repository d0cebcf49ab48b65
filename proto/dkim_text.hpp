#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace postern::proto {

/// Where canonical octets go: into a hash.
class OctetSink {
  public:
    OctetSink() = default;
    OctetSink(const OctetSink&) = delete;
    OctetSink& operator=(const OctetSink&) = delete;
    virtual ~OctetSink() = default;
    virtual void take(std::string_view octets) = 0;
};

/// The relaxed form of a body (RFC 6376 3.4.4), however it is cut: white space at the end of a line
/// goes, other runs of it become one space, empty lines at the end go, and what is left ends in
/// CRLF. Memory does not grow with the body.
class RelaxedBody {
  public:
    explicit RelaxedBody(OctetSink& sink) noexcept : sink_(sink) {}
    void feed(std::string_view octets);
    /// The body is at its end: hands on what was held back.
    void finish();

  private:
    void text(std::string_view run);
    void put(std::string_view octets);
    void flush();

    OctetSink& sink_;
    std::array<char, 4096> buffer_;  ///< What the sink gets next: words alone are small.
    std::size_t used_ = 0;
    std::uint64_t ends_ = 0;  ///< Line ends since the last text: they count once text follows.
    bool space_ = false;      ///< White space since the last text of this line.
    bool cr_ = false;
    bool any_ = false;  ///< There was text.
};

/// Takes a message apart for its signature, however it is cut: the header section is gathered, the
/// body handed on in its relaxed form. Octets are those that go out: CRLF lines, not stuffed.
class SigningReader {
  public:
    /// More than this of a header section is not gathered: what policy lets pass has less.
    static constexpr std::size_t header_limit = std::size_t{2} * 1024 * 1024;

    explicit SigningReader(OctetSink& body) noexcept : body_(body) {}
    void feed(std::string_view octets);
    void finish();
    /// The fields with their line ends; the empty line behind them is not among them.
    [[nodiscard]] const std::string& header() const noexcept { return header_; }
    [[nodiscard]] bool overlong() const noexcept { return overlong_; }

  private:
    void keep(std::string_view octets);

    RelaxedBody body_;
    std::string header_;
    bool in_header_ = true;
    bool line_start_ = true;
    bool cr_ = false;  ///< At the start of a line: the next octet says whether it is the empty one.
    bool overlong_ = false;
};

}  // namespace postern::proto
