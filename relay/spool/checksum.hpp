#pragma once

#include <cstdint>
#include <string_view>

namespace postern::relay::spool {

/// CRC-32C (Castagnoli, RFC 3720 B.4) of `bytes`, going on from `crc` (0 at the start).
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc = 0) noexcept;

/// The same from tables, whatever the processor: for tests, and where there is no instruction for
/// it.
[[nodiscard]] std::uint32_t crc32c_by_table(std::string_view bytes, std::uint32_t crc = 0) noexcept;

}  // namespace postern::relay::spool
