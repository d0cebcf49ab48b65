#include <sys/socket.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>

#include <openssl/err.h>

#include <boost/asio/error.hpp>

#include "relay/net/stream_state.hpp"

namespace postern::relay::net {

void PieceCursor::skip_empty() noexcept {
    while (!pieces_.empty() && offset_ == pieces_.front().size()) {
        pieces_ = pieces_.subspan(1);
        offset_ = 0;
    }
}

void PieceCursor::advance(std::size_t n) noexcept {
    while (n > 0) {
        const std::size_t step = std::min(n, pieces_.front().size() - offset_);
        offset_ += step;
        n -= step;
        skip_empty();
    }
}

/// One send: how many octets the socket took, 0 when it takes none now.
result<std::size_t> Stream::State::send(std::string_view octets, int flags) {
    for (;;) {
        const ssize_t n = ::send(socket.native_handle(), octets.data(), octets.size(),
                                 MSG_DONTWAIT | MSG_NOSIGNAL | flags);
        if (n >= 0) {
            octets_out += static_cast<std::size_t>(n);
            return static_cast<std::size_t>(n);
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
        if (errno != EINTR) return error_code(errno, boost::system::system_category());
    }
}

/// Sends of `pending` what the socket takes.
error_code Stream::State::send_pending() {
    if (pending_at == pending.size()) return {};
    const auto sent = send(std::string_view(pending).substr(pending_at), 0);
    if (!sent) return sent.error();
    pending_at += *sent;
    if (pending_at == pending.size()) {
        std::string().swap(pending);
        pending_at = 0;
    }
    return {};
}

/// Turns pieces into records in the thread's buffer, until it is full or nothing is left.
error_code Stream::State::encrypt(PieceCursor& cursor) {
    gathering = true;
    error_code ec;
    while (!cursor.done() && buffers.takes_record()) {
        std::string_view part = cursor.front();
        std::size_t size = std::min(part.size(), ThreadBuffers::record_size);
        const char* data = part.data();
        if (size < ThreadBuffers::record_size && cursor.parts() > 1) {
            size = 0;
            for (std::size_t i = 0; i < cursor.parts() && size < ThreadBuffers::record_size; ++i) {
                part = cursor.part(i).substr(0, ThreadBuffers::record_size - size);
                std::memcpy(buffers.record() + size, part.data(), part.size());
                size += part.size();
            }
            data = buffers.record();
        }
        ERR_clear_error();
        const int n = SSL_write(ssl.get(), data, static_cast<int>(size));
        if (n <= 0) {
            ec = tls_error(n);
            if (ec == Error::would_block)
                ec = Error::broken;  // no renegotiation: a write never waits for a read
            break;
        }
        cursor.advance(static_cast<std::size_t>(n));
    }
    gathering = false;
    return ec;
}

error_code Stream::State::push_tls(PieceCursor& cursor) {
    for (;;) {
        if (pending.size() - pending_at <= 4096 && pending_at == 0) {
            // Tickets and the like, left from a handshake or a read, go with the first records.
            if (!pending.empty()) {
                if (!buffers.append_outgoing(pending)) return Error::broken;
                std::string().swap(pending);
            }
        } else {
            if (const error_code ec = send_pending()) return ec;
            if (!pending.empty()) return {};
        }
        const error_code ec = encrypt(cursor);
        const std::string_view records = buffers.outgoing();
        if (records.empty()) return ec;
        const auto sent = send(records, cursor.done() ? 0 : MSG_MORE);
        if (sent && *sent < records.size()) pending.assign(records.substr(*sent));
        buffers.clear_outgoing();
        if (!sent) return sent.error();
        if (ec || !pending.empty() || cursor.done()) return ec;
    }
}

error_code Stream::State::push_plain(PieceCursor& cursor) {
    while (!cursor.done()) {
        auto& vectors = buffers.vectors();
        const std::size_t count = std::min(cursor.parts(), vectors.size());
        std::size_t used = 0;
        std::size_t size = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const std::string_view part = cursor.part(i);
            if (part.empty()) continue;
            vectors[used++] = {const_cast<char*>(part.data()), part.size()};
            size += part.size();
        }
        msghdr message{};
        message.msg_iov = vectors.data();
        message.msg_iovlen = used;
        const int more = count < cursor.parts() ? MSG_MORE : 0;
        const ssize_t n =
            ::sendmsg(socket.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL | more);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
            return {errno, boost::system::system_category()};
        }
        octets_out += static_cast<std::size_t>(n);
        cursor.advance(static_cast<std::size_t>(n));
        if (static_cast<std::size_t>(n) < size) return {};
    }
    return {};
}

/// Sends what can be sent now.
error_code Stream::State::push(PieceCursor& cursor) {
    return ssl ? push_tls(cursor) : push_plain(cursor);
}

awaitable<error_code> Stream::State::write(std::span<const std::string_view> pieces) {
    assert(!write_waiting);
    PieceCursor cursor(pieces);
    for (;;) {
        error_code ec = broken || !socket.is_open() ? error_code(Error::broken) : push(cursor);
        if (!ec && cursor.done() && pending.empty()) co_return ec;
        if (!ec && expired) ec = asio::error::timed_out;
        if (!ec) {
            write_waiting = true;
            std::tie(ec) = co_await socket.async_wait(asio::socket_base::wait_write, as_value);
            write_waiting = false;
            ec = outcome(ec);
            if (ec == asio::error::operation_aborted && interrupted) ec = {};  // that is for reads
        }
        if (ec) {
            broken = true;
            co_return ec;
        }
    }
}

/// Writes `pending` out.
awaitable<error_code> Stream::State::flush() {
    if (pending.empty()) co_return error_code{};
    error_code ec = send_pending();
    if (!ec && pending.empty()) co_return ec;
    if (!ec) ec = co_await write({});
    if (ec) broken = true;
    co_return ec;
}

}  // namespace postern::relay::net
