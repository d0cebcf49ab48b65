#include "relay/admin/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "relay/process/privileges.hpp"

namespace postern::relay::admin {
namespace {

constexpr int backlog = 64;
constexpr mode_t folder_mode = 0755;
constexpr mode_t socket_mode = 0660;

error_code make_folder(const std::string& path, SocketOwner owner) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos || slash == 0) return {};
    const std::string folder = path.substr(0, slash);
    if (::mkdir(folder.c_str(), folder_mode) != 0)
        return errno == EEXIST ? error_code() : last_error();
    const Descriptor made(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!made.valid()) return last_error();
    // Past the umask: who may speak to the relay is told by the socket's own rights.
    if (::fchmod(made.get(), folder_mode) != 0) return last_error();
    if (::geteuid() == 0 && ::fchown(made.get(), owner.uid, owner.gid) != 0) return last_error();
    return {};
}

/// Lets new files have `mode` until it goes. Of the whole process: no other thread makes files yet.
class FileMode {
  public:
    explicit FileMode(mode_t mode) noexcept : before_(::umask(0777U & ~mode)) {}
    FileMode(const FileMode&) = delete;
    FileMode& operator=(const FileMode&) = delete;
    ~FileMode() { ::umask(before_); }

  private:
    mode_t before_;
};

const sockaddr* plain(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

/// Whether somebody answers there.
bool is_live(const sockaddr_un& address) {
    const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe.valid()) return true;
    return ::connect(probe.get(), plain(address), sizeof address) == 0 || errno == EAGAIN;
}

error_code remove_stale(const std::string& path, const sockaddr_un& address) {
    struct stat about{};
    if (::lstat(path.c_str(), &about) != 0) return errno == ENOENT ? error_code() : last_error();
    if (!S_ISSOCK(about.st_mode)) return make_error_code(boost::system::errc::file_exists);
    if (is_live(address)) return make_error_code(boost::system::errc::address_in_use);
    return ::unlink(path.c_str()) == 0 ? error_code() : last_error();
}

}  // namespace

result<Descriptor> listen_unix(const std::string& path, SocketOwner owner) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return make_error_code(boost::system::errc::filename_too_long);
    std::memcpy(address.sun_path, path.data(), path.size());
    if (const error_code error = make_folder(path, owner)) return error;
    if (const error_code error = remove_stale(path, address)) return error;
    Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) return last_error();
    {
        const FileMode mode(socket_mode);
        if (::bind(fd.get(), plain(address), sizeof address) != 0) return last_error();
    }
    if (const auto done = process::hand_over_one(path, owner.uid, owner.gid); !done)
        return done.error();
    if (::listen(fd.get(), backlog) != 0) return last_error();
    return fd;
}

result<Descriptor> listen_tcp(const std::string& address, std::uint16_t port) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (auto* four = reinterpret_cast<sockaddr_in*>(&storage);
        inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        size = sizeof(sockaddr_in);
    } else if (auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
               inet_pton(AF_INET6, address.c_str(), &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        size = sizeof(sockaddr_in6);
    } else {
        return make_error_code(boost::system::errc::invalid_argument);
    }
    Descriptor fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) return last_error();
    const int on = 1;
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return last_error();
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0)
        return last_error();
    if (::listen(fd.get(), backlog) != 0) return last_error();
    return fd;
}

result<std::uint32_t> peer_uid(int descriptor) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return last_error();
    return peer.uid;
}

}  // namespace postern::relay::admin
