// What a connection holds while it waits: heap of N idle TLS connections of ours, beside as many
// bare SSL objects on their sockets. The clients live in a process of their own.

#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "relay/net/listener.hpp"
#include "relay/net/task_group.hpp"
#include "tests/unit/net/support.hpp"

using namespace postern::test;

namespace {

constexpr std::size_t connections = 200;

/// Opens connections one after the other, sends a line on each, reads the answer, then stays until
/// killed.
[[noreturn]] void be_clients(std::uint16_t port) {
    const net::SslContextPtr context(SSL_CTX_new(TLS_client_method()));
    for (std::size_t i = 0; i < connections; ++i) {
        const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        SSL* ssl = SSL_new(context.get());
        SSL_set_fd(ssl, descriptor);
        std::array<char, 16> answer;
        if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 ||
            SSL_connect(ssl) != 1 || SSL_write(ssl, "EHLO x\r\n", 8) != 8 ||
            SSL_read(ssl, answer.data(), answer.size()) <= 0) {
            ::_exit(1);
        }
    }
    for (;;) ::pause();
}

class Clients {
  public:
    explicit Clients(std::uint16_t port) : child_(::fork()) {
        if (child_ == 0) be_clients(port);
    }
    Clients(const Clients&) = delete;
    Clients& operator=(const Clients&) = delete;
    ~Clients() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }

  private:
    pid_t child_;
};

std::size_t heap() {
    const auto info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

awaitable<void> converse(net::Stream stream, net::TlsServerPtr tls, std::size_t& idle) {
    if (co_await stream.start_tls_server(std::move(tls), net::TlsStart::implicit)) co_return;
    if (co_await stream.wait_readable()) co_return;
    {
        std::array<char, 64> part;
        if (!stream.try_read(part)) co_return;
    }
    if (co_await stream.write("250 ok\r\n")) co_return;
    ++idle;
    stream.set_deadline(5min);
    (void)co_await stream.wait_readable();
}

std::size_t heap_of_streams(const net::TlsServerPtr& tls) {
    asio::io_context context(1);
    std::size_t idle = 0;
    net::TaskGroup tasks(context.get_executor(), {});
    const net::Worker worker{
        &context, std::make_shared<std::atomic<std::size_t>>(0), [&](net::Accepted accepted) {
            tasks.spawn(converse(net::Stream(std::move(accepted.socket)), tls, idle));
        }};
    net::Listener listener(context, *net::open_listening_socket("127.0.0.1:0"),
                           std::span(&worker, 1), {});
    tasks.spawn(listener.run());
    const Clients clients(listener.local().port());
    std::size_t before = 0;
    while (idle < connections && context.run_one_for(20s) > 0) {
        if (idle == 1 && before == 0) before = heap();  // what the first one makes is everybody's
    }
    REQUIRE(idle == connections);
    return (heap() - before) / (connections - 1);
}

std::size_t heap_of_bare(const net::TlsServerPtr& tls) {
    const int listening = *net::open_listening_socket("127.0.0.1:0");
    ::fcntl(listening, F_SETFL, 0);
    sockaddr_in at{};
    socklen_t size = sizeof at;
    ::getsockname(listening, reinterpret_cast<sockaddr*>(&at), &size);
    const Clients clients(ntohs(at.sin_port));
    std::vector<net::SslPtr> open;
    open.reserve(connections);
    std::size_t before = 0;
    for (std::size_t i = 0; i < connections; ++i) {
        const int descriptor = ::accept(listening, nullptr, nullptr);
        net::SslPtr ssl = tls->new_session();
        SSL_set_fd(ssl.get(), descriptor);
        std::array<char, 16> line;
        REQUIRE(SSL_accept(ssl.get()) == 1);
        REQUIRE(SSL_read(ssl.get(), line.data(), line.size()) > 0);
        REQUIRE(SSL_write(ssl.get(), "250 ok\r\n", 8) == 8);
        open.push_back(std::move(ssl));
        if (i == 0) before = heap();
    }
    const std::size_t after = heap();
    for (const auto& ssl : open) ::close(SSL_get_fd(ssl.get()));
    ::close(listening);
    return (after - before) / (connections - 1);
}

}  // namespace

TEST_CASE("an idle TLS connection holds at most 4 KiB beside OpenSSL's own", "[net][memory]") {
    if (heap() == 0) return;  // a sanitizer's allocator does not tell
    const Folder folder;
    const auto tls = server_of({make_certificate(folder, "mail.example", KeyKind::ec, {})});
    const std::size_t bare = heap_of_bare(tls);
    const std::size_t ours = heap_of_streams(tls);
    INFO("bare " << bare << ", ours " << ours);
    CHECK(ours <= bare + 4096);
    CHECK(ours > bare / 2);
}
