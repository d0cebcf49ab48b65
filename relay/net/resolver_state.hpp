#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include <ares.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "relay/net/resolver.hpp"
#include "relay/net/ttl_cache.hpp"

namespace postern::relay::net {

struct Asked {
    Question question = Question::address;
    std::string name;  ///< Lower case.
    [[nodiscard]] std::string key() const;
};

/// A question under way, with those who wait for its answer.
struct Lookup {
    Resolver::State* owner = nullptr;
    Asked asked;
    bool done = false;
    error_code error;
    Records records;
    std::list<asio::steady_timer*> waiters;
};

/// c-ares on an io_context: its sockets are watched as descriptors, its time-outs by one timer.
class Resolver::State : public std::enable_shared_from_this<State> {
  public:
    using clock = std::chrono::steady_clock;

    State(asio::io_context& where, ResolverOptions with);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();

    void open();
    void close() noexcept;
    /// The lookup, new or joined; null when there are too many.
    [[nodiscard]] std::shared_ptr<Lookup> start(const Asked& asked);

    ResolverOptions options;
    TtlCache<Records> cache;

  private:
    struct Socket {
        explicit Socket(asio::io_context& where, int number) : descriptor(where, number) {}
        asio::posix::stream_descriptor descriptor;
        bool readable = false;  ///< c-ares wants to hear of it.
        bool writable = false;
        bool reading = false;  ///< A wait is under way.
        bool writing = false;
    };

    static void socket_changed(void* self, ares_socket_t number, int readable, int writable);
    static void addresses_came(void* lookup, int status, int timeouts, ares_addrinfo* answer);
    static void records_came(void* lookup, int status, int timeouts, unsigned char* answer,
                             int size);
    void watch(ares_socket_t number, const std::shared_ptr<Socket>& socket);
    void on_ready(ares_socket_t number, const std::weak_ptr<Socket>& socket, bool reading);
    void set_timer();
    void finish(Lookup& lookup, error_code error, std::chrono::seconds ttl);

    asio::io_context& context_;
    asio::steady_timer timer_;
    ares_channel channel_ = nullptr;
    std::map<ares_socket_t, std::shared_ptr<Socket>> sockets_;
    std::unordered_map<std::string, std::shared_ptr<Lookup>> lookups_;
};

}  // namespace postern::relay::net
