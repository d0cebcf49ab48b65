// Address lists: what is taken can be taken again, address by address, and no list outgrows its
// bounds.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proto/address_list.hpp"

namespace {

void require(bool what) {
    if (!what) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace postern::proto;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const AddressList list = parse_address_list(text);
    require(list.valid || list.mailboxes.empty());
    require(list.mailboxes.size() <= 100);
    std::string again;
    for (const Address& mailbox : list.mailboxes) {
        require(!mailbox.domain.empty());
        const auto parsed = parse_mailbox(mailbox.text(), true);
        require(parsed.has_value() && *parsed == mailbox);
        again += (again.empty() ? "<" : ", <") + mailbox.text() + ">";
    }
    if (list.valid) {
        const AddressList second = parse_address_list(again);
        require(second.valid && second.mailboxes == list.mailboxes);
    }
    return 0;
}
