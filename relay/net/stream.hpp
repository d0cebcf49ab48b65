#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/ip/tcp.hpp>

#include "relay/asio.hpp"
#include "relay/net/error.hpp"
#include "relay/net/tls.hpp"

namespace postern::relay::net {

/// What TLS agreed on.
struct TlsInfo {
    std::string version;  ///< "TLSv1.3"
    std::string cipher;   ///< "TLS_AES_256_GCM_SHA384"
    std::string sni;      ///< As the client sent it; empty: none.
    bool resumed = false;
};

enum class TlsStart : std::uint8_t {
    implicit,  ///< TLS from the first octet (RFC 8314): octets already buffered belong to the
               ///< handshake.
    upgrade,   ///< After STARTTLS: octets already buffered are an injection, and end with
               ///< Error::early_plaintext.
};

/// One TCP connection, plain or TLS, on the one thread that runs its io_context; every member is
/// called there, by coroutines that run on the io_context's own executor (no strand).
///
/// Outcomes are values. At most one read and one write are under way at a time (one of each may
/// overlap). An idle connection holds no buffer: incoming octets land in a buffer that the thread's
/// connections share, and move to one of the connection's own only if they are not taken before
/// another connection reads.
///
/// A deadline that passes ends pending operations, and those begun later, with
/// asio::error::timed_out until it is set anew. After a read that timed out a last reply may still
/// be written. A write, a handshake or a TLS record that failed ends the connection: everything
/// after it yields Error::broken.
class Stream {
  public:
    using clock = std::chrono::steady_clock;

    explicit Stream(asio::ip::tcp::socket socket);
    Stream(Stream&&) noexcept;
    Stream& operator=(Stream&&) noexcept;
    ~Stream();  ///< Closes.

    /// Waits until a read would not block: octets, the end, or an error are there. Holds no buffer
    /// meanwhile.
    [[nodiscard]] awaitable<error_code> wait_readable();

    /// Reads what is there, at least one octet, as much as fits. 0: orderly end (FIN, or
    /// close_notify under TLS). In a plain stream with nothing buffered the octets go from the
    /// socket straight into `into`.
    [[nodiscard]] awaitable<result<std::size_t>> read_some(std::span<char> into);

    /// `read_some` that never waits: Error::would_block when nothing is there.
    [[nodiscard]] result<std::size_t> try_read(std::span<char> into);

    /// Puts octets back in front of what will be read next (plain only).
    void unread(std::string_view octets);

    /// Octets were received and not yet read.
    [[nodiscard]] bool has_buffered() const noexcept;

    /// Writes all pieces: small ones are gathered into full records and one system call, large ones
    /// are not copied on a plain connection. The pieces must stay until it ends.
    [[nodiscard]] awaitable<error_code> write(std::span<const std::string_view> pieces);
    [[nodiscard]] awaitable<error_code> write(std::string_view text);

    [[nodiscard]] awaitable<error_code> start_tls_server(
        TlsServerPtr tls, TlsStart start,
        ClientCertificates clients = ClientCertificates::left_out);

    /// Its handshake waits for no other one's: for peers that are known, of which there are few.
    void prefer() noexcept;
    /// So many handshakes are under way on this thread that one for nothing is better not begun.
    [[nodiscard]] bool handshakes_crowd() const noexcept;

    /// `host`: the name or literal to verify and to send as SNI; `peer`: the key under which
    /// sessions are resumed (empty: host); `also`: other names that will do.
    [[nodiscard]] awaitable<error_code> start_tls_client(TlsClientPtr tls, std::string host,
                                                         TlsStart start, std::string peer = {},
                                                         std::vector<std::string> also = {});
    /// "sha256//...": the server's key, where no pin fitted it and the handshake failed.
    [[nodiscard]] std::string refused_key() const;

    /// Orderly end: close_notify, FIN, then up to one second for the peer's FIN so that the last
    /// reply is not lost to a reset. Closes. Ignores the deadline.
    [[nodiscard]] awaitable<void> shutdown();
    void close() noexcept;
    [[nodiscard]] bool is_open() const noexcept;

    /// Pending operations end with operation_aborted; later ones are not affected.
    void interrupt() noexcept;

    /// Moves the connection's one watchdog; moving it later costs nothing.
    void set_deadline(clock::time_point at);
    void set_deadline(clock::duration from_now);
    void clear_deadline() noexcept;

    [[nodiscard]] bool is_tls() const noexcept;
    [[nodiscard]] TlsInfo tls_info() const;
    /// tls-exporter (RFC 9266): 32 octets; only with TLS 1.3.
    [[nodiscard]] std::optional<std::string> channel_binding_exporter() const;
    /// tls-server-end-point (RFC 5929 4): hash of the server's certificate.
    [[nodiscard]] std::optional<std::string> channel_binding_server_end_point() const;
    /// tls-unique (RFC 5929 3): the handshake's first Finished message; only with TLS 1.2, and only
    /// with the extended master secret, without which it binds nothing (RFC 7627).
    [[nodiscard]] std::optional<std::string> channel_binding_unique() const;
    /// What the handshake showed of the client, where it was asked; never of a resumed session.
    [[nodiscard]] std::optional<auth::ClientCertificate> client_certificate() const;

    [[nodiscard]] asio::ip::tcp::endpoint peer() const;  ///< Default made when unknown.
    [[nodiscard]] asio::ip::tcp::endpoint local() const;
    [[nodiscard]] asio::any_io_executor executor() const;

    /// Octets on the wire.
    [[nodiscard]] std::uint64_t octets_in() const noexcept;
    [[nodiscard]] std::uint64_t octets_out() const noexcept;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace postern::relay::net
