#include "proto/body_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace postern::proto {

namespace {

constexpr std::size_t block_size = 64;

/// One bit an octet of a block, the first octet lowest.
struct Masks {
    std::uint64_t cr = 0;
    std::uint64_t lf = 0;
    std::uint64_t nul = 0;
    std::uint64_t dot = 0;
};

#if defined(__SSE2__)
Masks masks_of(const char* block) noexcept {
    const auto bits = [](__m128i octets, char wanted) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(
            _mm_movemask_epi8(_mm_cmpeq_epi8(octets, _mm_set1_epi8(wanted)))));
    };
    Masks masks;
    for (unsigned part = 0; part < 4; ++part) {
        const __m128i octets =
            _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + part * std::size_t{16}));
        const unsigned shift = part * 16U;
        masks.cr |= bits(octets, '\r') << shift;
        masks.lf |= bits(octets, '\n') << shift;
        masks.nul |= bits(octets, '\0') << shift;
        masks.dot |= bits(octets, '.') << shift;
    }
    return masks;
}
#else
Masks masks_of(const char* block) noexcept {
    Masks masks;
    for (unsigned i = 0; i < block_size; ++i) {
        const std::uint64_t bit = std::uint64_t{1} << i;
        masks.cr |= block[i] == '\r' ? bit : 0;
        masks.lf |= block[i] == '\n' ? bit : 0;
        masks.nul |= block[i] == '\0' ? bit : 0;
        masks.dot |= block[i] == '.' ? bit : 0;
    }
    return masks;
}
#endif

}  // namespace

std::size_t scan_body(std::string_view text, const ScanState& state,
                      const ScanLimits& limits) noexcept {
    std::uint64_t carry_cr = state.after_cr ? 1 : 0;
    std::uint64_t carry_start = state.at_line_start ? 1 : 0;
    std::size_t line_length = state.line_length;  // at the block's beginning
    std::array<char, block_size> last_block;

    for (std::size_t offset = 0; offset < text.size(); offset += block_size) {
        const std::size_t length = std::min(block_size, text.size() - offset);
        const char* block = text.data() + offset;
        if (length < block_size) {
            last_block.fill('x');
            std::copy_n(block, length, last_block.begin());
            block = last_block.data();
        }
        const Masks masks = masks_of(block);
        const std::uint64_t after_cr = masks.cr << 1U | carry_cr;
        const std::uint64_t after_crlf = (masks.lf & after_cr) << 1U | carry_start;
        std::uint64_t events = (masks.lf ^ after_cr) | masks.nul;
        if (limits.dots) events |= masks.dot & after_crlf;

        std::size_t stop =
            std::min<std::size_t>(static_cast<std::size_t>(std::countr_zero(events)), length);
        // Only the block's first line end can close a line that is too long: max_line is at least a
        // block.
        const auto first_lf = static_cast<std::size_t>(std::countr_zero(masks.lf));
        const std::size_t line_end = std::min(first_lf + 1, length);
        if (line_length + line_end > limits.max_line) {
            stop = std::min(stop, limits.max_line - std::min(line_length, limits.max_line));
        }
        if (stop < length) return offset + stop;

        const auto behind_last_lf = static_cast<std::size_t>(std::countl_zero(masks.lf));
        line_length = masks.lf == 0 ? line_length + block_size : behind_last_lf;
        carry_cr = masks.cr >> 63U;
        carry_start = (masks.lf & after_cr) >> 63U;
    }
    return text.size();
}

}  // namespace postern::proto
