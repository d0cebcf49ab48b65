// Certificates of clients, and the binding of TLS 1.2.

#include <functional>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/unit/net/raw_peer.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;
using net::ClientCertificates;
using net::Stream;
using postern::auth::ClientCertificate;

namespace {

using Bindings = std::optional<std::string>;

struct SessionFree {
    void operator()(SSL_SESSION* p) const noexcept { SSL_SESSION_free(p); }
};
using SessionPtr = std::unique_ptr<SSL_SESSION, SessionFree>;

/// What a client brings, and what came of its connection on both sides.
struct Visit {
    int version = TLS1_3_VERSION;
    net::CertificateFiles certificate{};
    SSL_SESSION* resume = nullptr;
    std::uint64_t options = 0;
    ClientCertificates asked = ClientCertificates::asked_for;

    bool connected = false;
    bool was_asked = false;
    bool resumed = false;
    SessionPtr session{};  ///< To come back with.
    Bindings first_finished{};
    std::optional<ClientCertificate> shown{};
    Bindings unique{};
    bool server_resumed = false;
};

struct Site {
    Folder folder;
    net::CertificateFiles server =
        make_certificate(folder, "mail.example", KeyKind::ec, {"DNS:mail.example"});
    net::CertificateFiles other =
        make_certificate(folder, "other.example", KeyKind::ec, {"DNS:other.example"});
    net::CertificateFiles client =
        make_certificate(folder, "laptop", KeyKind::ec, {"email:ann@example.net"});
    net::TlsServerPtr tls = server_of({other, server});
};

const Site& site() {
    static const Site made;
    return made;
}

awaitable<void> serve_one(Stream& stream, ClientCertificates asked, error_code& outcome) {
    outcome = co_await stream.start_tls_server(site().tls, net::TlsStart::implicit, asked);
    if (!outcome) outcome = co_await stream.write("hello");
}

int notes_that_it_was_asked(SSL* ssl, void* visit) {
    static_cast<Visit*>(visit)->was_asked = true;
    const net::CertificateFiles& files = static_cast<Visit*>(visit)->certificate;
    if (files.certificate.empty()) return 1;
    return SSL_use_certificate_file(ssl, files.certificate.c_str(), SSL_FILETYPE_PEM) == 1 &&
                   SSL_use_PrivateKey_file(ssl, files.key.c_str(), SSL_FILETYPE_PEM) == 1
               ? 1
               : 0;
}

void call(SSL* ssl, Visit& visit) {
    if (visit.resume != nullptr) SSL_set_session(ssl, visit.resume);
    if (SSL_connect(ssl) != 1) return;
    char text[8];
    visit.connected = SSL_read(ssl, text, sizeof text) == 5;
    visit.resumed = SSL_session_reused(ssl) == 1;
    visit.session.reset(SSL_get1_session(ssl));
    std::string finished(64, '\0');
    // The client's is the first, but of a resumed session the server's.
    finished.resize(visit.resumed ? SSL_get_peer_finished(ssl, finished.data(), finished.size())
                                  : SSL_get_finished(ssl, finished.data(), finished.size()));
    visit.first_finished = std::move(finished);
    SSL_shutdown(ssl);
}

void go(Visit& visit) {
    asio::io_context context(1);
    auto [server, client] = socket_pair(context);
    auto raw = raw_client(visit.version, visit.version);
    SSL_CTX_set_options(raw.get(), visit.options);
    SSL_CTX_set_cert_cb(raw.get(), &notes_that_it_was_asked, &visit);
    {
        RawPeer peer(std::move(client), std::move(raw), "mail.example");
        peer.start([&visit](SSL* ssl, int) { call(ssl, visit); });
        Stream stream(std::move(server));
        error_code outcome;
        run(context, serve_one(stream, visit.asked, outcome));
        if (!outcome) {
            visit.shown = stream.client_certificate();
            visit.unique = stream.channel_binding_unique();
            visit.server_resumed = stream.tls_info().resumed;
        }
        peer.join();
    }
}

}  // namespace

TEST_CASE("a client that is asked may show a certificate, or none", "[net][tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Visit silent{.version = version};
    go(silent);
    CHECK(silent.connected);
    CHECK(silent.was_asked);
    CHECK_FALSE(silent.shown.has_value());

    Visit laptop{.version = version, .certificate = site().client};
    go(laptop);
    CHECK(laptop.connected);
    REQUIRE(laptop.shown.has_value());
    CHECK(laptop.shown->fingerprint.size() == 64);
    CHECK(laptop.shown->validity == ClientCertificate::Validity::good);
    CHECK_FALSE(laptop.shown->name.has_value());

    Visit other{.version = version, .certificate = site().server};
    go(other);
    REQUIRE(other.shown.has_value());
    CHECK(other.shown->fingerprint != laptop.shown->fingerprint);
}

TEST_CASE("where no certificate is wanted none is asked for", "[net][tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Visit visit{
        .version = version, .certificate = site().client, .asked = ClientCertificates::left_out};
    go(visit);
    CHECK(visit.connected);
    CHECK_FALSE(visit.was_asked);
    CHECK_FALSE(visit.shown.has_value());
}

TEST_CASE("with a client's certificate nothing is resumed: it is proved anew", "[net][tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Visit first{.version = version, .certificate = site().client};
    go(first);
    REQUIRE(first.connected);
    Visit second{.version = version, .certificate = site().client, .resume = first.session.get()};
    go(second);
    CHECK(second.connected);
    CHECK_FALSE(second.resumed);
    CHECK(second.was_asked);
    REQUIRE(second.shown.has_value());
    CHECK(second.shown->fingerprint == first.shown->fingerprint);
}

TEST_CASE("who shows none resumes, and has none then", "[net][tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Visit first{.version = version};
    go(first);
    Visit second{.version = version, .certificate = site().client, .resume = first.session.get()};
    go(second);
    CHECK(second.resumed);
    CHECK(second.server_resumed);
    CHECK_FALSE(second.shown.has_value());
}

TEST_CASE("a session of a listener that does not ask is not resumed where one does", "[net][tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Visit first{.version = version, .asked = ClientCertificates::left_out};
    go(first);
    Visit second{.version = version, .certificate = site().client, .resume = first.session.get()};
    go(second);
    CHECK(second.connected);
    CHECK_FALSE(second.resumed);
    CHECK(second.shown.has_value());
    // Nor the other way round.
    Visit third{.version = version};
    go(third);
    Visit fourth{
        .version = version, .resume = third.session.get(), .asked = ClientCertificates::left_out};
    go(fourth);
    CHECK(fourth.connected);
    CHECK_FALSE(fourth.resumed);
}

TEST_CASE("tls-unique is the first Finished, of full and of resumed handshakes", "[net][tls]") {
    Visit first{.version = TLS1_2_VERSION, .asked = ClientCertificates::left_out};
    go(first);
    REQUIRE(first.unique.has_value());
    CHECK(first.unique->size() == 12);
    CHECK(first.unique == first.first_finished);
    Visit second{.version = TLS1_2_VERSION,
                 .resume = first.session.get(),
                 .asked = ClientCertificates::left_out};
    go(second);
    REQUIRE(second.server_resumed);
    REQUIRE(second.unique.has_value());
    CHECK(second.unique == second.first_finished);
    CHECK(second.unique != first.unique);
}

TEST_CASE("tls-unique is not to be had by TLS 1.3, nor without the extended master secret",
          "[net][tls]") {
    Visit newer{.asked = ClientCertificates::left_out};
    go(newer);
    CHECK(newer.connected);
    CHECK_FALSE(newer.unique.has_value());
    Visit older{.version = TLS1_2_VERSION,
                .options = SSL_OP_NO_EXTENDED_MASTER_SECRET,
                .asked = ClientCertificates::left_out};
    go(older);
    CHECK(older.connected);
    CHECK_FALSE(older.unique.has_value());
}
