#include "tests/bench/load/client.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace postern::bench {

void Client::open() {
    const Options& options = shared_.options;
    step_ = Step::connect;
    mails_ = std::min(options.mails, options.total - shared_.results.claimed);
    shared_.results.claimed += mails_;
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // On loopback a connection is there at once, or refused.
    const auto* server = reinterpret_cast<const sockaddr*>(&options.server);
    if (::connect(fd_, server, sizeof options.server) != 0)
        return fail("connect", std::strerror(errno));
    ++shared_.results.sessions;
    ::fcntl(fd_, F_SETFL, O_NONBLOCK);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = this;
    ::epoll_ctl(shared_.epoll, EPOLL_CTL_ADD, fd_, &event);
    step_ = Step::greeting;
    if (options.tls == Tls::implicit) start_tls();
}

void Client::ready() {
    if (handshaking_) {
        handshake();
        if (handshaking_ || fd_ < 0) return;
    }
    flush();
    if (fd_ >= 0) read();
}

void Client::start_tls() {
    ssl_ = SSL_new(shared_.tls);
    SSL_set_fd(ssl_, fd_);
    SSL_set_connect_state(ssl_);
    handshaking_ = true;
    handshake();
}

void Client::handshake() {
    ERR_clear_error();
    const int done = SSL_do_handshake(ssl_);
    if (done == 1) {
        handshaking_ = false;
        want_write(false);
        if (step_ == Step::starttls) {
            step_ = Step::ehlo_again;
            send("EHLO load.example\r\n");
        }
        return;
    }
    const int error = SSL_get_error(ssl_, done);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return want_write(error == SSL_ERROR_WANT_WRITE);
    fail("handshake", ERR_reason_error_string(ERR_peek_error()));
}

void Client::send(std::string_view octets) {
    out_ = octets;
    flush();
}

void Client::flush() {
    while (!out_.empty()) {
        std::ptrdiff_t n = 0;
        if (ssl_ != nullptr) {
            ERR_clear_error();
            n = SSL_write(ssl_, out_.data(),
                          static_cast<int>(std::min<std::size_t>(out_.size(), 1U << 20U)));
            if (n <= 0) {
                if (SSL_get_error(ssl_, static_cast<int>(n)) == SSL_ERROR_WANT_WRITE)
                    return want_write(true);
                return fail("write", "the connection broke");
            }
        } else {
            n = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
            if (n < 0) {
                if (errno == EAGAIN) return want_write(true);
                return fail("write", std::strerror(errno));
            }
        }
        out_.remove_prefix(static_cast<std::size_t>(n));
        if (out_.empty()) {
            written_ = Clock::now();
            want_write(false);
        }
    }
}

void Client::want_write(bool wanted) {
    if (wanted == wants_write_ || fd_ < 0) return;
    wants_write_ = wanted;
    epoll_event event{};
    event.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN;
    event.data.ptr = this;
    ::epoll_ctl(shared_.epoll, EPOLL_CTL_MOD, fd_, &event);
}

void Client::read() {
    while (fd_ >= 0 && !handshaking_) {
        std::ptrdiff_t n = 0;
        const std::size_t room = in_.size() - in_size_;
        if (room == 0) return fail("reply", "without end");
        if (ssl_ != nullptr) {
            ERR_clear_error();
            n = SSL_read(ssl_, in_.data() + in_size_, static_cast<int>(room));
            if (n <= 0) {
                if (SSL_get_error(ssl_, static_cast<int>(n)) == SSL_ERROR_WANT_READ) return;
                return ended();
            }
        } else {
            n = ::recv(fd_, in_.data() + in_size_, room, 0);
            if (n < 0 && errno == EAGAIN) return;
            if (n <= 0) return ended();
        }
        in_size_ += static_cast<std::size_t>(n);
        take_replies();
    }
}

void Client::take_replies() {
    std::size_t begin = 0;
    while (fd_ >= 0) {
        const std::string_view rest(in_.data() + begin, in_size_ - begin);
        const auto end = rest.find("\r\n");
        if (end == std::string_view::npos) break;
        const std::string_view line = rest.substr(0, end);
        begin += end + 2;
        if (line.size() > 3 && line[3] == '-') continue;
        int code = 0;
        std::from_chars(line.data(), line.data() + std::min<std::size_t>(3, line.size()), code);
        take(code, line);
    }
    if (fd_ < 0) return;
    std::memmove(in_.data(), in_.data() + begin, in_size_ - begin);
    in_size_ -= begin;
}

void Client::take(int code, std::string_view line) {
    static constexpr std::array envelope_codes{250, 250, 354};
    const auto expect = [&](int wanted) {
        if (code == wanted) return true;
        fail(fmt::format("expected {}", wanted), line);
        return false;
    };
    switch (step_) {
        case Step::greeting:
            if (!expect(220)) return;
            step_ = shared_.options.tls == Tls::starttls ? Step::ehlo : Step::ehlo_again;
            return send("EHLO load.example\r\n");
        case Step::ehlo:
            if (!expect(250)) return;
            step_ = Step::starttls;
            return send("STARTTLS\r\n");
        case Step::starttls:
            if (expect(220)) start_tls();
            return;
        case Step::ehlo_again:
            if (!expect(250)) return;
            step_ = Step::auth;
            return shared_.options.user.empty() ? next_mail() : send(shared_.auth);
        case Step::auth:
            if (expect(235)) next_mail();
            return;
        case Step::envelope:
            if (!expect(envelope_codes[replies_])) return;
            if (++replies_ < envelope_codes.size()) return;
            step_ = Step::data;
            return send(mail_);
        case Step::data:
            if (!expect(250)) return;
            ++shared_.results.accepted;
            shared_.results.reply_us.push_back(since(written_));
            shared_.results.mail_us.push_back(since(mail_begun_));
            return next_mail();
        case Step::quit:
            if (!expect(221)) return;
            return closed();
        default:
            return fail("unasked", line);
    }
}

void Client::next_mail() {
    Results& results = shared_.results;
    if (shared_.options.hold == Hold::yes) {
        step_ = Step::held;
        ++results.held;
        return;
    }
    if (mails_ == 0) {
        step_ = Step::quit;
        return send("QUIT\r\n");
    }
    --mails_;
    const std::string number = fmt::format("{:016}", ++results.begun);
    number.copy(mail_.data() + shared_.number_at, number.size());
    replies_ = 0;
    step_ = Step::envelope;
    mail_begun_ = Clock::now();
    send(shared_.envelope);
}

std::uint32_t Client::since(Clock::time_point from) {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - from).count());
}

void Client::fail(std::string_view what, std::string_view detail) {
    shared_.results.error(what, detail);
    closed();
}

void Client::closed() {
    close();
    step_ = Step::finished;
}

void Client::close() {
    if (ssl_ != nullptr) {
        if (!handshaking_) {
            ERR_clear_error();
            SSL_shutdown(ssl_);
        }
        SSL_free(ssl_);
    }
    if (fd_ >= 0) ::close(fd_);
    ssl_ = nullptr;
    fd_ = -1;
    in_size_ = 0;
    out_ = {};
    handshaking_ = wants_write_ = false;
}

}  // namespace postern::bench
