#include "relay/spool/checksum.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace postern::relay::spool {
namespace {

constexpr std::uint32_t polynomial = 0x82F63B78U;  // Reflected.

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() noexcept {
    Tables t{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t r = i;
        for (int bit = 0; bit < 8; ++bit) r = (r >> 1U) ^ ((r & 1U) != 0 ? polynomial : 0U);
        t[0][i] = r;
    }
    for (std::size_t k = 1; k < t.size(); ++k) {
        for (std::size_t i = 0; i < 256; ++i) {
            t[k][i] = (t[k - 1][i] >> 8U) ^ t[0][t[k - 1][i] & 0xFFU];
        }
    }
    return t;
}

constexpr Tables tables = make_tables();

std::uint64_t load(const char* p) noexcept {
    std::uint64_t v = 0;
    std::memcpy(&v, p, sizeof v);
    return v;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t by_instruction(std::string_view bytes,
                                                               std::uint32_t crc) noexcept {
    std::uint64_t r = static_cast<std::uint32_t>(~crc);
    const char* p = bytes.data();
    std::size_t n = bytes.size();
    for (; n >= 8; n -= 8, p += 8) r = _mm_crc32_u64(r, load(p));
    auto tail = static_cast<std::uint32_t>(r);
    for (; n > 0; --n, ++p) tail = _mm_crc32_u8(tail, static_cast<unsigned char>(*p));
    return ~tail;
}
#endif

}  // namespace

std::uint32_t crc32c_by_table(std::string_view bytes, std::uint32_t crc) noexcept {
    std::uint32_t r = ~crc;
    const char* p = bytes.data();
    std::size_t n = bytes.size();
    if constexpr (std::endian::native == std::endian::little) {
        for (; n >= 8; n -= 8, p += 8) {
            const std::uint64_t v = load(p) ^ r;
            r = tables[7][v & 0xFFU] ^ tables[6][(v >> 8U) & 0xFFU] ^
                tables[5][(v >> 16U) & 0xFFU] ^ tables[4][(v >> 24U) & 0xFFU] ^
                tables[3][(v >> 32U) & 0xFFU] ^ tables[2][(v >> 40U) & 0xFFU] ^
                tables[1][(v >> 48U) & 0xFFU] ^ tables[0][v >> 56U];
        }
    }
    for (; n > 0; --n, ++p) {
        r = (r >> 8U) ^ tables[0][(r ^ static_cast<unsigned char>(*p)) & 0xFFU];
    }
    return ~r;
}

std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc) noexcept {
#if defined(__x86_64__)
    static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
    if (has_instruction) return by_instruction(bytes, crc);
#endif
    return crc32c_by_table(bytes, crc);
}

}  // namespace postern::relay::spool
