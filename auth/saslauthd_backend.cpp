// saslauthd's protocol: user, password, service and realm, each behind its length (16 bits, network
// order); then the same of one text that begins with OK or NO.

#include "auth/saslauthd_backend.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "auth/digest.hpp"

namespace postern::auth {
namespace {

using clock = std::chrono::steady_clock;
using Kind = BackendAnswer::Kind;

constexpr std::string_view service = "smtp";
constexpr std::size_t longest_field = 256;    ///< saslauthd's own bound: it refuses longer ones.
constexpr std::size_t longest_answer = 1024;  ///< As many as Cyrus' own client reads.

std::string error_text(int code) {
    return std::generic_category().message(code);
}

/// A connection with one deadline for all that is done on it.
class Line {
  public:
    explicit Line(clock::time_point deadline) : deadline_(deadline) {}
    ~Line() {
        if (fd_ >= 0) ::close(fd_);
    }
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;

    /// 0, or errno; ETIMEDOUT past the deadline. Likewise below.
    [[nodiscard]] int connect(const std::string& path) {
        sockaddr_un place{};
        place.sun_family = AF_UNIX;
        if (path.size() >= sizeof place.sun_path) return ENAMETOOLONG;
        std::memcpy(place.sun_path, path.data(), path.size());
        fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd_ < 0) return errno;
        // Connecting waits while the other side's backlog is full.
        const auto left = std::max(remaining(), std::chrono::milliseconds(1));
        const timeval wait{.tv_sec = left.count() / 1000, .tv_usec = left.count() % 1000 * 1000};
        if (::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0) return errno;
        while (::connect(fd_, reinterpret_cast<const sockaddr*>(&place), sizeof place) != 0) {
            if (errno == EINTR) continue;
            return errno == EAGAIN ? ETIMEDOUT : errno;
        }
        return 0;
    }

    [[nodiscard]] int send(std::string_view octets) {
        while (!octets.empty()) {
            if (const int error = wait_for(POLLOUT); error != 0) return error;
            const ssize_t sent =
                ::send(fd_, octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent >= 0) {
                octets.remove_prefix(static_cast<std::size_t>(sent));
            } else if (errno != EAGAIN && errno != EINTR) {
                return errno;
            }
        }
        return 0;
    }

    /// Exactly `size` octets; ECONNRESET where the other side ends before.
    [[nodiscard]] int receive(char* into, std::size_t size) {
        while (size > 0) {
            if (const int error = wait_for(POLLIN); error != 0) return error;
            const ssize_t got = ::recv(fd_, into, size, MSG_DONTWAIT);
            if (got == 0) return ECONNRESET;
            if (got > 0) {
                into += got;
                size -= static_cast<std::size_t>(got);
            } else if (errno != EAGAIN && errno != EINTR) {
                return errno;
            }
        }
        return 0;
    }

  private:
    [[nodiscard]] std::chrono::milliseconds remaining() const {
        return std::chrono::ceil<std::chrono::milliseconds>(deadline_ - clock::now());
    }
    [[nodiscard]] int wait_for(short what) const {
        for (;;) {
            const auto left = remaining();
            if (left.count() <= 0) return ETIMEDOUT;
            pollfd one{.fd = fd_, .events = what, .revents = 0};
            const int ready = ::poll(&one, 1, static_cast<int>(left.count()));
            if (ready > 0) return 0;
            if (ready < 0 && errno != EINTR) return errno;
        }
    }

    clock::time_point deadline_;
    int fd_ = -1;
};

void append_field(std::string& out, std::string_view field) {
    out.push_back(static_cast<char>(field.size() >> 8U));
    out.push_back(static_cast<char>(field.size() & 0xFFU));
    out.append(field);
}

/// What saslauthd's text means. It has one word for `wrong` and for most of its own troubles; these
/// two are never a user's fault.
BackendAnswer meaning(std::string_view text) {
    BackendAnswer answer;
    if (text.starts_with("OK")) {
        answer.kind = Kind::ok;
    } else if (!text.starts_with("NO")) {
        answer.detail = "saslauthd gave an answer that is none";
    } else if (text.contains("internal mechanism failure") || text.contains("PAM start error")) {
        answer.detail = fmt::format("saslauthd says: {}", text.substr(0, 100));
    } else {
        answer.kind = Kind::failed;
    }
    return answer;
}

class SaslauthdBackend final : public PasswordBackend {
  public:
    explicit SaslauthdBackend(SaslauthdSettings settings) : settings_(std::move(settings)) {}

    [[nodiscard]] BackendAnswer check(const BackendUser& user, std::string_view password) override {
        // Unless started with -r, saslauthd drops the realm: with it behind a foreign domain
        // everybody here would be somebody there, too.
        const bool own = user.domain == settings_.domain;
        const std::string name = own ? user.local : user.address();
        BackendAnswer answer;
        answer.kind = Kind::failed;
        if (name.size() > longest_field || password.size() > longest_field) {
            answer.asked = false;
            return answer;
        }

        std::string question;
        question.reserve(8 + name.size() + password.size() + service.size() + user.domain.size());
        append_field(question, name);
        append_field(question, password);
        append_field(question, service);
        append_field(question, own ? std::string_view(user.domain) : std::string_view());
        answer = ask(question);
        wipe(question.data(), question.size());
        return answer;
    }

    [[nodiscard]] BackendAnswer fetch(const BackendUser&) override {
        BackendAnswer answer;
        answer.detail = "saslauthd gives no passwords out";
        return answer;
    }

  private:
    [[nodiscard]] BackendAnswer ask(std::string_view question) const {
        Line line(clock::now() + settings_.timeout);
        if (const int error = line.connect(settings_.path); error != 0) return fault(error);
        if (const int error = line.send(question); error != 0) return fault(error);
        unsigned char head[2];
        if (const int error = line.receive(reinterpret_cast<char*>(head), sizeof head); error != 0)
            return fault(error);
        const std::size_t size = std::size_t{head[0]} << 8U | head[1];
        std::string text(std::min(size, longest_answer), '\0');
        if (const int error = line.receive(text.data(), text.size()); error != 0)
            return fault(error);
        return meaning(text);
    }

    [[nodiscard]] BackendAnswer fault(int error) const {
        BackendAnswer answer;
        answer.kind = error == ETIMEDOUT ? Kind::timeout : Kind::error;
        answer.detail = error == ECONNRESET
                            ? fmt::format("{}: saslauthd hung up", settings_.path)
                            : fmt::format("{}: {}", settings_.path, error_text(error));
        return answer;
    }

    SaslauthdSettings settings_;
};

}  // namespace

std::unique_ptr<PasswordBackend> make_saslauthd_backend(SaslauthdSettings settings) {
    return std::make_unique<SaslauthdBackend>(std::move(settings));
}

}  // namespace postern::auth
