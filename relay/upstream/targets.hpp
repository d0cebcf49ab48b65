#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "relay/asio.hpp"
#include "relay/config/config.hpp"
#include "relay/event/stream.hpp"
#include "relay/net/resolver.hpp"
#include "relay/upstream/breaker.hpp"

namespace postern::relay {

/// A host that mail may be handed to.
struct Target {
    std::string host;  ///< A name, or an IP literal without brackets.
    std::uint16_t port = 0;
    bool implicit_tls = false;
    bool operator==(const Target&) const = default;
};

/// So many of a domain's hosts are tried at most.
inline constexpr std::size_t most_targets = 8;

/// By preference, equal ones by chance (RFC 5321 5.1). Errors: takes_no_mail (RFC 7505),
/// no_usable_target. `random` is uniform in [0, 1).
[[nodiscard]] result<std::vector<Target>> in_order(std::vector<net::MailExchanger> exchangers,
                                                   std::uint16_t port,
                                                   const std::function<double()>& random);
/// By priority, within it by chance and weight (RFC 2782). Errors as above.
[[nodiscard]] result<std::vector<Target>> in_order(std::vector<net::Service> services,
                                                   const std::function<double()>& random);

/// Where an upstream is now: of a host itself without asking anybody. Each lookup is an event.
/// Errors: as Resolver's and of in_order().
[[nodiscard]] awaitable<result<std::vector<Target>>> find_targets(net::Resolver& resolver,
                                                                  const config::Upstream& upstream,
                                                                  event::Stream& events,
                                                                  SteadyTime until);
/// One lookup, told as an event.
[[nodiscard]] awaitable<result<net::Records>> look_up(net::Resolver& resolver,
                                                      net::Question question, std::string name,
                                                      event::Stream& events, SteadyTime until);

/// The names of which a target's certificate must carry one; the first goes into SNI.
/// What plain DNS says is nobody's word: of a domain's records the certificate must name the domain
/// itself, and a target only where it is the domain or below it (RFC 7817, 6186 6).
[[nodiscard]] std::vector<std::string> accepted_names(const config::Address& address,
                                                      const Target& target);

/// "mx1.example.net [192.0.2.1]:25"; without an address "mx1.example.net:25".
[[nodiscard]] std::string place_of(const Target& target, const std::string& address);

}  // namespace postern::relay
