#include <sys/socket.h>

#include <cassert>
#include <cerrno>
#include <cstring>

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
    if (broken_ || !socket_.is_open()) return Error::broken;
    if (expired_) return asio::error::timed_out;
    return {};
}

error_code Stream::State::outcome(error_code ec) const noexcept {
    if (ec != asio::error::operation_aborted) return ec;
    if (!socket_.is_open()) return Error::broken;
    if (expired_) return asio::error::timed_out;
    return ec;
}

// A read that the socket answers at once is told through the scheduler, behind other connections'
// work: it may not land in the shared buffer. Neither may one that can end together with a write,
// for then the write is told first. Every other read is told as soon as it is done.
asio::mutable_buffer Stream::State::choose_landing() noexcept {
    landed_in_mini_ = initiating_ || write_waiting_;
    if (landed_in_mini_) return {mini_.data(), mini_.size()};
    char* at = buffers_.claim(this);
    landing_epoch_ = buffers_.epoch();
    return {at, ThreadBuffers::landing_size};
}

void Stream::State::move_out() noexcept {
    if (in_.empty() || in_.data() == mini_.data() || spill_) return;
    if (in_.data() < buffers_.landing() ||
        in_.data() >= buffers_.landing() + ThreadBuffers::landing_size)
        return;
    spill_.reset(new char[in_.size()]);
    std::memcpy(spill_.get(), in_.data(), in_.size());
    in_ = {spill_.get(), in_.size()};
}

void Stream::State::consume(std::size_t n) noexcept {
    in_.remove_prefix(n);
    if (in_.empty()) spill_.reset();
}

/// Receives without waiting; needs `in_` empty. would_block when nothing is there; `eof_` is set at
/// the end.
error_code Stream::State::fill_now() {
    assert(in_.empty());
    char* at = buffers_.claim(this);
    for (;;) {
        const ssize_t n =
            ::recv(socket_.native_handle(), at, ThreadBuffers::landing_size, MSG_DONTWAIT);
        if (n > 0) {
            in_ = {at, static_cast<std::size_t>(n)};
            octets_in_ += in_.size();
            maybe_more_ = in_.size() == ThreadBuffers::landing_size;
            return {};
        }
        maybe_more_ = false;
        if (n == 0) {
            eof_ = true;
            return {};
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return Error::would_block;
        if (errno != EINTR) return system_error(errno);
    }
}

/// Waits for octets and receives them into `in_`, which must be empty. Success with `in_` empty:
/// `eof_`.
awaitable<error_code> Stream::State::fill() {
    assert(in_.empty());
    if (const error_code ec = check_read()) co_return ec;
    if (eof_) co_return error_code{};
    if (maybe_more_) {
        const error_code ec = fill_now();
        if (ec != Error::would_block) co_return ec;
    }
    interrupted_ = false;
    auto start = [this](auto handler) {
        initiating_ = true;
        socket_.async_receive(LateBuffer<State>(this), std::move(handler));
        initiating_ = false;
    };
    auto [ec, n] = co_await asio::async_initiate<decltype(as_value), void(error_code, std::size_t)>(
        std::move(start), as_value);
    if (ec == asio::error::eof) {
        eof_ = true;
        co_return error_code{};
    }
    if (ec) co_return outcome(ec);
    octets_in_ += n;
    if (landed_in_mini_) {
        in_ = {mini_.data(), n};
        maybe_more_ = n == mini_.size();
    } else if (buffers_.epoch() == landing_epoch_) {
        in_ = {buffers_.landing(), n};
        maybe_more_ = n == ThreadBuffers::landing_size;
    } else {
        broken_ = true;  // only where a caller broke the rule about executors: better no octets
                         // than others'
        co_return Error::broken;
    }
    co_return error_code{};
}

awaitable<error_code> Stream::State::wait_readable() {
    if (const error_code ec = check_read()) co_return ec;
    if (has_buffered() || eof_) co_return error_code{};
    co_return co_await fill();
}

bool Stream::State::has_buffered() const noexcept {
    return !in_.empty() || (ssl_ && SSL_pending(ssl_.get()) > 0);
}

awaitable<result<std::size_t>> Stream::State::read_some(std::span<char> into) {
    assert(!into.empty());
    if (ssl_) {
        for (;;) {
            if (const error_code ec = check_read()) co_return ec;
            auto got = tls_read(into);
            if (got || got.error() != Error::would_block) co_return got;
            if (eof_) co_return error_code(Error::truncated);
            if (const error_code ec = co_await fill()) co_return ec;
        }
    }
    if (const error_code ec = check_read()) co_return ec;
    if (in_.empty() && !eof_ && !maybe_more_) {
        interrupted_ = false;
        auto [ec, n] =
            co_await socket_.async_receive(asio::buffer(into.data(), into.size()), as_value);
        if (ec == asio::error::eof) {
            eof_ = true;
            co_return std::size_t{0};
        }
        if (ec) co_return outcome(ec);
        octets_in_ += n;
        maybe_more_ = n == into.size();
        co_return n;
    }
    auto got = try_read(into);
    if (got || got.error() != Error::would_block) co_return got;
    co_return co_await read_some(into);  // once: now maybe_more_ is false
}

result<std::size_t> Stream::State::try_read(std::span<char> into) {
    if (const error_code ec = check_read()) return ec;
    if (ssl_) {
        bool filled = false;
        for (;;) {
            auto got = tls_read(into);
            if (got || got.error() != Error::would_block) return got;
            if (eof_) return error_code(Error::truncated);
            if (filled && !maybe_more_) return got;
            if (const error_code ec = fill_now()) return ec;
            filled = true;
        }
    }
    if (in_.empty() && !eof_) {  // plain: straight into the caller's buffer
        for (;;) {
            const ssize_t n =
                ::recv(socket_.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
            if (n > 0) {
                octets_in_ += static_cast<std::size_t>(n);
                maybe_more_ = static_cast<std::size_t>(n) == into.size();
                return static_cast<std::size_t>(n);
            }
            maybe_more_ = false;
            if (n == 0) {
                eof_ = true;
                break;
            }
            if (errno == EAGAIN || errno == EWOULDBLOCK) return error_code(Error::would_block);
            if (errno != EINTR) return system_error(errno);
        }
    }
    const std::size_t n = std::min(in_.size(), into.size());
    if (n > 0) std::memcpy(into.data(), in_.data(), n);
    consume(n);
    return n;  // 0: the end
}

void Stream::State::unread(std::string_view octets) {
    assert(!ssl_);
    if (octets.empty()) return;
    const std::size_t size = octets.size() + in_.size();
    std::unique_ptr<char[]> joined(new char[size]);
    std::memcpy(joined.get(), octets.data(), octets.size());
    if (!in_.empty()) std::memcpy(joined.get() + octets.size(), in_.data(), in_.size());
    spill_ = std::move(joined);
    in_ = {spill_.get(), size};
}

}  // namespace postern::relay::net
