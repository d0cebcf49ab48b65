// Any octets as a mailbox and as a path. Property: what was read reads the same again, and its
// normal form is stable.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proto/address.hpp"
#include "proto/path.hpp"
#include "proto/utf8.hpp"

using namespace postern::proto;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

void check(std::string_view text) {
    for (const bool smtputf8 : {false, true}) {
        const auto address = parse_mailbox(text, smtputf8);
        if (!address) continue;
        require(address->text() == text);
        require(!has_control(text) && valid_utf8(text));
        require(smtputf8 || address->ascii());
        require(address->local.size() <= 64 && address->domain.size() <= 255 &&
                !address->domain.empty());
        require(normalised_domain(address->domain) ==
                normalised_domain(normalised_domain(address->domain)));
        require(normalised_address(text) == address->normalised());
    }
    static_cast<void>(normalised_address(text));
    static_cast<void>(normalised_domain(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check(text);
    if (const auto path = split_path(text)) {
        check(path->mailbox);
        static_cast<void>(parse_forward_path(path->mailbox, true));
    }
    return 0;
}
