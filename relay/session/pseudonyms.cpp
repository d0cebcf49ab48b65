#include "relay/session/pseudonyms.hpp"

#include <cstddef>

#include "auth/digest.hpp"

namespace postern::relay {

std::string Pseudonyms::of(std::string_view customer, std::string_view account) const {
    // Among a million customers two of 64 bits alike are not to be expected; more would only make
    // the field longer.
    constexpr std::size_t octets = 8;
    // The word in front keeps a customer apart from an account that is called the same.
    std::string who(customer.empty() ? "account " : "customer ");
    who += customer.empty() ? account : customer;
    const auth::Digest digest = auth::hmac_sha256(key_, who);
    return auth::hex(auth::view(digest).substr(0, octets));
}

}  // namespace postern::relay
