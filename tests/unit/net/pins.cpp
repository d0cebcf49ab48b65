#include <openssl/pem.h>
#include <openssl/x509.h>

#include "relay/net/error.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;
using net::KeyPin;
using net::PeerCheck;
using net::TlsStart;

namespace {

struct PinFree {
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
    void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};

/// By another way than the code under test: the digest of the key's DER.
KeyPin pin_of(const net::CertificateFiles& files) {
    const std::unique_ptr<BIO, PinFree> in(BIO_new_file(files.certificate.c_str(), "r"));
    const std::unique_ptr<X509, PinFree> certificate(
        PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    EVP_PKEY* key = X509_get0_pubkey(certificate.get());
    std::string der(static_cast<std::size_t>(i2d_PUBKEY(key, nullptr)), '\0');
    auto* at = reinterpret_cast<unsigned char*>(der.data());
    i2d_PUBKEY(key, &at);
    KeyPin out{};
    unsigned size = 0;
    EVP_Digest(der.data(), der.size(), out.data(), &size, EVP_sha256(), nullptr);
    return out;
}

net::TlsClientPtr client_with(net::TlsClientOptions options) {
    auto made = net::TlsClient::make(options);
    REQUIRE(made.has_value());
    return *made;
}

awaitable<void> takes(net::Stream& stream, net::TlsServerPtr tls, error_code& outcome) {
    outcome = co_await stream.start_tls_server(std::move(tls), TlsStart::implicit);
}

awaitable<void> calls(net::Stream& stream, net::TlsClientPtr tls, std::string host,
                      std::vector<std::string> also, error_code& outcome) {
    outcome = co_await stream.start_tls_client(std::move(tls), std::move(host), TlsStart::implicit,
                                               "peer", std::move(also));
}

struct Called {
    error_code error;
    std::string refused;
};

Called call(const net::TlsServerPtr& server, const net::TlsClientPtr& client,
            const std::string& host, const std::vector<std::string>& also = {}) {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    error_code served;
    Called out;
    run(context, takes(one, server, served), calls(two, client, host, also, out.error));
    out.refused = two.refused_key();
    return out;
}

}  // namespace

TEST_CASE("a pinned key is believed whatever the certificate says, and no other one is",
          "[net][tls]") {
    const Folder folder;
    const auto ours = make_certificate(folder, "ours", KeyKind::ec, {"DNS:other.example"});
    const auto theirs = make_certificate(folder, "theirs", KeyKind::rsa, {"DNS:mail.example"});
    const auto server = server_of({ours});
    const KeyPin right = pin_of(ours);
    const KeyPin wrong = pin_of(theirs);
    SECTION("the right one, for any name, again and again") {
        const auto client = client_with({.check = PeerCheck::pin, .pins = {wrong, right}});
        for (int i = 0; i < 3; ++i) {
            const Called called = call(server, client, "mail.example");
            CHECK_FALSE(called.error);
            CHECK(called.refused.empty());
        }
    }
    SECTION("a wrong one, though name and chain are good") {
        const auto named = server_of({theirs});
        const auto client =
            client_with({.check = PeerCheck::pin, .ca_file = theirs.certificate, .pins = {right}});
        const Called called = call(named, client, "mail.example");
        CHECK(called.error.message() == "the server's key is none of those pinned");
        CHECK(called.refused == net::text_of(wrong));
    }
    SECTION("none at all believes nobody") {
        CHECK(call(server, client_with({.check = PeerCheck::pin}), "other.example").error);
    }
}

TEST_CASE("a pin is written as RFC 7469 has it", "[net][tls]") {
    CHECK(net::text_of(KeyPin{}) == "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

TEST_CASE("a certificate may carry any of the names that will do", "[net][tls]") {
    const Folder folder;
    const auto files = make_certificate(folder, "one", KeyKind::ec, {"DNS:example.net"});
    const auto server = server_of({files});
    const auto dial = [&](const std::string& host, const std::vector<std::string>& also) {
        return call(server, client_trusting(files.certificate), host, also).error;
    };
    CHECK_FALSE(dial("example.net", {}));
    CHECK_FALSE(dial("mx.example.net", {"example.net"}));
    CHECK(net::names_another(dial("mx.example.net", {})));
    CHECK(net::names_another(dial("mx.example.net", {"other.example"})));
    CHECK_FALSE(net::names_another(call(server, client_trusting_all(), "x.example").error));
}
