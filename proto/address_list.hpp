#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "proto/address.hpp"

namespace postern::proto {

/// Against fields that are mostly addresses: what one From, Sender or Reply-To may hold.
struct AddressListBounds {
    std::size_t octets = 65536;
    std::size_t mailboxes = 100;
    std::size_t comment_depth = 32;
};

struct AddressList {
    bool valid = false;  ///< All of it is an address-list within the bounds. An empty group is
                         ///< valid and holds nobody.
    std::vector<Address> mailboxes;  ///< In their order, groups flattened. Nothing where not valid.
};

/// Parses the body of an originator field (RFC 5322 3.4 and 4.4, RFC 6532): display names, quoted
/// strings, comments, folding, groups, obsolete routes and empty list members, UTF-8. An address
/// without a domain is not valid. Never throws on foreign input.
[[nodiscard]] AddressList parse_address_list(std::string_view field_body,
                                             const AddressListBounds& bounds = {});

}  // namespace postern::proto
