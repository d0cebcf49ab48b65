// What idle TLS connections cost without any server around them: N bare `SSL` server objects over
// socket pairs, set up as the relay sets up its own (buffers released, no session cache, tickets
// on), each after a full handshake and one exchange. Prints one JSON line: resident octets of this
// process for each of them.
//
//   bench_idle_tls COUNT CERTIFICATE KEY

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using Ssl = std::unique_ptr<SSL, Free>;
using Context = std::unique_ptr<SSL_CTX, Free>;

constexpr std::string_view word = "NOOP\r\n";

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_idle_tls: {}\n", what);
    std::_Exit(1);
}

std::uint64_t resident() {
    std::ifstream status("/proc/self/status");
    std::string line;
    while (std::getline(status, line))
        if (line.starts_with("VmRSS:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
    fail("no VmRSS in /proc/self/status");
}

/// The client's end of all pairs, in a process of its own so that its memory is not counted:
/// handshake, one word there and back, in turn; then it waits until its parent has measured.
[[noreturn]] void run_client(const std::vector<int>& sockets, int measured) {
    const Context context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
    std::vector<Ssl> connections;
    for (const int socket : sockets) {
        Ssl ssl(SSL_new(context.get()));
        SSL_set_fd(ssl.get(), socket);
        std::array<char, 64> got{};
        if (SSL_connect(ssl.get()) != 1 || SSL_write(ssl.get(), word.data(), word.size()) <= 0 ||
            SSL_read(ssl.get(), got.data(), got.size()) <= 0)
            fail("the client's side failed");
        connections.push_back(std::move(ssl));
    }
    char octet = 0;
    (void)!::read(measured, &octet, 1);
    std::_Exit(0);
}

Ssl serve(SSL_CTX* context, int socket) {
    Ssl ssl(SSL_new(context));
    SSL_set_fd(ssl.get(), socket);
    std::array<char, 64> got{};
    if (SSL_accept(ssl.get()) != 1 || SSL_read(ssl.get(), got.data(), got.size()) <= 0 ||
        SSL_write(ssl.get(), word.data(), word.size()) <= 0)
        fail("the server's side failed");
    return ssl;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) fail("bench_idle_tls COUNT CERTIFICATE KEY");
    std::signal(SIGPIPE, SIG_IGN);
    std::size_t count = 0;
    const std::string_view text = argv[1];
    std::from_chars(text.data(), text.data() + text.size(), count);
    if (count == 0) fail("a count is wanted");

    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    std::vector<int> ours;
    std::vector<int> theirs;
    for (std::size_t i = 0; i < count; ++i) {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
            fail("too few file descriptors");
        ours.push_back(pair[0]);
        theirs.push_back(pair[1]);
    }
    std::array<int, 2> measured{};
    if (::pipe(measured.data()) != 0) fail("no pipe");
    const pid_t client = ::fork();
    if (client == 0) {
        ::close(measured[1]);
        for (const int socket : ours) ::close(socket);
        run_client(theirs, measured[0]);
    }
    ::close(measured[0]);
    for (const int socket : theirs) ::close(socket);

    const Context context(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
    if (SSL_CTX_use_certificate_chain_file(context.get(), argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), argv[3], SSL_FILETYPE_PEM) != 1)
        fail("no certificate or key there");
    std::vector<Ssl> connections;
    connections.reserve(count);
    // What the first handshake loads and keeps belongs to no connection.
    connections.push_back(serve(context.get(), ours.front()));
    ::malloc_trim(0);
    const std::uint64_t before = resident();
    for (std::size_t i = 1; i < count; ++i) connections.push_back(serve(context.get(), ours[i]));
    ::malloc_trim(0);
    const std::uint64_t after = resident();
    fmt::print("{{\"connections\":{},\"bytes_each\":{:.0f}}}\n", count,
               static_cast<double>(after - before) / static_cast<double>(count - 1));
    ::close(measured[1]);
    int status = 0;
    ::waitpid(client, &status, 0);
    return status == 0 ? 0 : 1;
}
