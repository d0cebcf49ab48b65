// Wrong logins at a set rate from many loopback sources, as a password guesser with many machines
// makes them: connect by TLS, EHLO, AUTH PLAIN, a short wait for the answer, the next one on the
// same connection while it is open. It waits for no penalty: what is not answered in time is left
// behind. Prints one JSON line: logins begun, and answers by code.
//
//   bench_flood --connect 127.0.0.1:PORT --rate 5000 --seconds 20 --sources 2000 --accounts 200
//
//   --connect   a port with TLS from the start    --rate      logins begun a second
//   --sources   addresses 127.100.0.1 and up      --accounts  names tried, from
//               in turn                                      user0000@example.net up
//   --threads   clients at a time (300)           --patience  milliseconds for an answer (100)

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
    sockaddr_in server{};
    std::uint64_t rate = 5000;
    std::uint64_t seconds = 20;
    std::uint32_t sources = 2000;
    std::uint32_t accounts = 200;
    std::size_t threads = 300;
    std::uint32_t patience = 100;
};

struct Counts {
    std::atomic<std::uint64_t> begun = 0, wrong = 0, later = 0, closed = 0, silent = 0, refused = 0;
};

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_flood: {}\n", what);
    std::_Exit(1);
}

std::string guess(std::uint64_t number, std::uint32_t accounts) {
    std::string text;
    text += '\0';
    text += fmt::format("user{:04}@example.net", number % accounts);
    text += '\0';
    text += fmt::format("guess{}", number);
    std::string out((text.size() + 2) / 3 * 4 + 1, '\0');
    const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                  reinterpret_cast<const unsigned char*>(text.data()),
                                  static_cast<int>(text.size()));
    out.resize(static_cast<std::size_t>(n));
    return "AUTH PLAIN " + out + "\r\n";
}

/// One connection; gone with it.
class Connection {
  public:
    Connection(const Options& options, SSL_CTX* context, std::uint32_t source) {
        socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (socket_ < 0) return;
        sockaddr_in from{};
        from.sin_family = AF_INET;
        from.sin_addr.s_addr = htonl(0x7F640001U + source);  // 127.100.0.1
        const timeval time{.tv_sec = options.patience / 1000,
                           .tv_usec = static_cast<suseconds_t>(options.patience % 1000) * 1000};
        const int one = 1;
        ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
        ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
        // Whoever guesses leaves no port in TIME_WAIT.
        const linger gone{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &gone, sizeof gone);
        if (::bind(socket_, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
            ::connect(socket_, reinterpret_cast<const sockaddr*>(&options.server),
                      sizeof options.server) != 0)
            return;
        ssl_ = SSL_new(context);
        SSL_set_fd(ssl_, socket_);
        open_ = SSL_connect(ssl_) == 1 && code() == 220 && say("EHLO flood\r\n") && code() == 250;
    }
    ~Connection() {
        if (ssl_ != nullptr) SSL_free(ssl_);
        if (socket_ >= 0) ::close(socket_);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    [[nodiscard]] bool open() const { return open_; }
    [[nodiscard]] bool say(std::string_view text) {
        return SSL_write(ssl_, text.data(), static_cast<int>(text.size())) > 0;
    }
    /// The code of the next reply; 0: none came, -1: the connection has ended.
    [[nodiscard]] int code() {
        for (;;) {
            const auto end = in_.find('\n');
            if (end != std::string::npos) {
                const std::string line = in_.substr(0, end);
                in_.erase(0, end + 1);
                if (line.size() >= 4 && line[3] == ' ') return std::atoi(line.c_str());
                continue;
            }
            std::array<char, 4096> some{};
            const int n = SSL_read(ssl_, some.data(), static_cast<int>(some.size()));
            if (n <= 0) return SSL_get_error(ssl_, n) == SSL_ERROR_WANT_READ ? 0 : -1;
            in_.append(some.data(), static_cast<std::size_t>(n));
        }
    }

  private:
    int socket_ = -1;
    SSL* ssl_ = nullptr;
    bool open_ = false;
    std::string in_;
};

void attack(const Options& options, SSL_CTX* context, Counts& counts, Clock::time_point began) {
    const auto until = began + std::chrono::seconds(options.seconds);
    const auto turn = [&](std::uint64_t number) {
        return began + std::chrono::microseconds(number * 1'000'000 / options.rate);
    };
    while (Clock::now() < until) {
        std::uint64_t number = counts.begun.fetch_add(1);
        if (turn(number) > until) {
            counts.begun.fetch_sub(1);
            return;
        }
        std::this_thread::sleep_until(turn(number));
        Connection connection(options, context,
                              static_cast<std::uint32_t>(number % options.sources));
        if (!connection.open()) {
            ++counts.refused;
            continue;
        }
        for (;;) {
            int code = -1;
            if (connection.say(guess(number, options.accounts))) code = connection.code();
            ++(code == 535   ? counts.wrong
               : code == 454 ? counts.later
               : code == 0   ? counts.silent
                             : counts.closed);
            if (code != 535 && code != 454) break;
            number = counts.begun.fetch_add(1);
            if (turn(number) > until) {
                counts.begun.fetch_sub(1);
                return;
            }
            std::this_thread::sleep_until(turn(number));
        }
    }
}

Options parse(int argc, char** argv) {
    Options options;
    options.server.sin_family = AF_INET;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string_view key = argv[i];
        const std::string value = argv[i + 1];
        const auto number = std::strtoul(value.c_str(), nullptr, 10);
        if (key == "--connect") {
            const auto colon = value.find(':');
            if (colon == std::string::npos ||
                ::inet_pton(AF_INET, value.substr(0, colon).c_str(), &options.server.sin_addr) != 1)
                fail("--connect wants ADDRESS:PORT");
            options.server.sin_port = htons(
                static_cast<std::uint16_t>(std::strtoul(value.c_str() + colon + 1, nullptr, 10)));
        } else if (number == 0) {
            fail(fmt::format("{} wants a number above 0", key));
        } else if (key == "--rate") {
            options.rate = number;
        } else if (key == "--seconds") {
            options.seconds = number;
        } else if (key == "--sources") {
            options.sources = static_cast<std::uint32_t>(number);
        } else if (key == "--accounts") {
            options.accounts = static_cast<std::uint32_t>(number);
        } else if (key == "--threads") {
            options.threads = number;
        } else if (key == "--patience") {
            options.patience = static_cast<std::uint32_t>(number);
        } else {
            fail(fmt::format("{} is not known", key));
        }
    }
    if (options.server.sin_port == 0) fail("--connect is missing");
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const Options options = parse(argc, argv);
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(
        SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
    if (!context) fail("no TLS");
    Counts counts;
    const auto began = Clock::now();
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < options.threads; ++i)
            threads.emplace_back([&] { attack(options, context.get(), counts, began); });
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    fmt::print(
        "{{\"begun\":{},\"rate\":{:.0f},\"wrong_535\":{},\"later_454\":{},\"closed\":{},\"silent\":"
        "{},"
        "\"not_let_in\":{}}}\n",
        counts.begun.load(), static_cast<double>(counts.begun.load()) / seconds,
        counts.wrong.load(), counts.later.load(), counts.closed.load(), counts.silent.load(),
        counts.refused.load());
}
