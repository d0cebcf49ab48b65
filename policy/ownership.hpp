#pragma once

#include <span>
#include <string>
#include <string_view>

#include "proto/address.hpp"

namespace postern::policy {

/// What an account owns: its own address, others, whole domains (not those below them), or
/// everything. Views; all normalised, the lists sorted.
struct Owned {
    bool everything = false;  ///< "*": a relayed MTA
    std::string_view
        account;  ///< Its own name, which it owns where it is an address; may be empty.
    std::span<const std::string> addresses;
    std::span<const std::string> domains;

    /// `user+tag` belongs to `user`.
    [[nodiscard]] bool has(const proto::Address& address) const;
};

/// Is it one of these addresses, or within one of these `@DOMAIN`s (not those below them)? All
/// normalised, sorted.
[[nodiscard]] bool is_among(std::span<const std::string> list, const proto::Address& address);

}  // namespace postern::policy
