// PROXY headers: decided once and for good as octets come in, and consumed within their bounds.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/proxy.hpp"

namespace {

void require(bool what) {
    if (!what) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern::proto;
    const std::string_view octets(reinterpret_cast<const char*>(data), size);
    const ProxyResult whole = parse_proxy(octets);
    bool decided = false;
    for (std::size_t n = 0; n <= octets.size(); ++n) {
        const ProxyResult part = parse_proxy(octets.substr(0, n));
        if (part.status == ProxyResult::Status::need_more) {
            require(!decided);
            require(n < 16 + proxy_v2_payload_limit);
            continue;
        }
        if (!decided && part.status == ProxyResult::Status::done) require(part.consumed == n);
        decided = true;
        require(part.status == whole.status && part.consumed == whole.consumed &&
                part.header == whole.header);
    }
    if (whole.status == ProxyResult::Status::done && !whole.header.local) {
        require(!whole.header.source.empty() && !whole.header.destination.empty());
    }
    return 0;
}
