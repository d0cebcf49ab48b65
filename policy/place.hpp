#pragma once

#include <cstdint>
#include <string>

namespace postern::policy {

/// Where an address is, as far as a database of addresses says so.
struct Place {
    std::uint32_t asn = 0;  ///< The autonomous system, a provider's network; 0: not known.
    std::string country;    ///< ISO 3166-1, two capitals; empty: not known.
    bool operator==(const Place&) const = default;
};

}  // namespace postern::policy
