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

namespace postern::relay::net {

/// A question under way, with those who wait for its answer.
struct Lookup {
    Resolver::State* owner = nullptr;
    std::string name;
    bool done = false;
    error_code error;
    Addresses addresses;
    std::list<asio::steady_timer*> waiters;
};

/// c-ares on an io_context: its sockets are watched as descriptors, its time-outs by one timer.
class Resolver::State : public std::enable_shared_from_this<State> {
  public:
    using clock = std::chrono::steady_clock;

    struct Cached {
        error_code error;
        Addresses addresses;
        clock::time_point until;
    };

    State(asio::io_context& where, ResolverOptions with);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();

    void open();
    void close() noexcept;
    [[nodiscard]] const Cached* find_cached(const std::string& name);
    /// The lookup of `name`, new or joined; null when there are too many.
    [[nodiscard]] std::shared_ptr<Lookup> start(const std::string& name);

    ResolverOptions options;
    std::unordered_map<std::string, Cached> cache;

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
    static void answered(void* lookup, int status, int timeouts, ares_addrinfo* answer);
    void watch(ares_socket_t number, const std::shared_ptr<Socket>& socket);
    void on_ready(ares_socket_t number, const std::weak_ptr<Socket>& socket, bool reading);
    void set_timer();
    void finish(Lookup& lookup, int status, const ares_addrinfo* answer);
    void remember(const Lookup& lookup, std::chrono::seconds ttl);

    asio::io_context& context_;
    asio::steady_timer timer_;
    ares_channel channel_ = nullptr;
    std::map<ares_socket_t, std::shared_ptr<Socket>> sockets_;
    std::unordered_map<std::string, std::shared_ptr<Lookup>> lookups_;
};

}  // namespace postern::relay::net
