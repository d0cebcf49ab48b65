#include <algorithm>
#include <climits>
#include <cstring>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <boost/asio/error.hpp>

#include "relay/net/stream_state.hpp"
#include "relay/net/tls_files.hpp"

namespace postern::relay::net {

namespace {

constexpr std::size_t pending_limit =
    std::size_t{64} * 1024;  // against a peer that provokes answers and reads none
constexpr std::size_t drain_limit = std::size_t{1024} * 1024;
constexpr auto shutdown_time = std::chrono::seconds(1);

}  // namespace

// The BIO between OpenSSL and the stream never blocks a write: what OpenSSL hands over is kept, and
// sent by whoever called OpenSSL. So SSL_write takes all it is given, and nothing moves under it.
int Stream::State::bio_read(BIO* bio, char* into, int size) {
    auto* self = static_cast<State*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const std::size_t n = std::min(self->in.size(), static_cast<std::size_t>(std::max(size, 0)));
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    std::memcpy(into, self->in.data(), n);
    self->consume(n);
    return static_cast<int>(n);
}

int Stream::State::bio_write(BIO* bio, const char* from, int size) {
    auto* self = static_cast<State*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (size <= 0) return 0;
    const std::string_view octets(from, static_cast<std::size_t>(size));
    if (!self->gathering) {
        self->pending.append(octets);
    } else if (!self->buffers.append_outgoing(octets)) {
        return -1;
    }
    return size;
}

long Stream::State::bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* Stream::State::bio_method() {
    struct Free {
        void operator()(BIO_METHOD* method) const noexcept { BIO_meth_free(method); }
    };
    static const std::unique_ptr<BIO_METHOD, Free> method = [] {
        std::unique_ptr<BIO_METHOD, Free> made(
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream"));
        BIO_meth_set_read(made.get(), &State::bio_read);
        BIO_meth_set_write(made.get(), &State::bio_write);
        BIO_meth_set_ctrl(made.get(), &State::bio_control);
        return made;
    }();
    return method.get();
}

error_code Stream::State::attach(SslPtr session, std::shared_ptr<const void> owner) {
    if (ssl || broken || !socket.is_open()) return Error::broken;
    BIO* bio = session ? BIO_new(bio_method()) : nullptr;
    if (bio == nullptr) {
        ERR_clear_error();
        return boost::system::errc::make_error_code(boost::system::errc::not_enough_memory);
    }
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(session.get(), bio, bio);
    tls_owner = std::move(owner);
    ssl = std::move(session);
    return {};
}

/// What a failed call of OpenSSL means; would_block: it wants octets; eof: close_notify.
error_code Stream::State::tls_error(int returned) {
    const int why = SSL_get_error(ssl.get(), returned);
    if (why == SSL_ERROR_WANT_READ) return Error::would_block;
    if (why == SSL_ERROR_ZERO_RETURN) return asio::error::eof;
    error_code ec = Error::broken;
    if (const unsigned long code = ERR_peek_error(); code != 0) {
        ec = {static_cast<int>(static_cast<unsigned>(code)), tls_category()};
        const long verified = SSL_get_verify_result(ssl.get());
        if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
            ec = {static_cast<int>(verified), verify_category()};
        }
    }
    ERR_clear_error();
    return ec;
}

/// Decrypts as much of what was received as fits. 0: close_notify.
result<std::size_t> Stream::State::tls_read(std::span<char> into) {
    std::size_t total = 0;
    while (total < into.size()) {
        ERR_clear_error();
        const int room = static_cast<int>(std::min<std::size_t>(into.size() - total, INT_MAX));
        const int n = SSL_read(ssl.get(), into.data() + total, room);
        if (n > 0) {
            total += static_cast<std::size_t>(n);
            continue;
        }
        const error_code ec = tls_error(n);
        if (pending.size() > 4096 && !write_waiting) (void)send_pending();
        if (pending.size() - pending_at > pending_limit && !write_waiting) broken = true;
        if (ec == Error::would_block && total == 0) return broken ? error_code(Error::broken) : ec;
        if (ec == Error::would_block || ec == asio::error::eof) return total;
        if (!write_waiting) (void)send_pending();  // the alert
        if (total > 0) return total;               // the next call fails again
        broken = true;
        return ec;
    }
    return total;
}

awaitable<error_code> Stream::State::handshake(TlsStart start) {
    error_code ec;
    if (start == TlsStart::upgrade && !in.empty()) ec = Error::early_plaintext;
    std::optional<HandshakeGate::Place> place;
    // Who connects and says nothing takes no place, and we that dial are few.
    const bool waits = SSL_is_server(ssl.get()) == 1 && !preferred;
    if (waits) {
        if (!ec && in.empty()) ec = co_await fill();
        if (!ec && in.empty()) ec = Error::truncated;
        if (!ec) {
            auto entered = co_await gate.enter(deadline);
            if (entered) {
                place.emplace(std::move(*entered));
            } else {
                ec = asio::error::timed_out;
            }
        }
    }
    while (!ec) {
        if (ec = check_read(); ec) break;
        std::optional<Turns::Turn> turn;
        if (waits) {
            if (auto mine = co_await gate.turn(deadline)) turn.emplace(std::move(*mine));
            if (!turn) ec = asio::error::timed_out;
            if (!ec) ec = check_read();
            if (ec) break;
        }
        ERR_clear_error();
        const int done = SSL_do_handshake(ssl.get());
        turn.reset();
        if (done == 1) break;
        ec = tls_error(done);
        if (ec != Error::would_block) {
            (void)send_pending();  // the alert
            break;
        }
        if (ec = co_await flush(); ec) break;
        if (eof) {
            ec = Error::truncated;
            break;
        }
        ec = co_await fill();
    }
    // The tickets of TLS 1.3 go out with the first reply; all else is awaited by the peer.
    const bool awaited =
        !ec && !(SSL_is_server(ssl.get()) == 1 && SSL_version(ssl.get()) == TLS1_3_VERSION);
    if (awaited) ec = co_await flush();
    if (ec) broken = true;
    co_return ec;
}

awaitable<void> Stream::State::shutdown() {
    if (!socket.is_open()) co_return;
    set_deadline(clock::now() + shutdown_time);
    if (!broken && ssl && SSL_is_init_finished(ssl.get()) == 1) {
        ERR_clear_error();
        SSL_shutdown(ssl.get());
        ERR_clear_error();
    }
    if (!broken) (void)co_await flush();
    if (!broken && socket.is_open()) {
        error_code ec;
        socket.shutdown(asio::ip::tcp::socket::shutdown_send, ec);
        for (std::size_t drained = 0; !ec && !eof && drained < drain_limit;) {
            drained += in.size();
            consume(in.size());
            ec = co_await fill();
        }
    }
    close();
}

void Stream::prefer() noexcept {
    state_->preferred = true;
}

bool Stream::handshakes_crowd() const noexcept {
    return state_->gate.crowded();
}

bool Stream::is_tls() const noexcept {
    return state_->ssl && SSL_is_init_finished(state_->ssl.get()) == 1;
}

TlsInfo Stream::tls_info() const {
    TlsInfo info;
    if (!is_tls()) return info;
    const SSL* ssl = state_->ssl.get();
    info.version = SSL_get_version(ssl);
    if (const char* cipher = SSL_get_cipher_name(ssl)) info.cipher = cipher;
    if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) info.sni = name;
    info.resumed = SSL_session_reused(ssl) == 1;
    return info;
}

std::string Stream::refused_key() const {
    return state_->ssl ? TlsClient::refused_key(state_->ssl.get()) : std::string();
}

std::optional<std::string> Stream::channel_binding_exporter() const {
    if (!is_tls() || SSL_version(state_->ssl.get()) != TLS1_3_VERSION) return std::nullopt;
    constexpr std::string_view label = "EXPORTER-Channel-Binding";
    std::string binding(32, '\0');
    ERR_clear_error();
    if (SSL_export_keying_material(state_->ssl.get(),
                                   reinterpret_cast<unsigned char*>(binding.data()), binding.size(),
                                   label.data(), label.size(), nullptr, 0, 0) != 1) {
        ERR_clear_error();
        return std::nullopt;
    }
    return binding;
}

std::optional<std::string> Stream::channel_binding_server_end_point() const {
    if (!is_tls()) return std::nullopt;
    const SSL* ssl = state_->ssl.get();
    const X509* certificate =
        SSL_is_server(ssl) == 1 ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
    if (certificate == nullptr) return std::nullopt;
    // RFC 5929 4.1: the signature's hash, but SHA-256 in place of MD5 and SHA-1.
    int hash = NID_undef;
    int key = NID_undef;
    if (OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &hash, &key) != 1)
        return std::nullopt;
    if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;
    const EVP_MD* digest = EVP_get_digestbynid(hash);
    if (digest == nullptr) return std::nullopt;
    std::string out(EVP_MAX_MD_SIZE, '\0');
    unsigned size = 0;
    if (X509_digest(certificate, digest, reinterpret_cast<unsigned char*>(out.data()), &size) != 1)
        return std::nullopt;
    out.resize(size);
    return out;
}

std::optional<std::string> Stream::channel_binding_unique() const {
    if (!is_tls()) return std::nullopt;
    SSL* ssl = state_->ssl.get();
    if (SSL_version(ssl) != TLS1_2_VERSION || SSL_get_extms_support(ssl) != 1) return std::nullopt;
    // The first Finished is the client's, but of a resumed session the server's.
    const bool server_was_first = SSL_session_reused(ssl) == 1;
    const bool ours = server_was_first == (SSL_is_server(ssl) == 1);
    std::string out(EVP_MAX_MD_SIZE, '\0');
    const std::size_t size = ours ? SSL_get_finished(ssl, out.data(), out.size())
                                  : SSL_get_peer_finished(ssl, out.data(), out.size());
    if (size == 0 || size > out.size()) return std::nullopt;
    out.resize(size);
    return out;
}

std::optional<auth::ClientCertificate> Stream::client_certificate() const {
    if (!is_tls()) return std::nullopt;
    const auth::ClientCertificate* const shown = client_certificate_of(state_->ssl.get());
    if (shown == nullptr) return std::nullopt;
    return *shown;
}

}  // namespace postern::relay::net
