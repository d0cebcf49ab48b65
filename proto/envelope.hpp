#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "proto/address.hpp"

namespace postern::proto {

/// DSN NOTIFY= (RFC 3461 4.1) as bits; `never` stands alone.
struct Notify {
    bool never = false;
    bool success = false;
    bool failure = false;
    bool delay = false;
    bool operator==(const Notify&) const = default;
};

enum class Body : std::uint8_t { seven_bit, eight_bit_mime };  ///< BODY=, RFC 6152
enum class Ret : std::uint8_t { unset, full, headers };        ///< RET=, RFC 3461 4.3

struct Recipient {
    Address address;
    std::optional<Notify> notify;  ///< As asked; unset is FAILURE and, where we like, DELAY.
    std::string orcpt;             ///< ORCPT= as given (xtext, with its address type), or empty.
};

/// What MAIL and RCPT said (RFC 5321 3.3).
struct Envelope {
    std::optional<Address> mail_from;  ///< Unset: the null reverse-path.
    std::uint64_t declared_size = 0;   ///< SIZE=, 0 where not given (RFC 1870).
    Body body = Body::seven_bit;
    bool smtputf8 = false;
    Ret ret = Ret::unset;
    std::string envid;  ///< ENVID= as given (xtext).
    std::vector<Recipient> recipients;

    [[nodiscard]] std::string sender_text() const {
        return mail_from ? mail_from->text() : std::string{};
    }
};

}  // namespace postern::proto
