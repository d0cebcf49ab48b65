#include "relay/net/resolver_state.hpp"

#include <netinet/in.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include <boost/asio/error.hpp>

namespace postern::relay::net {

namespace {

constexpr int try_milliseconds = 1500;  // of one server, the first time
constexpr int tries = 3;

void init_library() {
    static std::once_flag once;
    std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
}

error_code error_of(int status, Question question) {
    switch (status) {
        case ARES_SUCCESS:
            return {};
        case ARES_ENOTFOUND:
            return Error::name_not_found;
        case ARES_ENODATA:
            return question == Question::address ? Error::no_address : Error::no_record;
        case ARES_EBADNAME:
            return Error::name_invalid;
        case ARES_ETIMEOUT:
            return asio::error::timed_out;
        case ARES_ECANCELLED:
        case ARES_EDESTRUCTION:
            return asio::error::operation_aborted;
        default:
            return Error::dns_failed;
    }
}

std::optional<asio::ip::address> address_of(const ares_addrinfo_node& node) {
    if (node.ai_family == AF_INET && node.ai_addrlen >= sizeof(sockaddr_in)) {
        sockaddr_in in{};
        std::memcpy(&in, node.ai_addr, sizeof in);
        return asio::ip::address_v4(ntohl(in.sin_addr.s_addr));
    }
    if (node.ai_family == AF_INET6 && node.ai_addrlen >= sizeof(sockaddr_in6)) {
        sockaddr_in6 in{};
        std::memcpy(&in, node.ai_addr, sizeof in);
        asio::ip::address_v6::bytes_type bytes;
        std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
        return asio::ip::address_v6(bytes, in.sin6_scope_id);
    }
    return std::nullopt;
}

/// Families in turn, IPv6 first, each in the order of the answer (RFC 8305 4).
Addresses in_turn(const Addresses& found) {
    Addresses six;
    Addresses four;
    for (const auto& address : found) (address.is_v6() ? six : four).push_back(address);
    Addresses out;
    for (std::size_t i = 0; i < std::max(six.size(), four.size()); ++i) {
        if (i < six.size()) out.push_back(six[i]);
        if (i < four.size()) out.push_back(four[i]);
    }
    return out;
}

constexpr std::size_t addresses_limit = 32;  // against an answer that names hundreds

constexpr int class_internet = 1;

int record_type_of(Question question) {
    return question == Question::mx ? 15 : 33;
}

TtlBounds bounds_of(const ResolverOptions& options) {
    return {.min_ttl = options.min_ttl,
            .max_ttl = std::max(options.max_ttl, options.min_ttl),
            .negative_ttl = options.negative_ttl,
            .keep = options.keep,
            .entries = options.cache_entries};
}

}  // namespace

std::string Asked::key() const {
    return std::string(net::name(question)) + ' ' + name;
}

Resolver::State::State(asio::io_context& where, ResolverOptions with)
    : options(std::move(with)), cache(bounds_of(options)), context_(where), timer_(where) {}

Resolver::State::~State() {
    close();
}

void Resolver::State::open() {
    init_library();
    ares_options settings{};
    int mask = ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS;
    settings.sock_state_cb = &State::socket_changed;
    settings.sock_state_cb_data = this;
    settings.timeout = try_milliseconds;
    settings.tries = tries;
    std::string lookups = options.hosts_file ? "fb" : "b";
    settings.lookups = lookups.data();
    if (ares_init_options(&channel_, &settings, mask) != ARES_SUCCESS) {
        channel_ = nullptr;
        return;
    }
    if (options.servers.empty()) return;
    std::string list;
    for (const std::string& server : options.servers) list += (list.empty() ? "" : ",") + server;
    if (ares_set_servers_ports_csv(channel_, list.c_str()) != ARES_SUCCESS) {
        ares_destroy(channel_);
        channel_ = nullptr;
    }
}

void Resolver::State::close() noexcept {
    timer_.cancel();
    if (channel_ == nullptr) return;
    ares_destroy(std::exchange(channel_, nullptr));  // ends lookups and lets go of sockets
}

std::shared_ptr<Lookup> Resolver::State::start(const Asked& asked) {
    const std::string key = asked.key();
    if (const auto at = lookups_.find(key); at != lookups_.end()) return at->second;
    if (lookups_.size() >= options.lookups) return nullptr;
    auto lookup = std::make_shared<Lookup>();
    lookup->owner = this;
    lookup->asked = asked;
    if (channel_ == nullptr) {
        lookup->done = true;
        lookup->error = Error::dns_failed;
        return lookup;
    }
    lookups_.emplace(key, lookup);
    if (asked.question == Question::address) {
        ares_addrinfo_hints hints{};
        hints.ai_family = AF_UNSPEC;
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = ARES_AI_NOSORT;
        ares_getaddrinfo(channel_, asked.name.c_str(), nullptr, &hints, &State::addresses_came,
                         lookup.get());
    } else {
        ares_query(channel_, asked.name.c_str(), class_internet, record_type_of(asked.question),
                   &State::records_came, lookup.get());
    }
    set_timer();
    return lookup;
}

void Resolver::State::addresses_came(void* argument, int status, int, ares_addrinfo* answer) {
    auto& lookup = *static_cast<Lookup*>(argument);
    struct Free {
        void operator()(ares_addrinfo* info) const noexcept { ares_freeaddrinfo(info); }
    };
    const std::unique_ptr<ares_addrinfo, Free> owned(answer);
    auto ttl = lookup.owner->options.max_ttl;
    Addresses found;
    for (const ares_addrinfo_node* node = answer != nullptr ? answer->nodes : nullptr;
         node != nullptr; node = node->ai_next) {
        const auto address = address_of(*node);
        if (!address || found.size() >= addresses_limit) continue;
        if (std::find(found.begin(), found.end(), *address) == found.end())
            found.push_back(*address);
        ttl = std::min(ttl, std::chrono::seconds(std::max(node->ai_ttl, 0)));
    }
    lookup.records.addresses = in_turn(found);
    error_code error = error_of(status, Question::address);
    if (!error && found.empty()) error = Error::no_address;
    lookup.owner->finish(lookup, error, ttl);
}

void Resolver::State::records_came(void* argument, int status, int, unsigned char* answer,
                                   int size) {
    auto& lookup = *static_cast<Lookup*>(argument);
    const Question question = lookup.asked.question;
    error_code error = error_of(status, question);
    std::chrono::seconds ttl{0};
    if (!error) {
        const std::string_view message(reinterpret_cast<const char*>(answer),
                                       static_cast<std::size_t>(std::max(size, 0)));
        auto parsed = parse_answer(message, question, lookup.asked.name);
        if (parsed) {
            ttl = parsed->ttl;
            lookup.records.exchangers = std::move(parsed->exchangers);
            lookup.records.services = std::move(parsed->services);
        } else {
            error = parsed.error();
        }
    }
    lookup.owner->finish(lookup, error, ttl);
}

void Resolver::State::finish(Lookup& lookup, error_code error, std::chrono::seconds ttl) {
    const std::string key = lookup.asked.key();
    const auto at = lookups_.find(key);
    const auto keep = at != lookups_.end() ? at->second : nullptr;
    if (at != lookups_.end()) lookups_.erase(at);
    lookup.done = true;
    lookup.error = error;
    const auto now = clock::now();
    if (!error) {
        cache.answer(key, lookup.records, ttl, now);
    } else if (error == Error::name_not_found || error == Error::no_address ||
               error == Error::no_record) {
        cache.none(key, error, now);
    } else if (error != asio::error::operation_aborted) {
        cache.failed(key, now);
    }
    for (asio::steady_timer* waiter : lookup.waiters) waiter->cancel();
}

void Resolver::State::socket_changed(void* argument, ares_socket_t number, int readable,
                                     int writable) {
    auto* self = static_cast<State*>(argument);
    auto at = self->sockets_.find(number);
    if (readable == 0 && writable == 0) {  // c-ares is about to close it
        if (at == self->sockets_.end()) return;
        at->second->descriptor.release();
        self->sockets_.erase(at);
        return;
    }
    if (at == self->sockets_.end()) {
        at = self->sockets_.emplace(number, std::make_shared<Socket>(self->context_, number)).first;
    }
    at->second->readable = readable != 0;
    at->second->writable = writable != 0;
    self->watch(number, at->second);
}

void Resolver::State::watch(ares_socket_t number, const std::shared_ptr<Socket>& socket) {
    using Descriptor = asio::posix::stream_descriptor;
    const auto wait = [&](Descriptor::wait_type what, bool reading) {
        socket->descriptor.async_wait(what, [weak = weak_from_this(), seen = std::weak_ptr(socket),
                                             number, reading](error_code ec) {
            if (ec) return;
            if (const auto self = weak.lock()) self->on_ready(number, seen, reading);
        });
    };
    if (socket->readable && !std::exchange(socket->reading, true))
        wait(Descriptor::wait_read, true);
    if (socket->writable && !std::exchange(socket->writing, true))
        wait(Descriptor::wait_write, false);
}

void Resolver::State::on_ready(ares_socket_t number, const std::weak_ptr<Socket>& seen,
                               bool reading) {
    const auto socket = seen.lock();
    if (!socket || channel_ == nullptr) return;
    (reading ? socket->reading : socket->writing) = false;
    ares_process_fd(channel_, reading ? number : ARES_SOCKET_BAD,
                    reading ? ARES_SOCKET_BAD : number);
    const auto at = sockets_.find(number);
    if (at != sockets_.end() && at->second == socket) watch(number, socket);
    set_timer();
}

void Resolver::State::set_timer() {
    timeval buffer{};
    const timeval* next = channel_ != nullptr ? ares_timeout(channel_, nullptr, &buffer) : nullptr;
    if (next == nullptr) {
        timer_.cancel();
        return;
    }
    timer_.expires_after(std::chrono::seconds(next->tv_sec) +
                         std::chrono::microseconds(next->tv_usec));
    timer_.async_wait([weak = weak_from_this()](error_code ec) {
        const auto self = weak.lock();
        if (ec || !self || self->channel_ == nullptr) return;
        ares_process_fd(self->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        self->set_timer();
    });
}

}  // namespace postern::relay::net
