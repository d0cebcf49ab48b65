#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "relay/net/handshake_gate.hpp"
#include "relay/net/stream.hpp"
#include "relay/net/thread_buffers.hpp"

namespace postern::relay::net {

/// Where a writer stands in its pieces.
class PieceCursor {
  public:
    explicit PieceCursor(std::span<const std::string_view> pieces) : pieces_(pieces) {
        skip_empty();
    }

    [[nodiscard]] bool done() const noexcept { return pieces_.empty(); }
    [[nodiscard]] std::string_view front() const noexcept {
        return pieces_.front().substr(offset_);
    }
    [[nodiscard]] std::size_t parts() const noexcept { return pieces_.size(); }
    [[nodiscard]] std::string_view part(std::size_t i) const noexcept {
        return i == 0 ? front() : pieces_[i];
    }
    void advance(std::size_t n) noexcept;

  private:
    void skip_empty() noexcept;

    std::span<const std::string_view> pieces_;
    std::size_t offset_ = 0;
};

/// What a Stream is made of. Incoming octets are in `in_`, which lies in the thread's landing
/// buffer, in `mini_`, or in `spill_`; outgoing ones that the socket did not take are in
/// `pending_`.
struct Stream::State final : std::enable_shared_from_this<Stream::State>, ThreadBuffers::Tenant {
    explicit State(asio::ip::tcp::socket socket);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();

    // Reading (stream_read.cpp)
    awaitable<error_code> wait_readable();
    awaitable<result<std::size_t>> read_some(std::span<char> into);
    result<std::size_t> try_read(std::span<char> into);
    void unread(std::string_view octets);
    [[nodiscard]] bool has_buffered() const noexcept;
    awaitable<error_code> fill();
    error_code fill_now();
    void consume(std::size_t n) noexcept;
    void move_out() noexcept override;
    asio::mutable_buffer choose_landing() noexcept;
    [[nodiscard]] error_code check_read() const noexcept;
    /// What an ended wait means: the watchdog's work is timed_out.
    [[nodiscard]] error_code outcome(error_code ec) const noexcept;

    // Writing (stream_write.cpp)
    awaitable<error_code> write(std::span<const std::string_view> pieces);
    awaitable<error_code> flush();
    error_code push(PieceCursor& cursor);
    error_code push_plain(PieceCursor& cursor);
    error_code push_tls(PieceCursor& cursor);
    error_code encrypt(PieceCursor& cursor);
    error_code send_pending();
    result<std::size_t> send(std::string_view octets, int flags);

    // TLS (stream_tls.cpp)
    awaitable<error_code> handshake(TlsStart start);
    result<std::size_t> tls_read(std::span<char> into);
    error_code tls_error(int returned);
    error_code attach(SslPtr ssl, std::shared_ptr<const void> owner);
    static int bio_read(BIO* bio, char* into, int size);
    static int bio_write(BIO* bio, const char* from, int size);
    static long bio_control(BIO* bio, int command, long number, void* pointer);
    static const BIO_METHOD* bio_method();
    awaitable<void> shutdown();
    void close() noexcept;

    // The watchdog (stream.cpp)
    void set_deadline(clock::time_point at);
    void arm(clock::time_point at);
    void on_watchdog();

    static constexpr clock::time_point never = clock::time_point::max();

    asio::ip::tcp::socket socket_;
    ThreadBuffers& buffers_;
    HandshakeGate& gate_;
    asio::steady_timer watchdog_;
    clock::time_point deadline_ = never;
    std::shared_ptr<const void> tls_owner_;  ///< The context set must outlive `ssl_`.
    SslPtr ssl_;
    std::string_view in_;
    std::unique_ptr<char[]> spill_;
    std::string pending_;  ///< Emptied by swap: `= {}` would keep its memory.
    std::size_t pending_at_ = 0;
    std::uint64_t octets_in_ = 0;
    std::uint64_t octets_out_ = 0;
    std::uint64_t landing_epoch_ = 0;
    bool armed_ = false;
    bool expired_ = false;  ///< The deadline passed; until it is set anew.
    bool eof_ = false;      ///< The peer sent FIN.
    bool broken_ = false;
    bool maybe_more_ = false;  ///< The last read filled its buffer.
    bool initiating_ = false;  ///< Inside async_receive: a result now is told later.
    bool landed_in_mini_ = false;
    bool write_waiting_ = false;
    bool gathering_ = false;  ///< TLS records go to the thread's buffer, not to `pending_`.
    bool interrupted_ = false;
    std::array<char, 256> mini_;  ///< For what may not land in the shared buffer.
};

}  // namespace postern::relay::net
