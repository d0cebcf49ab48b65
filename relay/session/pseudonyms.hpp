#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace postern::relay {

/// What outsiders may know a customer by (Feedback-ID): the same in all of its mails, and without
/// the key nothing that leads back to its name. An account without a customer is one of its own.
class Pseudonyms {
  public:
    /// `key`: 32 octets. Another one gives everybody another pseudonym.
    explicit Pseudonyms(std::string key) : key_(std::move(key)) {}

    /// 16 hex digits. `customer` may be empty.
    [[nodiscard]] std::string of(std::string_view customer, std::string_view account) const;

  private:
    std::string key_;
};

}  // namespace postern::relay
