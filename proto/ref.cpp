#include "proto/ref.hpp"

#include <algorithm>
#include <utility>

namespace postern::proto {
namespace {

constexpr std::string_view crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t time_digits = 10;  // 50 bits, of which the upper two are always zero.

constexpr std::array<std::int8_t, 256> make_digits() {
    std::array<std::int8_t, 256> digits{};
    digits.fill(-1);
    for (std::size_t i = 0; i < crockford.size(); ++i) {
        digits[static_cast<unsigned char>(crockford[i])] = static_cast<std::int8_t>(i);
    }
    return digits;
}
constexpr auto crockford_digits = make_digits();

int digit_of(char c) noexcept {
    return crockford_digits[static_cast<unsigned char>(c)];
}

char canonical_digit(char c) noexcept {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    switch (c) {
        case 'I':
        case 'L':
            return '1';
        case 'O':
            return '0';
        default:
            return c;
    }
}

}  // namespace

std::string make_ref(std::uint64_t unix_ms, const RefRandom& random) {
    std::string out(ref_length, '0');
    std::uint64_t time = unix_ms & ((std::uint64_t{1} << 48U) - 1);
    for (std::size_t i = time_digits; i-- > 0; time >>= 5U) out[i] = crockford[time & 31U];
    // Five octets are eight digits.
    std::size_t at = time_digits;
    for (std::size_t half = 0; half < 2; ++half) {
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < 5; ++i) bits = (bits << 8U) | random[half * 5 + i];
        for (unsigned shift = 40; shift > 0; shift -= 5) {
            out[at++] = crockford[(bits >> (shift - 5)) & 31U];
        }
    }
    return out;
}

bool is_ref(std::string_view text) noexcept {
    return text.size() == ref_length && digit_of(text.front()) >= 0 &&
           digit_of(text.front()) <= 7 &&
           std::ranges::all_of(text, [](char c) { return digit_of(c) >= 0; });
}

std::optional<std::string> parse_ref(std::string_view text) {
    if (text.size() != ref_length) return std::nullopt;
    std::string out(text);
    std::ranges::transform(out, out.begin(), canonical_digit);
    if (!is_ref(out)) return std::nullopt;
    return out;
}

std::optional<std::uint64_t> ref_time(std::string_view ref) noexcept {
    if (!is_ref(ref)) return std::nullopt;
    std::uint64_t time = 0;
    for (const char c : ref.substr(0, time_digits)) {
        time = (time << 5U) | static_cast<std::uint64_t>(digit_of(c));
    }
    return time;
}

}  // namespace postern::proto
