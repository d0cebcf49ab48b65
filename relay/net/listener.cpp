#include "relay/net/listener.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include <boost/asio/error.hpp>
#include <boost/asio/ip/address.hpp>

#include "relay/descriptor.hpp"
#include "relay/net/unmapped.hpp"

namespace postern::relay::net {

namespace {

using asio::ip::tcp;

constexpr int backlog = 1024;
constexpr int accepts_a_wake = 64;  // then others on this thread have their turn
constexpr auto exhausted_pause = std::chrono::milliseconds(100);

Descriptor spare_descriptor() {
    return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

void set_option(int descriptor, int level, int name, int value) {
    ::setsockopt(descriptor, level, name, &value, sizeof value);
}

result<tcp::endpoint> parse_address(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos)
        return boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    unsigned port = 0;
    const char* end = text.data() + text.size();
    const auto [at, ec] = std::from_chars(text.data() + colon + 1, end, port);
    error_code bad;
    const auto address = asio::ip::make_address(host, bad);
    if (bad || ec != std::errc() || at != end || port > 65535) {
        return boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
    }
    return tcp::endpoint(address, static_cast<std::uint16_t>(port));
}

}  // namespace

result<int> open_listening_socket(const std::string& address) {
    const auto endpoint = parse_address(address);
    if (!endpoint) return endpoint.error();
    const bool v6 = endpoint->address().is_v6();
    Descriptor descriptor(
        ::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (descriptor.get() < 0) return last_error();
    set_option(descriptor.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (v6)
        set_option(descriptor.get(), IPPROTO_IPV6, IPV6_V6ONLY,
                   endpoint->address().is_unspecified() ? 0 : 1);
    if (::bind(descriptor.get(), endpoint->data(), static_cast<socklen_t>(endpoint->size())) != 0)
        return last_error();
    if (::listen(descriptor.get(), backlog) != 0) return last_error();
    return descriptor.release();
}

struct Listener::State {
    State(asio::io_context& where, std::span<const Worker> to, ListenOptions with)
        : socket(where),
          pause(where),
          workers(to),
          options(std::move(with)),
          spare(spare_descriptor()) {}

    tcp::acceptor socket;
    asio::steady_timer pause;
    std::span<const Worker> workers;
    ListenOptions options;
    Descriptor spare;
    std::size_t turn = 0;  ///< With whom deal() begins.
    std::atomic<std::uint64_t> exhausted{0};

    void deal(Descriptor accepted, const tcp::endpoint& peer);
    void turn_away();
    bool accept_some();
};

Listener::Listener(asio::io_context& context, int descriptor, std::span<const Worker> workers,
                   ListenOptions options)
    : state_(std::make_unique<State>(context, workers, std::move(options))) {
    // Accepted sockets inherit these: no system call for each of them.
    set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, 120);
    set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, 30);
    set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, 4);
    if (state_->options.receive_buffer)
        set_option(descriptor, SOL_SOCKET, SO_RCVBUF, *state_->options.receive_buffer);
    if (state_->options.send_buffer)
        set_option(descriptor, SOL_SOCKET, SO_SNDBUF, *state_->options.send_buffer);
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
    error_code ec;
    state_->socket.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), descriptor, ec);
    if (ec) {
        ::close(descriptor);
    } else {
        state_->socket.native_non_blocking(true, ec);
    }
}

Listener::~Listener() = default;

void Listener::State::deal(Descriptor accepted, const tcp::endpoint& peer) {
    const Worker* least = nullptr;
    std::size_t sessions = 0;
    // Among equals it goes round: many short connections would all be the first one's.
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const Worker& worker = workers[(turn + i) % workers.size()];
        const std::size_t has = worker.sessions->load(std::memory_order_relaxed);
        if (least == nullptr || has < sessions) {
            least = &worker;
            sessions = has;
        }
    }
    if (least == nullptr) return;
    ++turn;
    // The socket joins its io_context on that one's thread.
    auto hand_over = [worker = least, descriptor = std::move(accepted), peer,
                      listener = options.index, token = SessionToken(least->sessions)]() mutable {
        tcp::socket joined(*worker->context);
        error_code ec;
        joined.assign(peer.protocol(), descriptor.get(), ec);
        if (ec) return;
        (void)descriptor.release();
        worker->serve(Accepted{std::move(joined), unmapped(peer), listener, std::move(token)});
    };
    asio::post(*least->context, std::move(hand_over));
}

/// With no descriptor left the spare one lets a connection be taken and closed, instead of hanging
/// in the queue.
void Listener::State::turn_away() {
    exhausted.fetch_add(1, std::memory_order_relaxed);
    spare = Descriptor(-1);
    const Descriptor unwanted(
        ::accept4(socket.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (unwanted.get() >= 0 && !options.refusal.empty()) {
        (void)::send(unwanted.get(), options.refusal.data(), options.refusal.size(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    spare = spare_descriptor();
}

/// Accepts until none waits; false: for want of descriptors or memory.
bool Listener::State::accept_some() {
    for (int i = 0; i < accepts_a_wake; ++i) {
        tcp::endpoint peer;
        socklen_t size = static_cast<socklen_t>(peer.capacity());
        Descriptor accepted(
            ::accept4(socket.native_handle(), peer.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (accepted.get() >= 0) {
            peer.resize(size);
            deal(std::move(accepted), peer);
            continue;
        }
        switch (errno) {
            case EMFILE:
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                turn_away();
                return false;
            case EAGAIN:
                return true;
            default:  // that connection is gone already (accept(2) passes its error on)
                break;
        }
    }
    return true;
}

awaitable<void> Listener::run() {
    State& state = *state_;
    while (state.socket.is_open()) {
        const auto [ec] = co_await state.socket.async_wait(asio::socket_base::wait_read, as_value);
        if (!state.socket.is_open()) break;
        if (!ec && state.accept_some()) continue;
        state.pause.expires_after(exhausted_pause);
        co_await state.pause.async_wait(as_value);
    }
}

void Listener::stop() noexcept {
    error_code ignored;
    state_->socket.close(ignored);
    state_->pause.cancel();
}

tcp::endpoint Listener::local() const {
    error_code ignored;
    return state_->socket.local_endpoint(ignored);
}

std::uint64_t Listener::exhausted() const noexcept {
    return state_->exhausted.load(std::memory_order_relaxed);
}

}  // namespace postern::relay::net
