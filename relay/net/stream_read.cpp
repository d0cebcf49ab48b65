#include <sys/socket.h>

#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>

#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>

#include "relay/net/stream_state.hpp"

namespace postern::relay::net {

namespace {

/// A buffer sequence that chooses its memory when the socket is read, not when the wait begins: a
/// connection that waits holds no buffer. `State` is a template parameter because its name is
/// private to Stream.
template <typename State>
class LateBuffer {
  public:
    explicit LateBuffer(State* state) noexcept : state_(state) {}
    [[nodiscard]] const asio::mutable_buffer* begin() const noexcept {
        buffer_ = state_->choose_landing();
        return &buffer_;
    }
    [[nodiscard]] const asio::mutable_buffer* end() const noexcept { return &buffer_ + 1; }

  private:
    State* state_;
    mutable asio::mutable_buffer buffer_;
};

error_code system_error(int number) {
    return {number, boost::system::system_category()};
}

}  // namespace

error_code Stream::State::check_read() const noexcept {
    if (broken || !socket.is_open()) return Error::broken;
    if (expired) return asio::error::timed_out;
    return {};
}

error_code Stream::State::outcome(error_code ec) const noexcept {
    if (ec != asio::error::operation_aborted) return ec;
    if (!socket.is_open()) return Error::broken;
    if (expired) return asio::error::timed_out;
    return ec;
}

// A read that the socket answers at once is told through the scheduler, behind other connections'
// work: it may not land in the shared buffer. Neither may one that can end together with a write,
// for then the write is told first. Every other read is told as soon as it is done.
asio::mutable_buffer Stream::State::choose_landing() noexcept {
    landed_in_mini = initiating || write_waiting;
    if (landed_in_mini) return {mini.data(), mini.size()};
    char* at = buffers.claim(this);
    landing_epoch = buffers.epoch();
    return {at, ThreadBuffers::landing_size};
}

void Stream::State::move_out() noexcept {
    if (in.empty() || in.data() == mini.data() || spill) return;
    if (in.data() < buffers.landing() ||
        in.data() >= buffers.landing() + ThreadBuffers::landing_size)
        return;
    spill.reset(new (std::nothrow) char[in.size()]);
    if (!spill) {
        broken = true;
        in = {};
        return;
    }
    std::memcpy(spill.get(), in.data(), in.size());
    in = {spill.get(), in.size()};
}

void Stream::State::consume(std::size_t n) noexcept {
    in.remove_prefix(n);
    if (in.empty()) spill.reset();
}

/// Receives without waiting; needs `in` empty. would_block when nothing is there; `eof` is set at
/// the end.
error_code Stream::State::fill_now() {
    assert(in.empty());
    char* at = buffers.claim(this);
    for (;;) {
        const ssize_t n =
            ::recv(socket.native_handle(), at, ThreadBuffers::landing_size, MSG_DONTWAIT);
        if (n > 0) {
            in = {at, static_cast<std::size_t>(n)};
            octets_in += in.size();
            maybe_more = in.size() == ThreadBuffers::landing_size;
            return {};
        }
        maybe_more = false;
        if (n == 0) {
            eof = true;
            return {};
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return Error::would_block;
        if (errno != EINTR) return system_error(errno);
    }
}

/// Waits for octets and receives them into `in`, which must be empty. Success with `in` empty:
/// `eof`.
awaitable<error_code> Stream::State::fill() {
    assert(in.empty());
    if (const error_code ec = check_read()) co_return ec;
    if (eof) co_return error_code{};
    if (maybe_more) {
        const error_code ec = fill_now();
        if (ec != Error::would_block) co_return ec;
    }
    interrupted = false;
    auto start = [this](auto handler) {
        initiating = true;
        socket.async_receive(LateBuffer<State>(this), std::move(handler));
        initiating = false;
    };
    auto [ec, n] = co_await asio::async_initiate<decltype(as_value), void(error_code, std::size_t)>(
        std::move(start), as_value);
    if (ec == asio::error::eof) {
        eof = true;
        co_return error_code{};
    }
    if (ec) co_return outcome(ec);
    octets_in += n;
    if (landed_in_mini) {
        in = {mini.data(), n};
        maybe_more = n == mini.size();
    } else if (buffers.epoch() == landing_epoch) {
        in = {buffers.landing(), n};
        maybe_more = n == ThreadBuffers::landing_size;
    } else {
        broken = true;  // only where a caller broke the rule about executors: better no octets
                        // than others'
        co_return Error::broken;
    }
    co_return error_code{};
}

awaitable<error_code> Stream::State::wait_readable() {
    if (const error_code ec = check_read()) co_return ec;
    if (has_buffered() || eof) co_return error_code{};
    co_return co_await fill();
}

bool Stream::State::has_buffered() const noexcept {
    return !in.empty() || (ssl && SSL_pending(ssl.get()) > 0);
}

awaitable<result<std::size_t>> Stream::State::read_some(std::span<char> into) {
    assert(!into.empty());
    if (ssl) {
        for (;;) {
            if (const error_code ec = check_read()) co_return ec;
            auto got = tls_read(into);
            if (got || got.error() != Error::would_block) co_return got;
            if (eof) co_return error_code(Error::truncated);
            if (const error_code ec = co_await fill()) co_return ec;
        }
    }
    if (const error_code ec = check_read()) co_return ec;
    if (in.empty() && !eof && !maybe_more) {
        interrupted = false;
        auto [ec, n] =
            co_await socket.async_receive(asio::buffer(into.data(), into.size()), as_value);
        if (ec == asio::error::eof) {
            eof = true;
            co_return std::size_t{0};
        }
        if (ec) co_return outcome(ec);
        octets_in += n;
        maybe_more = n == into.size();
        co_return n;
    }
    auto got = try_read(into);
    if (got || got.error() != Error::would_block) co_return got;
    co_return co_await read_some(into);  // once: now maybe_more is false
}

result<std::size_t> Stream::State::try_read(std::span<char> into) {
    if (const error_code ec = check_read()) return ec;
    if (ssl) {
        bool filled = false;
        for (;;) {
            auto got = tls_read(into);
            if (got || got.error() != Error::would_block) return got;
            if (eof) return error_code(Error::truncated);
            if (filled && !maybe_more) return got;
            if (const error_code ec = fill_now()) return ec;
            filled = true;
        }
    }
    if (in.empty() && !eof) {  // plain: straight into the caller's buffer
        for (;;) {
            const ssize_t n =
                ::recv(socket.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
            if (n > 0) {
                octets_in += static_cast<std::size_t>(n);
                maybe_more = static_cast<std::size_t>(n) == into.size();
                return static_cast<std::size_t>(n);
            }
            maybe_more = false;
            if (n == 0) {
                eof = true;
                break;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) return error_code(Error::would_block);
            if (errno != EINTR) return system_error(errno);
        }
    }
    const std::size_t n = std::min(in.size(), into.size());
    if (n > 0) std::memcpy(into.data(), in.data(), n);
    consume(n);
    return n;  // 0: the end
}

void Stream::State::unread(std::string_view octets) {
    assert(!ssl);
    if (octets.empty()) return;
    const std::size_t size = octets.size() + in.size();
    std::unique_ptr<char[]> joined(new char[size]);
    std::memcpy(joined.get(), octets.data(), octets.size());
    if (!in.empty()) std::memcpy(joined.get() + octets.size(), in.data(), in.size());
    spill = std::move(joined);
    in = {spill.get(), size};
}

}  // namespace postern::relay::net
