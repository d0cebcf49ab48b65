#include "relay/event/line_writer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/descriptor.hpp"

namespace postern::relay::event {

namespace {

constexpr std::string_view journal_socket = "/run/systemd/journal/socket";
constexpr std::size_t piece =
    4096;  // PIPE_BUF: a pipe that is writable at all takes so much without blocking
constexpr int poll_ms = 200;  // how often a stuck target is looked at for an order to give up

std::int64_t steady_ns() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

boost::system::result<int> open_file(const std::string& path,
                                     const std::optional<LineWriter::Owner>& owner) {
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | (owner ? O_NOFOLLOW : 0);
    const int fd = ::open(path.c_str(), flags, 0640);
    if (fd < 0) return last_error();
    boost::system::error_code error;
    struct stat what{};
    if (!owner) {
        return fd;
    } else if (::fstat(fd, &what) != 0) {
        error = last_error();
    } else if (S_ISREG(what.st_mode) && what.st_nlink != 1) {
        error = boost::system::errc::make_error_code(boost::system::errc::too_many_links);
    } else if (S_ISREG(what.st_mode) && what.st_uid == 0 && ::geteuid() == 0 &&
               ::fchown(fd, owner->uid, owner->gid) != 0) {
        error = last_error();
    }
    if (!error) return fd;
    ::close(fd);
    return error;
}

boost::system::result<int> open_journal(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string_view name = path.empty() ? journal_socket : std::string_view(path);
    if (name.size() >= sizeof address.sun_path)
        return boost::system::errc::make_error_code(boost::system::errc::filename_too_long);
    std::memcpy(address.sun_path, name.data(), name.size());
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return last_error();
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const auto error = last_error();
        ::close(fd);
        return error;
    }
    const int wanted =
        8 << 20;  // long lines go in one datagram; the system's default takes about 200 KiB
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
    return fd;
}

/// Of a target that is not stdout.
boost::system::result<int> open_target(const LogTarget& target,
                                       const std::optional<LineWriter::Owner>& owner) {
    return target.kind == LogTarget::Kind::file ? open_file(target.path, owner)
                                                : open_journal(target.path);
}

/// syslog(3) severities.
char priority(Level level) {
    switch (level) {
        case Level::debug:
            return '7';
        case Level::info:
            return '6';
        case Level::warning:
            return '4';
        case Level::error:
            break;
    }
    return '3';
}

std::size_t lines_in(std::string_view bytes) {
    return static_cast<std::size_t>(std::ranges::count(bytes, '\n'));
}

}  // namespace

boost::system::result<std::unique_ptr<LineWriter>> LineWriter::open(Settings settings) {
    int fd = settings.stdout_fd;
    if (settings.target.kind != LogTarget::Kind::stdout_stream) {
        const auto opened = open_target(settings.target, settings.owner);
        if (!opened) return opened.error();
        fd = *opened;
    }
    return std::unique_ptr<LineWriter>(new LineWriter(std::move(settings), fd));
}

LineWriter::LineWriter(Settings settings, int fd)
    : settings_(std::move(settings)), fd_(fd), level_(settings_.level) {
    struct stat what{};
    socket_ = ::fstat(fd_, &what) == 0 && S_ISSOCK(what.st_mode);
    thread_ = std::thread([this] { run(); });
}

LineWriter::~LineWriter() {
    stop();
    if (settings_.target.kind != LogTarget::Kind::stdout_stream) ::close(fd_);
    if (next_ && next_->target.kind != LogTarget::Kind::stdout_stream) ::close(next_->fd);
}

void LineWriter::submit(Level level, std::string_view lines, std::size_t count) noexcept {
    if (lines.empty()) return;
    try {
        const std::scoped_lock lock(mutex_);
        if (stopping_ || queued_ + lines.size() > settings_.max_queued) {
            dropped_.fetch_add(count, std::memory_order_relaxed);
            return;
        }
        queued_ += lines.size();
        if (!queue_.empty() && queue_.back().level == level) {
            queue_.back().lines += lines;
            queue_.back().count += count;
        } else {
            queue_.push_back({level, std::string(lines), count});
        }
        if (idle_) wake_.notify_one();
    } catch (const std::exception&) {  // no memory
        dropped_.fetch_add(count, std::memory_order_relaxed);
    }
}

boost::system::result<void> LineWriter::retarget(LogTarget target) {
    int fd = settings_.stdout_fd;
    if (target.kind != LogTarget::Kind::stdout_stream) {
        const auto opened = open_target(target, settings_.owner);
        if (!opened) return opened.error();
        fd = *opened;
    }
    const std::scoped_lock lock(mutex_);
    if (next_ && next_->target.kind != LogTarget::Kind::stdout_stream) ::close(next_->fd);
    next_ = Target{std::move(target), fd};
    wake_.notify_one();
    return {};
}

/// Called with the mutex held.
void LineWriter::change_target() noexcept {
    if (settings_.target.kind != LogTarget::Kind::stdout_stream) ::close(fd_);
    settings_.target = std::move(next_->target);
    fd_ = next_->fd;
    next_.reset();
    struct stat what{};
    socket_ = ::fstat(fd_, &what) == 0 && S_ISSOCK(what.st_mode);
}

void LineWriter::reopen() noexcept {
    reopen_.store(true, std::memory_order_release);
    const std::scoped_lock lock(mutex_);
    wake_.notify_one();
}

void LineWriter::stop(std::chrono::milliseconds patience) noexcept {
    {
        const std::scoped_lock lock(mutex_);
        if (!stopping_) give_up_at_ = steady_ns() + std::chrono::nanoseconds(patience).count();
        stopping_ = true;
    }
    wake_.notify_one();
    if (thread_.joinable()) thread_.join();
}

void LineWriter::run() noexcept {
    ::pthread_setname_np(::pthread_self(), "log");
    std::vector<Chunk> batch;
    for (;;) {
        {
            std::unique_lock lock(mutex_);
            idle_ = true;
            wake_.wait(lock, [this] {
                return !queue_.empty() || stopping_ || next_ ||
                       reopen_.load(std::memory_order_acquire);
            });
            idle_ = false;
            batch.swap(queue_);
            queued_ = 0;
            if (batch.empty() && stopping_) return;
        }
        take_orders();
        for (const auto& chunk : batch) {
            write(chunk);
            take_orders();
        }
        batch.clear();
    }
}

void LineWriter::take_orders() noexcept {
    {
        const std::scoped_lock lock(mutex_);
        if (next_) change_target();
    }
    if (reopen_.exchange(false, std::memory_order_acq_rel) &&
        settings_.target.kind == LogTarget::Kind::file) {
        if (const auto fresh = open_file(settings_.target.path, settings_.owner)) {
            ::close(fd_);
            fd_ = *fresh;
        }
    }
}

bool LineWriter::ordered() noexcept {
    const std::scoped_lock lock(mutex_);
    return next_.has_value() || (settings_.target.kind == LogTarget::Kind::file &&
                                 reopen_.load(std::memory_order_acquire));
}

void LineWriter::write(const Chunk& chunk) noexcept {
    if (settings_.target.kind != LogTarget::Kind::journald) {
        const auto written = write_bytes(chunk.lines);
        if (written < chunk.lines.size()) {
            dropped_.fetch_add(lines_in(std::string_view(chunk.lines).substr(written)),
                               std::memory_order_relaxed);
        }
        return;
    }
    std::string_view rest = chunk.lines;
    while (!rest.empty()) {
        const auto end = std::min(rest.find('\n'), rest.size());
        send_line(chunk.level, rest.substr(0, end));
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
}

bool LineWriter::wait_writable() noexcept {
    for (;;) {
        pollfd watched{.fd = fd_, .events = POLLOUT, .revents = 0};
        const int ready = ::poll(&watched, 1, poll_ms);
        if (ready > 0) return true;  // an error is met by the write
        if (ready < 0 && errno != EINTR) return false;
        // Only now: a target that is slow for a moment loses nothing.
        if (ordered()) return false;
        const auto limit = give_up_at_.load();
        if (limit != 0 && steady_ns() > limit) return false;
    }
}

std::size_t LineWriter::write_bytes(std::string_view bytes) noexcept {
    std::size_t done = 0;
    while (done < bytes.size()) {
        if (!wait_writable()) return done;
        const auto part = bytes.substr(done, piece);
        const auto n = socket_ ? ::send(fd_, part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT)
                               : ::write(fd_, part.data(), part.size());
        if (n > 0) {
            done += static_cast<std::size_t>(n);
        } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return done;  // nobody reads any more, or the disk is full
        }
    }
    return done;
}

void LineWriter::send_line(Level level, std::string_view line) noexcept {
    try {
        datagram_.assign("PRIORITY=");
        datagram_ += priority(level);
        datagram_ += "\nSYSLOG_IDENTIFIER=postern\nMESSAGE=";
        datagram_ += line;  // JSON: it holds no line break
        datagram_ += '\n';
    } catch (const std::exception&) {
        dropped_.fetch_add(1, std::memory_order_relaxed);
        return;
    }
    while (wait_writable()) {
        const auto n = ::send(fd_, datagram_.data(), datagram_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) return;
        if (errno == ECONNREFUSED || errno == ENOTCONN ||
            errno == ENOENT) {  // journald was started anew
            const auto fresh = open_journal(settings_.target.path);
            if (!fresh) break;
            ::close(fd_);
            fd_ = *fresh;
            if (::send(fd_, datagram_.data(), datagram_.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
                return;
            break;
        }
        if (errno != EINTR && errno != EAGAIN) break;
    }
    dropped_.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace postern::relay::event
