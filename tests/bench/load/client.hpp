#pragma once

#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace postern::bench {

using Clock = std::chrono::steady_clock;

enum class Tls { none, starttls, implicit };
enum class Hold { no, yes };

struct Options {
    sockaddr_in server{};
    std::size_t connections = 1;
    std::uint64_t mails = 1;
    std::uint64_t total = 1;
    std::size_t size = 10240;
    Tls tls = Tls::starttls;
    std::string user;
    std::string password;
    std::string from = "ann@example.net";
    std::string to = "bob@example.org";
    std::chrono::seconds timeout{120};
    Hold hold = Hold::no;
};

struct Results {
    std::uint64_t claimed = 0;  ///< Mails that some session has taken on.
    std::uint64_t begun = 0;
    std::uint64_t accepted = 0;
    std::uint64_t errors = 0;
    std::uint64_t sessions = 0;
    std::size_t held = 0;
    std::vector<std::uint32_t> reply_us;  ///< From the last octet of a mail written to its reply.
    std::vector<std::uint32_t> mail_us;   ///< From MAIL written to the reply to the data.

    void error(std::string_view what, std::string_view detail) {
        if (++errors <= 10) fmt::print(stderr, "bench_load: {}: {}\n", what, detail);
    }
};

/// What all clients share.
struct Shared {
    const Options& options;
    SSL_CTX* tls;
    Results results{};
    std::string mail{};
    std::size_t number_at = 0;
    std::string auth{};
    std::string envelope{};
    int epoll = -1;
};

/// One SMTP client: a session after the other as long as it is opened again, each step checked.
class Client {
  public:
    explicit Client(Shared& shared) : shared_(shared), mail_(shared.mail), in_(16384) {}
    ~Client() { close(); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    [[nodiscard]] bool finished() const { return step_ == Step::finished; }
    [[nodiscard]] bool opening() const { return step_ < Step::envelope; }

    /// Connects, and goes on to its mails (or to holding, after the login).
    void open();
    /// What epoll says: the socket can be read or written.
    void ready();

  private:
    enum class Step {
        connect,
        greeting,
        ehlo,
        starttls,
        ehlo_again,
        auth,
        envelope,
        data,
        quit,
        held,
        finished
    };

    void start_tls();
    void handshake();
    void send(std::string_view octets);
    void flush();
    void want_write(bool wanted);
    void read();
    void take_replies();
    void take(int code, std::string_view line);
    void next_mail();
    static std::uint32_t since(Clock::time_point from);
    void ended() { fail("ended", "the server closed the connection"); }
    void fail(std::string_view what, std::string_view detail);
    void closed();
    void close();

    Shared& shared_;
    std::string mail_;
    std::vector<char> in_;
    std::size_t in_size_ = 0;
    std::string_view out_;  ///< What is still to be written, of something that stays.
    int fd_ = -1;
    SSL* ssl_ = nullptr;
    bool handshaking_ = false;
    bool wants_write_ = false;
    Step step_ = Step::finished;
    std::uint64_t mails_ = 0;  ///< Still to be sent in this session.
    std::size_t replies_ = 0;
    Clock::time_point written_;
    Clock::time_point mail_begun_;
};

}  // namespace postern::bench
