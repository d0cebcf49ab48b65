#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::relay::spool {

/// Little-endian integers and strings with their length before them.
void put_u8(std::string& out, std::uint8_t v);
void put_u32(std::string& out, std::uint32_t v);
void put_u64(std::string& out, std::uint64_t v);
void put_text(std::string& out, std::string_view v);  ///< u32 length, octets

/// Reads them back from foreign bytes. Past the end or after any fault everything reads as zero or
/// empty, and ok() says false.
class ByteReader {
  public:
    explicit ByteReader(std::string_view bytes) noexcept : rest_(bytes) {}

    [[nodiscard]] std::uint8_t u8() noexcept;
    [[nodiscard]] std::uint32_t u32() noexcept;
    [[nodiscard]] std::uint64_t u64() noexcept;
    [[nodiscard]] std::string_view text() noexcept;
    /// A count of things that take at least `least` octets each: a count that cannot be is a fault.
    [[nodiscard]] std::uint32_t count(std::size_t least) noexcept;

    [[nodiscard]] bool ok() const noexcept { return ok_; }
    [[nodiscard]] bool done() const noexcept { return ok_ && rest_.empty(); }
    void fail() noexcept;

  private:
    [[nodiscard]] std::string_view take(std::size_t n) noexcept;

    std::string_view rest_;
    bool ok_ = true;
};

}  // namespace postern::relay::spool
