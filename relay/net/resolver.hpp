#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "relay/asio.hpp"
#include "relay/net/error.hpp"

namespace postern::relay::net {

struct ResolverOptions {
    std::vector<std::string>
        servers;  ///< "address" or "address:port"; empty: the system's (/etc/resolv.conf).
    std::chrono::milliseconds deadline{5000};  ///< For one lookup with all its retries.
    std::chrono::seconds min_ttl{5};
    std::chrono::seconds max_ttl{3600};
    std::chrono::seconds negative_ttl{30};
    std::size_t cache_entries = 4096;  ///< Bound on names remembered.
    std::size_t lookups = 1024;        ///< Bound on lookups under way at a time.
    bool hosts_file = true;            ///< Ask the hosts file first.
};

/// Addresses in the order to try: IPv6 and IPv4 in turn.
using Addresses = std::vector<asio::ip::address>;

/// Names to addresses (A and AAAA) by c-ares, with a cache that keeps to the TTLs. One a thread;
/// every member is called on that thread. Equal lookups at the same time share one query. Errors:
/// name_not_found, no_address, dns_failed, name_invalid, too_many_lookups, timed_out.
class Resolver {
  public:
    Resolver(asio::io_context& context, ResolverOptions options);
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver();  ///< Lookups under way end with operation_aborted.

    /// `name`: a host name, an address literal, or one in brackets.
    [[nodiscard]] awaitable<result<Addresses>> resolve(std::string name);

    void clear_cache() noexcept;

    class State;

  private:
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::net
