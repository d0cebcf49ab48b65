#include <openssl/err.h>

#include <algorithm>
#include <cctype>
#include <map>

#include "relay/net/ticket_keys.hpp"
#include "relay/net/tls_files.hpp"

namespace postern::relay::net {

namespace {

constexpr std::string_view session_id = "postern";
/// A session that was begun without asking is not resumed where a certificate is asked for.
constexpr std::string_view session_id_asking = "postern, clients asked";
/// What a client may send of certificates, in octets: they are parsed before they are judged.
constexpr long most_client_certificates = 32L * 1024;

const unsigned char* octets(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}

void free_client(void*, void* client, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<auth::ClientCertificate*>(client);
}

/// Where an SSL keeps what its client showed; OpenSSL owns it.
int client_index() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, &free_client);
    return index;
}

}  // namespace

const auth::ClientCertificate* client_certificate_of(const SSL* ssl) noexcept {
    return static_cast<const auth::ClientCertificate*>(SSL_get_ex_data(ssl, client_index()));
}

struct TlsServer::State {
    std::vector<CertificateInfo> infos;
    std::shared_ptr<TicketKeys> tickets;
    std::shared_ptr<const auth::CertificateAuthority> authority;
    std::vector<SslContextPtr>
        contexts;  ///< One for each set of certificates that serve a name together.
    std::map<std::string, SSL_CTX*, std::less<>> by_name;
    SSL_CTX* fallback = nullptr;

    [[nodiscard]] SSL_CTX* find(std::string_view name) const;
    static int choose(SSL* ssl, int* alert, void* state);
    static int judge_client(X509_STORE_CTX* shown, void* state);
    result<void, TlsFault> build(const std::vector<LoadedCertificate>& loaded);
    result<SSL_CTX*, TlsFault> add_context(const std::vector<LoadedCertificate>& loaded,
                                           const std::vector<std::size_t>& chosen);
};

SSL_CTX* TlsServer::State::find(std::string_view name) const {
    std::string key(name);
    for (char& c : key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (!key.empty() && key.back() == '.') key.pop_back();
    if (const auto at = by_name.find(key); at != by_name.end()) return at->second;
    if (const auto dot = key.find('.'); dot != std::string::npos) {
        if (const auto at = by_name.find("*" + key.substr(dot)); at != by_name.end())
            return at->second;
    }
    return fallback;
}

int TlsServer::State::choose(SSL* ssl, int*, void* state) {
    const auto* self = static_cast<const State*>(state);
    const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
    SSL_CTX* context = self->find(name);
    if (SSL_get_SSL_CTX(ssl) != context) SSL_set_SSL_CTX(ssl, context);
    return SSL_TLSEXT_ERR_OK;
}

/// In place of OpenSSL's own verification: whatever is shown, the handshake goes on.
int TlsServer::State::judge_client(X509_STORE_CTX* shown, void* state) {
    const auto* self = static_cast<const State*>(state);
    auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(shown, SSL_get_ex_data_X509_STORE_CTX_idx()));
    X509* certificate = X509_STORE_CTX_get0_cert(shown);
    // A ticket keeps the certificate, but neither its chain nor what has changed since: whoever
    // shows one proves it anew each time (TLS 1.2: TicketKeys::callback).
    SSL_set_num_tickets(ssl, 0);
    X509_STORE_CTX_set_error(shown, X509_V_OK);
    const auto now = std::chrono::system_clock::now();
    auto judged = std::make_unique<auth::ClientCertificate>(
        self->authority
            ? self->authority->judge(certificate, X509_STORE_CTX_get0_untrusted(shown), now)
            : auth::shown_certificate(certificate, now));
    if (SSL_set_ex_data(ssl, client_index(), judged.get()) == 1) (void)judged.release();
    return 1;
}

result<SSL_CTX*, TlsFault> TlsServer::State::add_context(
    const std::vector<LoadedCertificate>& loaded, const std::vector<std::size_t>& chosen) {
    SslContextPtr context(SSL_CTX_new(TLS_server_method()));
    if (!context) return TlsFault{loaded[chosen.front()].info.file, take_tls_reason()};
    set_common_options(context.get());
    // The chain is what the file holds; without this it would be searched for at each handshake.
    SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
    std::vector<std::string> types;
    for (const std::size_t i : chosen) {
        const LoadedCertificate& one = loaded[i];
        // One certificate of each kind of key fits; the first named wins.
        if (std::find(types.begin(), types.end(), one.info.key_type) != types.end()) continue;
        types.push_back(one.info.key_type);
        bool fits = SSL_CTX_use_certificate(context.get(), one.leaf.get()) == 1 &&
                    SSL_CTX_use_PrivateKey(context.get(), one.key.get()) == 1;
        for (const X509Ptr& issuer : one.chain) {
            fits = fits && SSL_CTX_add1_chain_cert(context.get(), issuer.get()) == 1;
        }
        if (!fits) return TlsFault{one.info.file, "cannot be used (" + take_tls_reason() + ")"};
    }
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(context.get(), octets(session_id), session_id.size());
    // For those sessions that ask (new_session); any certificate will do, so no issuer is named.
    SSL_CTX_set_cert_verify_callback(context.get(), &State::judge_client, this);
    SSL_CTX_set_max_cert_list(context.get(), most_client_certificates);
    if (tickets) {
        SSL_CTX_set_num_tickets(context.get(), 1);
        tickets->install(context.get());
    } else {
        SSL_CTX_set_num_tickets(context.get(), 0);
        SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET);
    }
    SSL_CTX_set_tlsext_servername_callback(context.get(), &State::choose);
    SSL_CTX_set_tlsext_servername_arg(context.get(), this);
    contexts.push_back(std::move(context));
    return contexts.back().get();
}

result<void, TlsFault> TlsServer::State::build(const std::vector<LoadedCertificate>& loaded) {
    std::map<std::string, std::vector<std::size_t>> serving;
    for (std::size_t i = 0; i < loaded.size(); ++i) {
        for (const std::string& name : loaded[i].info.names) {
            auto& list = serving[name];
            if (list.empty() || list.back() != i) list.push_back(i);
        }
    }
    std::map<std::vector<std::size_t>, SSL_CTX*> made;
    const auto context_for =
        [&](const std::vector<std::size_t>& chosen) -> result<SSL_CTX*, TlsFault> {
        if (const auto at = made.find(chosen); at != made.end()) return at->second;
        auto context = add_context(loaded, chosen);
        if (context) made.emplace(chosen, *context);
        return context;
    };
    for (const auto& [name, chosen] : serving) {
        const auto context = context_for(chosen);
        if (!context) return context.error();
        by_name.emplace(name, *context);
    }
    const auto& first = loaded.front().info.names;
    const auto context =
        context_for(first.empty() ? std::vector<std::size_t>{0} : serving.at(first.front()));
    if (!context) return context.error();
    fallback = *context;
    return {};
}

result<std::shared_ptr<const TlsServer>, TlsFault> TlsServer::load(
    std::span<const CertificateFiles> files, std::shared_ptr<TicketKeys> tickets,
    std::shared_ptr<const auth::CertificateAuthority> authority) {
    if (files.empty()) return TlsFault{"", "no certificate is configured"};
    std::vector<LoadedCertificate> loaded;
    for (const CertificateFiles& pair : files) {
        auto one = load_certificate(pair);
        if (!one) return one.error();
        loaded.push_back(std::move(*one));
    }
    auto state = std::make_unique<State>();
    state->tickets = std::move(tickets);
    state->authority = std::move(authority);
    if (const auto built = state->build(loaded); !built) return built.error();
    for (LoadedCertificate& one : loaded) state->infos.push_back(std::move(one.info));
    return std::shared_ptr<const TlsServer>(new TlsServer(std::move(state)));
}

TlsServer::TlsServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsServer::~TlsServer() = default;

SslPtr TlsServer::new_session(ClientCertificates clients) const {
    ERR_clear_error();
    SslPtr made(SSL_new(state_->fallback));
    if (made && clients == ClientCertificates::asked_for) {
        SSL_set_verify(made.get(), SSL_VERIFY_PEER, nullptr);
        SSL_set_session_id_context(made.get(), octets(session_id_asking), session_id_asking.size());
    }
    return made;
}

const auth::CertificateAuthority* TlsServer::authority() const noexcept {
    return state_->authority.get();
}

std::span<const CertificateInfo> TlsServer::certificates() const noexcept {
    return state_->infos;
}

}  // namespace postern::relay::net
