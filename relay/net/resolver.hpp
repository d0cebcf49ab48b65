#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "relay/asio.hpp"
#include "relay/net/dns_answer.hpp"
#include "relay/net/error.hpp"

namespace postern::relay::net {

struct ResolverOptions {
    std::vector<std::string>
        servers;  ///< "address" or "address:port"; empty: the system's (/etc/resolv.conf).
    std::chrono::milliseconds deadline{5000};  ///< For one lookup with all its retries.
    std::chrono::seconds min_ttl{5};
    std::chrono::seconds max_ttl{3600};
    std::chrono::seconds negative_ttl{5};
    std::chrono::seconds keep{3600};  ///< The last good answer, while asking fails.
    /// Who has an answer to fall back on waits no longer for a newer one (RFC 8767 5).
    std::chrono::milliseconds patience{1000};
    std::size_t cache_entries = 4096;  ///< Bound on names remembered.
    std::size_t lookups = 1024;        ///< Bound on lookups under way at a time.
    bool hosts_file = true;            ///< Ask the hosts file first.
};

/// Addresses in the order to try: IPv6 and IPv4 in turn.
using Addresses = std::vector<asio::ip::address>;

/// What was found; of mx and srv as the servers sent it, unordered.
struct Records {
    Addresses addresses;
    std::vector<MailExchanger> exchangers;
    std::vector<Service> services;
};

struct Answer {
    Records records;
    bool stale = false;  ///< Past its time: asking anew failed, or takes too long.
};

/// Names to addresses (A and AAAA), mail exchangers and services by c-ares, with a cache that keeps
/// to the TTLs. One a thread; every member is called on that thread. Equal lookups at the same time
/// share one query. Errors: name_not_found, no_address, no_record, dns_failed, name_invalid,
/// too_many_lookups, timed_out.
class Resolver {
  public:
    Resolver(asio::io_context& context, ResolverOptions options);
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver();  ///< Lookups under way end with operation_aborted.

    /// `name`: a host name, an address literal, or one in brackets.
    [[nodiscard]] awaitable<result<Addresses>> resolve(std::string name);

    /// `name`: for `address` as above, else a domain. Waits until `until` at most.
    [[nodiscard]] awaitable<result<Answer>> ask(Question question, std::string name,
                                                std::chrono::steady_clock::time_point until);

    void clear_cache() noexcept;

    class State;

  private:
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::net
