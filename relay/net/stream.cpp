#include "relay/net/stream.hpp"

#include <boost/asio/execution/context.hpp>
#include <boost/asio/query.hpp>

#include "relay/net/stream_state.hpp"
#include "relay/net/unmapped.hpp"

namespace postern::relay::net {

namespace {

asio::execution_context& context_of(asio::ip::tcp::socket& socket) {
    return asio::query(socket.get_executor(), asio::execution::context);
}

}  // namespace

Stream::State::State(asio::ip::tcp::socket connected)
    : socket(std::move(connected)),
      buffers(asio::use_service<ThreadBuffers>(context_of(socket))),
      gate(asio::use_service<HandshakeGate>(context_of(socket))),
      watchdog(socket.get_executor()) {}

Stream::State::~State() {
    buffers.leave(this);
}

void Stream::State::close() noexcept {
    // OpenSSL takes a session that ends without close_notify for unfit to be resumed: TLS 1.0 did.
    if (ssl && !broken && SSL_is_init_finished(ssl.get()) == 1) {
        SSL_set_shutdown(ssl.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    error_code ignored;
    socket.close(ignored);
    watchdog.cancel();
    armed = false;
    deadline = never;
    in = {};
    spill.reset();
    std::string().swap(pending);
    pending_at = 0;
    buffers.leave(this);
}

void Stream::State::set_deadline(clock::time_point at) {
    deadline = at;
    expired = false;
    if (at == never) return;  // an armed watchdog finds nothing to do
    if (!armed || watchdog.expiry() > at) arm(at);
}

void Stream::State::arm(clock::time_point at) {
    armed = true;
    watchdog.expires_at(at);
    watchdog.async_wait([weak = weak_from_this()](error_code ec) {
        if (ec) return;
        if (const auto self = weak.lock()) self->on_watchdog();
    });
}

void Stream::State::on_watchdog() {
    if (!armed) return;
    const auto now = clock::now();
    if (watchdog.expiry() > now)
        return;  // re-armed after this wait was through: the later one will come
    armed = false;
    if (deadline == never) return;
    if (deadline > now) {
        arm(deadline);
        return;
    }
    expired = true;
    error_code ignored;
    socket.cancel(ignored);
}

Stream::Stream(asio::ip::tcp::socket socket) : state_(std::make_shared<State>(std::move(socket))) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&& other) noexcept {
    if (this != &other) {
        close();
        state_ = std::move(other.state_);
    }
    return *this;
}
Stream::~Stream() {
    close();
}

// Each operation holds the state: a stream that is closed or gone meanwhile ends it with an error.
awaitable<error_code> Stream::wait_readable() {
    const auto state = state_;
    co_return co_await state->wait_readable();
}

awaitable<result<std::size_t>> Stream::read_some(std::span<char> into) {
    const auto state = state_;
    co_return co_await state->read_some(into);
}

result<std::size_t> Stream::try_read(std::span<char> into) {
    return state_->try_read(into);
}
void Stream::unread(std::string_view octets) {
    state_->unread(octets);
}
bool Stream::has_buffered() const noexcept {
    return state_->has_buffered();
}

awaitable<error_code> Stream::write(std::span<const std::string_view> pieces) {
    const auto state = state_;
    co_return co_await state->write(pieces);
}

awaitable<error_code> Stream::write(std::string_view text) {
    const auto state = state_;
    co_return co_await state->write(std::span<const std::string_view>(&text, 1));
}

awaitable<error_code> Stream::start_tls_server(TlsServerPtr tls, TlsStart start,
                                               ClientCertificates clients) {
    const auto state = state_;
    if (const error_code ec = state->attach(tls->new_session(clients), tls)) co_return ec;
    SSL_set_accept_state(state->ssl.get());
    co_return co_await state->handshake(start);
}

awaitable<error_code> Stream::start_tls_client(TlsClientPtr tls, std::string host, TlsStart start,
                                               std::string peer, std::vector<std::string> also) {
    const auto state = state_;
    const std::string& key = peer.empty() ? host : peer;
    if (const error_code ec = state->attach(tls->new_session(host, key, also), tls)) co_return ec;
    SSL_set_connect_state(state->ssl.get());
    co_return co_await state->handshake(start);
}

awaitable<void> Stream::shutdown() {
    const auto state = state_;
    co_await state->shutdown();
}

void Stream::close() noexcept {
    if (state_) state_->close();
}
bool Stream::is_open() const noexcept {
    return state_ && state_->socket.is_open();
}

void Stream::interrupt() noexcept {
    state_->interrupted = true;
    error_code ignored;
    state_->socket.cancel(ignored);
}

void Stream::set_deadline(clock::time_point at) {
    state_->set_deadline(at);
}
void Stream::set_deadline(clock::duration from_now) {
    state_->set_deadline(clock::now() + from_now);
}
void Stream::clear_deadline() noexcept {
    state_->set_deadline(State::never);
}

asio::ip::tcp::endpoint Stream::peer() const {
    error_code ignored;
    return unmapped(state_->socket.remote_endpoint(ignored));
}

asio::ip::tcp::endpoint Stream::local() const {
    error_code ignored;
    return unmapped(state_->socket.local_endpoint(ignored));
}

asio::any_io_executor Stream::executor() const {
    return state_->socket.get_executor();
}
std::uint64_t Stream::octets_in() const noexcept {
    return state_->octets_in;
}
std::uint64_t Stream::octets_out() const noexcept {
    return state_->octets_out;
}

}  // namespace postern::relay::net
