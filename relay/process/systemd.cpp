#include "relay/process/systemd.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "relay/descriptor.hpp"

namespace postern::relay::process {
namespace {

std::string take_variable(const char* name) {
    // Before any thread is started.
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    std::string out = value == nullptr ? "" : value;
    unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
    return out;
}

template <typename T>
std::optional<T> number(std::string_view text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_listening(int fd) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0 && value != 0;
}

bool describe(int fd, PassedSocket& socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (address.ss_family == AF_INET) {
        const auto* in = reinterpret_cast<const sockaddr_in*>(&address);
        inet_ntop(AF_INET, &in->sin_addr, text.data(), text.size());
        socket.port = ntohs(in->sin_port);
        socket.address = text.data();
        return true;
    }
    if (address.ss_family == AF_INET6) {
        const auto* in = reinterpret_cast<const sockaddr_in6*>(&address);
        inet_ntop(AF_INET6, &in->sin6_addr, text.data(), text.size());
        socket.port = ntohs(in->sin6_port);
        socket.address = text.data();
        return true;
    }
    if (address.ss_family == AF_UNIX) {
        const auto* local = reinterpret_cast<const sockaddr_un*>(&address);
        socket.address =
            std::string(local->sun_path, strnlen(local->sun_path, sizeof local->sun_path));
        return !socket.address.empty();
    }
    return false;
}

}  // namespace

Notifier Notifier::from_environment() {
    Notifier notifier(take_variable("NOTIFY_SOCKET"));
    const auto interval = number<std::int64_t>(take_variable("WATCHDOG_USEC"));
    const std::string pid = take_variable("WATCHDOG_PID");
    const bool ours = pid.empty() || number<pid_t>(pid) == getpid();
    if (interval && *interval > 0 && ours)
        notifier.watchdog_ = std::chrono::microseconds(*interval);
    return notifier;
}

void Notifier::ready() const noexcept {
    send("READY=1");
}

void Notifier::reloading() const noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto micros = static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(micros));
}

void Notifier::stopping() const noexcept {
    send("STOPPING=1");
}

void Notifier::status(std::string_view text) const noexcept {
    std::string line(text.substr(0, text.find('\n')));
    send("STATUS=" + line);
}

void Notifier::alive() const noexcept {
    if (watchdog_.count() > 0) send("WATCHDOG=1");
}

std::optional<std::chrono::microseconds> Notifier::watchdog_interval() const noexcept {
    if (!enabled() || watchdog_.count() == 0) return std::nullopt;
    return watchdog_ / 2;
}

void Notifier::send(const std::string& message) const noexcept {
    if (socket_.empty()) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const bool abstract = socket_.starts_with('@');
    if (socket_.size() >= sizeof address.sun_path || (!abstract && !socket_.starts_with('/')))
        return;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    if (abstract) address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
    const Descriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return;
    // Nobody may be listening; that is systemd's loss, and a relay does not end for it.
    (void)sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&address), size);
}

std::vector<PassedSocket> passed_sockets() {
    constexpr int first = 3;  // SD_LISTEN_FDS_START
    constexpr int most = 256;
    const auto pid = number<pid_t>(take_variable("LISTEN_PID"));
    const auto count = number<int>(take_variable("LISTEN_FDS"));
    std::string names = take_variable("LISTEN_FDNAMES");
    std::vector<PassedSocket> out;
    if (pid != getpid() || !count || *count < 0 || *count > most) return out;
    for (int fd = first; fd < first + *count; ++fd) {
        const auto colon = names.find(':');
        PassedSocket socket;
        socket.name = names.substr(0, colon);
        names = colon == std::string::npos ? "" : names.substr(colon + 1);
        if (!is_listening(fd) || !describe(fd, socket)) {
            ::close(fd);
            continue;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        socket.descriptor = fd;
        out.push_back(std::move(socket));
    }
    return out;
}

}  // namespace postern::relay::process
