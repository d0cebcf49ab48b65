#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

#include "auth/certificate_authority.hpp"
#include "relay/asio.hpp"

namespace postern::relay::net {

struct SslFree {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using SslPtr = std::unique_ptr<SSL, SslFree>;
using SslContextPtr = std::unique_ptr<SSL_CTX, SslFree>;

/// One certificate chain (PEM, leaf first) and its key (PEM, not encrypted).
struct CertificateFiles {
    std::string certificate;
    std::string key;
};

/// Why a TLS configuration cannot be used: the file, and what is wrong with it.
struct TlsFault {
    std::string file;
    std::string what;
};

struct CertificateInfo {
    std::string file;
    std::vector<std::string> names;  ///< dNSNames (else the common name), lower case.
    std::string key_type;            ///< "RSA", "EC", "ED25519".
    std::chrono::system_clock::time_point not_after;
};

/// Keys of stateless session tickets (RFC 5077, RFC 8446 4.6.1): made in the process, rotated every
/// eight hours, the one before still opens tickets. Kept over reloads of certificates, shared by
/// all threads.
class TicketKeys;
[[nodiscard]] std::shared_ptr<TicketKeys> make_ticket_keys();

/// Whether the client is asked for a certificate. It may show none, and any: what it is worth is
/// judged, and never ends the handshake.
enum class ClientCertificates : std::uint8_t { left_out, asked_for };

/// The server side of TLS: an immutable set of certificates, chosen by SNI and by what the client
/// can verify. TLS 1.2 or better, no renegotiation, no compression. A reload makes a new set;
/// connections keep the one they began with.
class TlsServer {
  public:
    /// The first certificate serves clients that send no name or one that is not ours. `tickets`
    /// may be null: no resumption. `authority`: who may vouch for clients' names; null: nobody.
    [[nodiscard]] static result<std::shared_ptr<const TlsServer>, TlsFault> load(
        std::span<const CertificateFiles> files, std::shared_ptr<TicketKeys> tickets,
        std::shared_ptr<const auth::CertificateAuthority> authority = nullptr);

    TlsServer(const TlsServer&) = delete;
    TlsServer& operator=(const TlsServer&) = delete;
    ~TlsServer();

    [[nodiscard]] SslPtr new_session(
        ClientCertificates clients = ClientCertificates::left_out) const;
    [[nodiscard]] std::span<const CertificateInfo> certificates() const noexcept;
    /// Null: nobody.
    [[nodiscard]] const auth::CertificateAuthority* authority() const noexcept;

  private:
    struct State;
    explicit TlsServer(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

using TlsServerPtr = std::shared_ptr<const TlsServer>;

enum class PeerCheck : std::uint8_t {
    verify,  ///< Chain and name (for an address literal its iPAddress names).
    none,    ///< Encrypted, not authenticated. The caller says where that is allowed.
    pin,     ///< The key alone, whatever chain, name and dates say.
};

/// SHA-256 of a SubjectPublicKeyInfo in DER (RFC 7469 2.4).
using KeyPin = std::array<std::uint8_t, 32>;
/// "sha256//BASE64"
[[nodiscard]] std::string text_of(const KeyPin& pin);

struct TlsClientOptions {
    PeerCheck check = PeerCheck::verify;
    std::optional<std::string> ca_file{};  ///< PEM; unset: the system's. For `verify`.
    std::vector<KeyPin> pins{};            ///< For `pin`: the key is one of these.
};

/// The client side of TLS: verifies, sends SNI, resumes sessions with a peer it met before. Shared
/// by all threads.
class TlsClient {
  public:
    [[nodiscard]] static result<std::shared_ptr<const TlsClient>, TlsFault> make(
        const TlsClientOptions& options);

    TlsClient(const TlsClient&) = delete;
    TlsClient& operator=(const TlsClient&) = delete;
    ~TlsClient();

    /// `host`: the name or address literal that the certificate must carry, and that is sent as
    /// SNI; `also`: names that will do as well. `peer`: whom to resume with, usually "host:port",
    /// always with the same names.
    [[nodiscard]] SslPtr new_session(const std::string& host, const std::string& peer,
                                     std::span<const std::string> also = {}) const;

    /// The key that a server has shown where none of the pins fitted it; else empty.
    [[nodiscard]] static std::string refused_key(const SSL* ssl);

  private:
    struct State;
    explicit TlsClient(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

using TlsClientPtr = std::shared_ptr<const TlsClient>;

}  // namespace postern::relay::net
