#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "relay/net/error.hpp"

namespace postern::relay::net {

/// What is asked of name servers.
enum class Question : std::uint8_t {
    address,  ///< A and AAAA
    mx,       ///< RFC 5321 5.1
    srv,      ///< RFC 2782
};
[[nodiscard]] std::string_view name(Question question) noexcept;

// A host in an answer is in lower case and without its last dot; "." is the root, which says that
// there is none; empty is a name that no host can have (octets other than letters, digits, dash and
// underscore).

struct MailExchanger {
    std::uint16_t preference = 0;  ///< Lower first.
    std::string host;
    bool operator==(const MailExchanger&) const = default;
};

struct Service {
    std::uint16_t priority = 0;  ///< Lower first.
    std::uint16_t weight = 0;    ///< Within a priority.
    std::uint16_t port = 0;
    std::string host;
    bool operator==(const Service&) const = default;
};

struct DnsAnswer {
    std::vector<MailExchanger> exchangers;
    std::vector<Service> services;
    std::chrono::seconds ttl{0};  ///< The least of those that lead to it, aliases included.
};

/// Takes the records of `question` (mx or srv) for `name` out of a whole DNS message (RFC
/// 1035 4.1), by way of aliases. Never throws, ends for any octets; of more than 64 records the
/// first 64. Errors: dns_failed (malformed, or aliases without end), no_record.
[[nodiscard]] boost::system::result<DnsAnswer> parse_answer(std::string_view message,
                                                            Question question,
                                                            std::string_view name);

}  // namespace postern::relay::net
