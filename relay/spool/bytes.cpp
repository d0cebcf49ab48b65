#include "relay/spool/bytes.hpp"

namespace postern::relay::spool {
namespace {

template <class Int>
void put(std::string& out, Int v) {
    for (std::size_t i = 0; i < sizeof v; ++i) {
        out.push_back(static_cast<char>(static_cast<unsigned char>(v >> (8 * i))));
    }
}

template <class Int>
Int get(std::string_view b) noexcept {
    Int v = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        v = static_cast<Int>(v | static_cast<Int>(static_cast<unsigned char>(b[i])) << (8 * i));
    }
    return v;
}

}  // namespace

void put_u8(std::string& out, std::uint8_t v) {
    out.push_back(static_cast<char>(v));
}
void put_u32(std::string& out, std::uint32_t v) {
    put(out, v);
}
void put_u64(std::string& out, std::uint64_t v) {
    put(out, v);
}
void put_text(std::string& out, std::string_view v) {
    put_u32(out, static_cast<std::uint32_t>(v.size()));
    out.append(v);
}

void ByteReader::fail() noexcept {
    ok_ = false;
    rest_ = {};
}

std::string_view ByteReader::take(std::size_t n) noexcept {
    if (n > rest_.size()) {
        fail();
        return {};
    }
    const std::string_view out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
}

std::uint8_t ByteReader::u8() noexcept {
    const std::string_view b = take(1);
    return b.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(b.front());
}
std::uint32_t ByteReader::u32() noexcept {
    return get<std::uint32_t>(take(4));
}
std::uint64_t ByteReader::u64() noexcept {
    return get<std::uint64_t>(take(8));
}
std::string_view ByteReader::text() noexcept {
    return take(u32());
}

std::uint32_t ByteReader::count(std::size_t least) noexcept {
    const std::uint32_t n = u32();
    if (n > rest_.size() / least) {
        fail();
        return 0;
    }
    return n;
}

}  // namespace postern::relay::spool
