#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proto/address.hpp"

namespace postern::policy {

/// What an account owns: addresses, whole domains (not those below them), or everything ("*"). Made
/// once a login, read for each message.
class Owned {
  public:
    Owned() = default;
    /// `owns`: "ann@example.net", "example.net" or "@example.net", "*". Case and A-labels are not
    /// minded.
    explicit Owned(std::span<const std::string> owns);

    /// `user+tag` belongs to `user`.
    [[nodiscard]] bool has(const proto::Address& address) const;
    [[nodiscard]] bool everything() const noexcept { return everything_; }

  private:
    bool everything_ = false;
    std::vector<std::string> addresses_;  // normalised, sorted
    std::vector<std::string> domains_;
};

}  // namespace postern::policy
