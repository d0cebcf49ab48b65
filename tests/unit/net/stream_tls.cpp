#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <future>
#include <random>
#include <thread>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>

#include "relay/net/handshake_gate.hpp"
#include "tests/unit/net/raw_peer.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;
using net::Error;
using net::Stream;
using net::TlsStart;

namespace {

struct Site {
    Folder folder;
    net::CertificateFiles ec =
        make_certificate(folder, "mail.example", KeyKind::ec, {"DNS:mail.example"});
    net::CertificateFiles rsa =
        make_certificate(folder, "mail-rsa.example", KeyKind::rsa, {"DNS:mail.example"});
    net::CertificateFiles wild =
        make_certificate(folder, "wild", KeyKind::ec, {"DNS:*.wild.example"});
    net::CertificateFiles literal =
        make_certificate(folder, "literal", KeyKind::ec, {"IP:127.0.0.1", "IP:::1"});
    net::TlsServerPtr server = server_of({ec, rsa, wild, literal});
};

const Site& site() {
    static const Site made;
    return made;
}

awaitable<void> serve(Stream& stream, net::TlsServerPtr tls, error_code& outcome,
                      TlsStart start = TlsStart::implicit) {
    outcome = co_await stream.start_tls_server(std::move(tls), start);
}

awaitable<void> dial(Stream& stream, net::TlsClientPtr tls, std::string host, error_code& outcome) {
    outcome = co_await stream.start_tls_client(std::move(tls), std::move(host), TlsStart::implicit);
}

struct Pair {
    Stream server;
    Stream client;
    error_code served;
    error_code dialled;
};

Pair handshake(asio::io_context& context, net::TlsServerPtr server, net::TlsClientPtr client,
               const std::string& host = "mail.example", Buffers buffers = {}) {
    auto [one, two] = stream_pair(context, buffers);
    Pair pair{std::move(one), std::move(two), {}, {}};
    run(context, serve(pair.server, std::move(server), pair.served),
        dial(pair.client, std::move(client), host, pair.dialled));
    return pair;
}

awaitable<void> echo(Stream& stream, std::size_t size) {
    std::vector<char> part(70000);
    for (std::size_t done = 0; done < size;) {
        const auto got = co_await stream.read_some(part);
        REQUIRE(got);
        if (*got == 0) break;
        done += *got;
        REQUIRE(!co_await stream.write(std::string_view(part.data(), *got)));
    }
}

awaitable<void> send(Stream& stream, std::string text) {
    REQUIRE(!co_await stream.write(text));
}

awaitable<void> expect(Stream& stream, std::string text, std::size_t step) {
    const std::string got = co_await read_exactly(stream, text.size(), step);
    REQUIRE((got == text));
}

awaitable<void> exchange(Stream& one, Stream& two) {
    REQUIRE(!co_await one.write("220 ready\r\n"));
    REQUIRE(!co_await two.wait_readable());
    CHECK(co_await read_exactly(two, 11) == "220 ready\r\n");
    REQUIRE(!co_await two.write("EHLO x\r\n"));
    CHECK(co_await read_exactly(one, 8) == "EHLO x\r\n");
}

awaitable<void> ends_orderly(Stream& one, Stream& two) {
    std::array<char, 10> part;
    asio::co_spawn(co_await asio::this_coro::executor, one.shutdown(),
                   [](const std::exception_ptr&) {});
    const auto got = co_await two.read_some(part);
    REQUIRE(got);
    CHECK(*got == 0);
    co_await two.shutdown();
    CHECK_FALSE(two.is_open());
}

awaitable<void> many_small(Stream& stream, const std::string& text) {
    std::minstd_rand random(7);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t n = std::min<std::size_t>(1 + random() % 3000, text.size() - at);
        const std::array<std::string_view, 3> pieces{
            std::string_view(text).substr(at, n / 2), "",
            std::string_view(text).substr(at + n / 2, n - n / 2)};
        REQUIRE(!co_await stream.write(pieces));
        at += n;
    }
}

awaitable<void> stalls(Stream& stream) {
    stream.set_deadline(50ms);
    const std::string much(std::size_t{8} * 1024 * 1024, 'x');
    CHECK(co_await stream.write(much) == asio::error::timed_out);
    CHECK(co_await stream.write("x") == Error::broken);
    co_await stream.shutdown();
}

awaitable<void> times_out_then_speaks(Stream& server, Stream& client) {
    server.set_deadline(30ms);
    std::array<char, 10> part;
    CHECK((co_await server.read_some(part)).error() == asio::error::timed_out);
    server.set_deadline(5s);
    REQUIRE(!co_await server.write("421 4.4.2 idle\r\n"));
    CHECK(co_await read_exactly(client, 16) == "421 4.4.2 idle\r\n");
}

awaitable<void> plain_behind_starttls(Stream& server, Stream& client, error_code& outcome) {
    REQUIRE(!co_await client.write("STARTTLS\r\nMAIL FROM:<evil@example>\r\n"));
    CHECK(co_await read_exactly(server, 10, 10) == "STARTTLS\r\n");
    REQUIRE(!co_await server.write("220 go\r\n"));
    outcome = co_await server.start_tls_server(site().server, TlsStart::upgrade);
    std::array<char, 64> part;
    CHECK((co_await server.read_some(part)).error() == Error::broken);
    CHECK_FALSE(server.is_tls());
}

awaitable<void> plain_instead_of_hello(Stream& server, Stream& client, error_code& outcome) {
    REQUIRE(!co_await server.write("220 go\r\n"));
    REQUIRE(!co_await client.write("MAIL FROM:<evil@example>\r\nRCPT TO:<x@example>\r\nDATA\r\n"));
    outcome = co_await server.start_tls_server(site().server, TlsStart::upgrade);
    std::array<char, 64> part;
    CHECK((co_await server.read_some(part)).error() == Error::broken);
}

awaitable<void> silent_handshake(Stream& server, error_code& outcome) {
    server.set_deadline(40ms);
    outcome = co_await server.start_tls_server(site().server, TlsStart::implicit);
    server.set_deadline(1s);
    CHECK(co_await server.write("421") == Error::broken);
}

awaitable<void> wait_end(Stream& stream, result<std::size_t>& got) {
    std::array<char, 10> part;
    got = co_await stream.read_some(part);
}

/// A connection with traffic in both directions, read in odd portions between waits.
awaitable<void> chatter(Stream& stream, std::string out, std::string in, unsigned seed) {
    std::minstd_rand random(seed);
    std::size_t sent = 0;
    std::size_t seen = 0;
    std::vector<char> part(40000);
    while (sent < out.size() || seen < in.size()) {
        if (sent < out.size()) {
            const std::size_t n = std::min<std::size_t>(1 + random() % 2500, out.size() - sent);
            REQUIRE(!co_await stream.write(std::string_view(out).substr(sent, n)));
            sent += n;
        }
        if (seen < in.size()) {
            REQUIRE(!co_await stream.wait_readable());
            if (random() % 3 == 0) co_await pause(0ms);  // others take the shared buffer meanwhile
            const std::size_t room =
                std::min<std::size_t>(1 + random() % part.size(), in.size() - seen);
            const auto got = stream.try_read(std::span(part).first(room));
            if (!got) {
                REQUIRE(got.error() == Error::would_block);
                continue;
            }
            REQUIRE(*got > 0);
            REQUIRE(
                (std::string_view(part.data(), *got) == std::string_view(in).substr(seen, *got)));
            seen += *got;
        }
    }
}

}  // namespace

TEST_CASE("TLS 1.3 between our two sides", "[net][tls]") {
    asio::io_context context(1);
    Pair pair = handshake(context, site().server, client_trusting(site().ec.certificate));
    REQUIRE(!pair.served);
    REQUIRE(!pair.dialled);
    run(context, exchange(pair.server, pair.client));
    CHECK(pair.server.is_tls());
    CHECK(pair.server.tls_info().version == "TLSv1.3");
    CHECK(pair.server.tls_info().sni == "mail.example");
    CHECK(pair.server.tls_info().cipher == pair.client.tls_info().cipher);
    const auto binding = pair.server.channel_binding_exporter();
    REQUIRE(binding);
    CHECK(binding->size() == 32);
    CHECK(binding == pair.client.channel_binding_exporter());
    const auto point = pair.server.channel_binding_server_end_point();
    REQUIRE(point);
    CHECK(point->size() == 32);
    CHECK(point == pair.client.channel_binding_server_end_point());
    run(context, ends_orderly(pair.client, pair.server));
}

TEST_CASE("a foreign client by TLS 1.2 and 1.3; RSA beside ECDSA", "[net][tls]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const bool rsa = GENERATE(false, true);
    asio::io_context context(1);
    auto [server, client] = socket_pair(context, {4096, 4096});
    auto raw = raw_client(version, version);
    if (rsa) {
        if (version == TLS1_2_VERSION) {
            SSL_CTX_set_cipher_list(raw.get(), "ECDHE-RSA-AES128-GCM-SHA256");
        } else {
            SSL_CTX_set1_sigalgs_list(raw.get(), "rsa_pss_rsae_sha256");
        }
    }
    RawPeer peer(std::move(client), std::move(raw), "mail.example");
    const std::string text = pattern(300'000);
    std::string kind;
    std::string back(text.size(), '\0');
    peer.start([&](SSL* ssl, int) {
        if (SSL_connect(ssl) != 1) return;
        kind = EVP_PKEY_get0_type_name(X509_get0_pubkey(SSL_get0_peer_certificate(ssl)));
        std::thread writer;
        for (std::size_t at = 0, seen = 0; seen < text.size();) {
            if (at < text.size())
                at += static_cast<std::size_t>(SSL_write(ssl, text.data() + at, 3000));
            const int n = SSL_read(ssl, back.data() + seen, static_cast<int>(back.size() - seen));
            if (n <= 0) break;
            seen += static_cast<std::size_t>(n);
        }
    });
    Stream stream(std::move(server));
    error_code served;
    run(context, serve(stream, site().server, served));
    REQUIRE(!served);
    run(context, echo(stream, text.size()));
    peer.join();
    CHECK((back == text));
    CHECK(kind == (rsa ? "RSA" : "EC"));
    CHECK(stream.tls_info().version == (version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3"));
    CHECK(stream.channel_binding_exporter().has_value() == (version == TLS1_3_VERSION));
}

TEST_CASE("TLS 1.1 is refused with an alert", "[net][tls]") {
    asio::io_context context(1);
    auto [server, client] = socket_pair(context);
    RawPeer peer(std::move(client), raw_client(TLS1_VERSION, TLS1_1_VERSION));
    std::string heard;
    peer.start([&](SSL* ssl, int) {
        if (SSL_connect(ssl) == 1) heard = "connected";
        const char* reason = ERR_reason_error_string(ERR_get_error());
        if (reason != nullptr) heard = reason;
    });
    Stream stream(std::move(server));
    error_code served;
    run(context, serve(stream, site().server, served));
    stream.close();
    peer.join();
    CHECK(served.message() == "unsupported protocol");
    CHECK(heard == "tlsv1 alert protocol version");
}

TEST_CASE("TLS 1.2 renegotiation is refused", "[net][tls]") {
    asio::io_context context(1);
    auto [server, client] = socket_pair(context);
    RawPeer peer(std::move(client), raw_client(TLS1_2_VERSION, TLS1_2_VERSION), "mail.example");
    int again = 1;
    peer.start([&](SSL* ssl, int) {
        if (SSL_connect(ssl) != 1) return;
        SSL_write(ssl, "a", 1);
        SSL_renegotiate(ssl);
        again = SSL_do_handshake(ssl);
        if (again == 1) {
            char c = 0;
            again = SSL_write(ssl, "b", 1) == 1 && SSL_read(ssl, &c, 1) == 1 ? 1 : 0;
        }
    });
    Stream stream(std::move(server));
    error_code served;
    run(context, serve(stream, site().server, served), [](Stream& s) -> awaitable<void> {
        std::array<char, 1> one;
        while (!s.is_tls()) co_await pause(1ms);
        (void)co_await s.read_some(one);
        s.set_deadline(300ms);
        (void)co_await s.read_some(one);
        (void)co_await s.write("x");
        co_await s.shutdown();
    }(stream));
    peer.join();
    CHECK(again != 1);
}

TEST_CASE("the name that the client asks for chooses the certificate", "[net][tls]") {
    asio::io_context context(1);
    struct Row {
        std::string host;
        std::string trusted;
        bool fits;
    };
    const Row row =
        GENERATE(Row{"mail.example", "ec", true}, Row{"MAIL.example", "ec", true},
                 Row{"a.wild.example", "wild", true}, Row{"a.b.wild.example", "wild", false},
                 Row{"other.example", "ec", false}, Row{"127.0.0.1", "literal", false});
    const auto& trusted = row.trusted == "ec"     ? site().ec
                          : row.trusted == "wild" ? site().wild
                                                  : site().literal;
    Pair pair = handshake(context, site().server, client_trusting(trusted.certificate), row.host);
    CHECK(!pair.dialled == row.fits);
}

TEST_CASE("an address literal is verified by its iPAddress", "[net][tls]") {
    asio::io_context context(1);
    const auto server = server_of({site().literal});
    const auto client = client_trusting(site().literal.certificate);
    CHECK(!handshake(context, server, client, "127.0.0.1").dialled);
    CHECK(!handshake(context, server, client, "[::1]").dialled);
    Pair wrong = handshake(context, server, client, "127.0.0.2");
    CHECK(wrong.dialled.message() == "IP address mismatch");
    CHECK(wrong.dialled.category() == net::verify_category());
}

TEST_CASE("verification names what is wrong", "[net][tls]") {
    asio::io_context context(1);
    CHECK(handshake(context, site().server, client_trusting(site().ec.certificate), "other.example")
              .dialled.message() == "hostname mismatch");
    const auto untrusted =
        handshake(context, server_of({site().ec}), client_trusting(site().wild.certificate));
    CHECK(untrusted.dialled.category() == net::verify_category());
    CHECK(untrusted.served);
    CHECK(!handshake(context, server_of({site().ec}), client_trusting_all(), "nobody.example")
               .dialled);
}

TEST_CASE("sessions resume, also over a reload of certificates", "[net][tls]") {
    asio::io_context context(1);
    const auto tickets = net::make_ticket_keys();
    const auto client = client_trusting(site().ec.certificate);
    auto server = server_of({site().ec, site().rsa}, tickets);
    for (int round = 0; round < 4; ++round) {
        if (round == 2) server = server_of({site().ec, site().rsa}, tickets);
        if (round == 3)
            server = server_of({site().ec});  // other keys: a full handshake, no failure
        INFO("round " << round);
        Pair pair = handshake(context, server, client);
        REQUIRE(!pair.served);
        REQUIRE(!pair.dialled);
        CHECK(pair.client.tls_info().resumed == (round == 1 || round == 2));
        run(context, exchange(pair.server, pair.client));  // brings the tickets
    }
}

TEST_CASE("bodies pass TLS whole through small buffers", "[net][tls]") {
    asio::io_context context(1);
    const std::string body = pattern(900'000);
    for (const std::size_t step :
         {std::size_t{100}, std::size_t{16384}, std::size_t{65536}, std::size_t{200'000}}) {
        Pair pair =
            handshake(context, site().server, client_trusting_all(), "mail.example", {3000, 3000});
        run(context, send(pair.client, body), expect(pair.server, body, step));
        run(context, many_small(pair.server, body), expect(pair.client, body, step));
    }
}

TEST_CASE("many connections share buffers and mix nothing up", "[net][tls]") {
    asio::io_context context(1);
    constexpr unsigned count = 24;
    std::vector<Pair> pairs;
    std::vector<std::string> texts;
    for (unsigned i = 0; i < count; ++i) {
        if (i % 3 == 2) {
            auto [one, two] = stream_pair(context, {4000, 4000});
            pairs.push_back({std::move(one), std::move(two), {}, {}});
        } else {
            pairs.push_back(handshake(context, site().server, client_trusting_all(), "mail.example",
                                      {4000, 4000}));
        }
        texts.push_back(pattern(60'000, 2 * i));
        texts.push_back(pattern(60'000, 2 * i + 1));
    }
    std::vector<awaitable<void>> tasks;
    for (unsigned i = 0; i < count; ++i) {
        tasks.push_back(chatter(pairs[i].server, texts[2 * i], texts[2 * i + 1], i));
        tasks.push_back(chatter(pairs[i].client, texts[2 * i + 1], texts[2 * i], i + 100));
    }
    run(context, std::move(tasks));
}

TEST_CASE("octets sent behind STARTTLS are never TLS and never commands", "[net][tls]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    error_code outcome;
    SECTION("in the same packet") {
        // The driver took the line alone; the rest lies in the stream.
        run(context, [](Stream& server, Stream& client, error_code& ec) -> awaitable<void> {
            REQUIRE(!co_await client.write("STARTTLS\r\nMAIL FROM:<evil@example>\r\n"));
            REQUIRE(!co_await server.wait_readable());
            co_await plain_behind_starttls(server, client, ec);
        }(one, two, outcome));
        CHECK(outcome == Error::early_plaintext);
    }
    SECTION("in a later one") {
        run(context, plain_instead_of_hello(one, two, outcome));
        CHECK(outcome.category() == net::tls_category());
    }
}

TEST_CASE("a client that is silent in the handshake", "[net][tls]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    error_code outcome;
    run(context, silent_handshake(one, outcome));
    CHECK(outcome == asio::error::timed_out);
}

TEST_CASE("a client that leaves in the handshake", "[net][tls]") {
    asio::io_context context(1);
    auto [one, two] = stream_pair(context);
    two.close();
    error_code outcome;
    run(context, serve(one, site().server, outcome));
    CHECK(outcome == Error::truncated);
}

TEST_CASE("time-outs under TLS: a read leaves a last word, a write ends all", "[net][tls]") {
    asio::io_context context(1);
    Pair pair =
        handshake(context, site().server, client_trusting_all(), "mail.example", {4096, 4096});
    run(context, times_out_then_speaks(pair.server, pair.client));
    run(context, stalls(pair.server));
}

TEST_CASE("an end without close_notify is told apart", "[net][tls]") {
    asio::io_context context(1);
    Pair pair = handshake(context, site().server, client_trusting_all());
    pair.client.close();
    result<std::size_t> got = std::size_t{1};
    run(context, wait_end(pair.server, got));
    REQUIRE(!got);
    CHECK(got.error() == Error::truncated);
}

TEST_CASE("shutdown does not wait for ever", "[net][tls]") {
    asio::io_context context(1);
    Pair pair = handshake(context, site().server, client_trusting_all());
    const auto before = Stream::clock::now();
    run(context, pair.server.shutdown());
    CHECK(Stream::clock::now() - before < 3s);
    CHECK_FALSE(pair.server.is_open());
}

TEST_CASE("a damaged record ends the connection", "[net][tls]") {
    asio::io_context context(1);
    auto [server, client] = socket_pair(context);
    RawPeer peer(std::move(client), raw_client(TLS1_2_VERSION, TLS1_3_VERSION), "mail.example");
    peer.start([](SSL* ssl, int descriptor) {
        if (SSL_connect(ssl) != 1) return;
        SSL_write(ssl, "fine", 4);
        const std::array<char, 16> junk{0x17, 3, 3, 0, 11, 'j', 'u', 'n', 'k'};
        (void)!::write(descriptor, junk.data(), junk.size());
        char c = 0;
        (void)SSL_read(ssl, &c, 1);
    });
    Stream stream(std::move(server));
    error_code served;
    run(context, serve(stream, site().server, served));
    run(context, [](Stream& s) -> awaitable<void> {
        CHECK(co_await read_exactly(s, 4) == "fine");
        std::array<char, 10> part;
        const auto got = co_await s.read_some(part);
        REQUIRE(!got);
        CHECK(got.error().category() == net::tls_category());
        CHECK(co_await s.write("x") == Error::broken);
        s.close();
    }(stream));
}

TEST_CASE("more handshakes at a time than have a place all succeed", "[net][tls]") {
    asio::io_context context(1);
    constexpr std::size_t count = 300;
    std::vector<std::pair<Stream, Stream>> pairs;
    std::vector<error_code> outcomes(2 * count, Error::broken);
    std::vector<awaitable<void>> tasks;
    const auto client = client_trusting_all();
    for (std::size_t i = 0; i < count; ++i) pairs.push_back(stream_pair(context));
    for (std::size_t i = 0; i < count; ++i) {
        tasks.push_back(serve(pairs[i].first, site().server, outcomes[2 * i]));
        tasks.push_back(dial(pairs[i].second, client, "mail.example", outcomes[2 * i + 1]));
    }
    run(context, std::move(tasks));
    for (const error_code& ec : outcomes) CHECK(!ec);
}

TEST_CASE("peers that do not go on with their handshakes shut nobody out", "[net][tls]") {
    asio::io_context context(1);
    constexpr std::size_t count = net::HandshakeGate::limit + 20;
    std::vector<std::pair<Stream, Stream>> silent;
    std::vector<error_code> outcomes(count, Error::broken);
    const auto& gate = asio::use_service<net::HandshakeGate>(context);
    const auto honest = [&](std::chrono::milliseconds within) {
        auto [one, two] = stream_pair(context);
        std::array<error_code, 2> outcome{Error::broken, Error::broken};
        const auto before = Stream::clock::now();
        run(context, serve(one, site().server, outcome[0]),
            dial(two, client_trusting_all(), "mail.example", outcome[1]));
        CHECK_FALSE(outcome[0]);
        CHECK_FALSE(outcome[1]);
        CHECK(Stream::clock::now() - before < within);
    };
    for (std::size_t i = 0; i < count; ++i) silent.push_back(stream_pair(context));
    const auto spawn = [&](awaitable<void> task) {
        asio::co_spawn(context, std::move(task), asio::detached);
    };

    SECTION("clients that say nothing take no place") {
        for (std::size_t i = 0; i < count; ++i)
            spawn(serve(silent[i].first, site().server, outcomes[i]));
        honest(900ms);
        CHECK(gate.under_way() == 0);
    }
    SECTION("clients that stop in the first record lose their place") {
        for (std::size_t i = 0; i < count; ++i) {
            spawn(serve(silent[i].first, site().server, outcomes[i]));
            spawn([](Stream& client) -> awaitable<void> {
                (void)co_await client.write(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
            }(silent[i].second));
        }
        run(context, pause(300ms));
        CHECK(gate.under_way() == net::HandshakeGate::limit);
        honest(3s);
        honest(900ms);  // by now theirs count no more
    }
    SECTION("servers that say nothing to us take no place") {
        const auto client = client_trusting_all();
        for (std::size_t i = 0; i < count; ++i)
            spawn(dial(silent[i].second, client, "mail.example", outcomes[i]));
        honest(900ms);
        CHECK(gate.under_way() == 0);
    }
    for (auto& [one, two] : silent) {
        one.close();
        two.close();
    }
    context.restart();
    context.run();
    CHECK(gate.under_way() == 0);
    CHECK(std::ranges::all_of(outcomes, [](const error_code& ec) { return bool(ec); }));
}
