#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <map>
#include <mutex>

#include <boost/asio/ip/address.hpp>

#include "proto/base64.hpp"
#include "relay/net/tls_files.hpp"

namespace postern::relay::net {

namespace {

constexpr std::size_t sessions_limit = 256;  // peers remembered

struct SessionFree {
    void operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, SessionFree>;

void free_peer(void*, void* peer, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<std::string*>(peer);
}

/// Where an SSL keeps whom it talks to; OpenSSL owns the string.
int peer_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_peer);
    return index;
}

/// Where an SSL keeps the key that was refused.
int refused_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_peer);
    return index;
}

std::optional<KeyPin> key_of(const X509* certificate) {
    unsigned char* der = nullptr;
    const int size =
        certificate != nullptr ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der) : -1;
    struct Free {
        void operator()(unsigned char* octets) const noexcept { OPENSSL_free(octets); }
    };
    const std::unique_ptr<unsigned char, Free> owned(der);
    if (size <= 0) return std::nullopt;
    KeyPin out{};
    SHA256(der, static_cast<std::size_t>(size), out.data());
    return out;
}

int own_index() {
    static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return index;
}

}  // namespace

struct TlsClient::State {
    PeerCheck check = PeerCheck::verify;
    std::vector<KeyPin> pins;
    SslContextPtr context;
    std::mutex mutex;
    std::map<std::string, SessionPtr, std::less<>> sessions;

    static int keep(SSL* ssl, SSL_SESSION* session);
    static int check_key(X509_STORE_CTX* chain, void* self);
};

/// In place of OpenSSL's own verification. Only the server's own certificate counts: whatever else
/// it sends anybody may send.
int TlsClient::State::check_key(X509_STORE_CTX* chain, void* argument) {
    const auto* self = static_cast<const State*>(argument);
    const auto key = key_of(X509_STORE_CTX_get0_cert(chain));
    if (key && std::ranges::find(self->pins, *key) != self->pins.end()) {
        X509_STORE_CTX_set_error(chain, X509_V_OK);
        return 1;
    }
    X509_STORE_CTX_set_error(chain, X509_V_ERR_APPLICATION_VERIFICATION);
    auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
    if (ssl != nullptr && key && SSL_get_ex_data(ssl, refused_index()) == nullptr) {
        auto text = std::make_unique<std::string>(text_of(*key));
        if (SSL_set_ex_data(ssl, refused_index(), text.get()) == 1) (void)text.release();
    }
    return 0;
}

int TlsClient::State::keep(SSL* ssl, SSL_SESSION* session) {
    auto* self = static_cast<State*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), own_index()));
    const auto* peer = static_cast<const std::string*>(SSL_get_ex_data(ssl, peer_index()));
    if (self == nullptr || peer == nullptr) return 0;
    const std::lock_guard lock(self->mutex);
    if (self->sessions.size() >= sessions_limit && !self->sessions.contains(*peer)) {
        self->sessions.erase(self->sessions.begin());
    }
    self->sessions[*peer].reset(session);
    return 1;  // the reference is ours now
}

result<std::shared_ptr<const TlsClient>, TlsFault> TlsClient::make(
    const TlsClientOptions& options) {
    ERR_clear_error();
    auto state = std::make_unique<State>();
    state->check = options.check;
    state->context.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX* context = state->context.get();
    if (context == nullptr) return TlsFault{"", take_tls_reason()};
    set_common_options(context);
    if (options.check == PeerCheck::verify) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        if (options.ca_file) {
            if (SSL_CTX_load_verify_file(context, options.ca_file->c_str()) != 1) {
                return TlsFault{*options.ca_file, "holds no readable certificates in PEM (" +
                                                      take_tls_reason() + ")"};
            }
        } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
            return TlsFault{"", "the system's certificate store: " + take_tls_reason()};
        }
    }
    if (options.check == PeerCheck::pin) {
        state->pins = options.pins;
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
        SSL_CTX_set_cert_verify_callback(context, &State::check_key, state.get());
    }
    SSL_CTX_set_ex_data(context, own_index(), state.get());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, &State::keep);
    ERR_clear_error();
    return std::shared_ptr<const TlsClient>(new TlsClient(std::move(state)));
}

TlsClient::TlsClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsClient::~TlsClient() = default;

std::string text_of(const KeyPin& pin) {
    return "sha256//" + proto::base64_encode(std::string(pin.begin(), pin.end()));
}

std::string TlsClient::refused_key(const SSL* ssl) {
    const auto* text = static_cast<const std::string*>(SSL_get_ex_data(ssl, refused_index()));
    return text != nullptr ? *text : std::string();
}

SslPtr TlsClient::new_session(const std::string& host, const std::string& peer,
                              std::span<const std::string> also) const {
    ERR_clear_error();
    SslPtr ssl(SSL_new(state_->context.get()));
    if (!ssl) return ssl;
    error_code not_literal;
    const std::string bare = host.size() > 2 && host.front() == '[' && host.back() == ']'
                                 ? host.substr(1, host.size() - 2)
                                 : host;
    const auto literal = asio::ip::make_address(bare, not_literal);
    bool ready = true;
    if (not_literal) ready = SSL_set_tlsext_host_name(ssl.get(), host.c_str()) == 1;
    if (state_->check == PeerCheck::verify) {
        SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl.get());
        ready = ready && !host.empty() &&
                (not_literal
                     ? X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size()) == 1
                     : X509_VERIFY_PARAM_set1_ip_asc(parameters, literal.to_string().c_str()) == 1);
        for (const std::string& name : also) {
            ready = ready && not_literal && !name.empty() &&
                    X509_VERIFY_PARAM_add1_host(parameters, name.data(), name.size()) == 1;
        }
    }
    auto owned = std::make_unique<std::string>(peer);
    if (ready && SSL_set_ex_data(ssl.get(), peer_index(), owned.get()) == 1) {
        (void)owned.release();  // freed with the SSL
    } else {
        ready = false;
    }
    if (!ready) {
        ERR_clear_error();
        return nullptr;
    }
    const std::lock_guard lock(state_->mutex);
    if (const auto at = state_->sessions.find(peer); at != state_->sessions.end()) {
        SSL_set_session(ssl.get(), at->second.get());
    }
    return ssl;
}

}  // namespace postern::relay::net
