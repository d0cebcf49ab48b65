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

/// What a Stream is made of. Incoming octets are in `in`, which lies in the thread's landing
/// buffer, in `mini`, or in `spill`; outgoing ones that the socket did not take are in
/// `pending`.
struct Stream::State final : std::enable_shared_from_this<Stream::State>, ThreadBuffers::Tenant {
    explicit State(asio::ip::tcp::socket connected);
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() override;

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
    error_code attach(SslPtr session, std::shared_ptr<const void> owner);
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

    asio::ip::tcp::socket socket;
    ThreadBuffers& buffers;
    HandshakeGate& gate;
    asio::steady_timer watchdog;
    clock::time_point deadline = never;
    std::shared_ptr<const void> tls_owner;  ///< The context set must outlive `ssl`.
    SslPtr ssl;
    std::string_view in;
    std::unique_ptr<char[]> spill;
    std::string pending;  ///< Emptied by swap: `= {}` would keep its memory.
    std::size_t pending_at = 0;
    std::uint64_t octets_in = 0;
    std::uint64_t octets_out = 0;
    std::uint64_t landing_epoch = 0;
    bool armed = false;
    bool expired = false;  ///< The deadline passed; until it is set anew.
    bool eof = false;      ///< The peer sent FIN.
    bool broken = false;
    bool maybe_more = false;  ///< The last read filled its buffer.
    bool initiating = false;  ///< Inside async_receive: a result now is told later.
    bool landed_in_mini = false;
    bool write_waiting = false;
    bool gathering = false;  ///< TLS records go to the thread's buffer, not to `pending`.
    bool interrupted = false;
    bool preferred = false;      ///< Its handshake waits for no other one's.
    std::array<char, 256> mini;  ///< For what may not land in the shared buffer.
};

}  // namespace postern::relay::net
