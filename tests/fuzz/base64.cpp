// Any octets as base64. Property: what decodes encodes to the same text; what is encoded decodes.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/base64.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern::proto;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto octets = base64_decode(text); octets && base64_encode(*octets) != text)
        std::abort();
    if (base64_decode(base64_encode(text)) != text) std::abort();
    return 0;
}
