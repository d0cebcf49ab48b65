#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "relay/process/lock.hpp"
#include "relay/process/privileges.hpp"
#include "relay/process/systemd.hpp"
#include "relay/process/version.hpp"
#include "tests/catch.hpp"

using namespace postern::relay::process;

namespace {

/// A folder of its own, gone at the end.
class Folder {
  public:
    Folder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "postern-process-XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

  private:
    std::string path_;
};

Holder holder() {
    return {::getpid(), "/run/admin.sock", "1.2.3", "2026-03-02T09:15:00.000Z"};
}

/// Runs `f` in a child; its exit code.
template <typename F>
int in_child(F f) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(f());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("one process holds a state, and a second is refused and told who") {
    const Folder folder;
    const std::string state = folder.path() + "/state";
    CHECK_FALSE(StateLock::holder(state).has_value());
    auto lock = StateLock::take(state, holder());
    REQUIRE(lock.has_value());
    struct stat about{};
    REQUIRE(::stat(state.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0700);
    REQUIRE(::stat((state + "/lock").c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600);

    const auto second = StateLock::take(state, holder());
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error() == boost::system::errc::resource_unavailable_try_again);
    const auto seen = StateLock::holder(state);
    REQUIRE(seen.has_value());
    CHECK(seen->pid == ::getpid());
    CHECK(seen->admin == "/run/admin.sock");
    CHECK(seen->version == "1.2.3");
    CHECK(seen->started == "2026-03-02T09:15:00.000Z");
}

TEST_CASE("a lock ends with its owner and can be taken again") {
    const Folder folder;
    {
        REQUIRE(StateLock::take(folder.path(), holder()).has_value());
    }
    CHECK_FALSE(StateLock::holder(folder.path()).has_value());
    CHECK(StateLock::take(folder.path(), holder()).has_value());

    SECTION("also when its process is killed") {
        CHECK(in_child([&] {
                  auto lock = StateLock::take(folder.path(), holder());
                  return lock ? 0 : 1;
              }) == 0);
        CHECK(StateLock::take(folder.path(), holder()).has_value());
    }
}

TEST_CASE("a lock file with anything in it does no harm") {
    const Folder folder;
    for (const std::string text : {"", "{", "[]", R"({"pid":"x","admin":7})", "\xff\xfe"}) {
        std::ofstream(folder.path() + "/lock") << text;
        const int fd = ::open((folder.path() + "/lock").c_str(), O_RDWR | O_CLOEXEC);
        REQUIRE(::flock(fd, LOCK_EX | LOCK_NB) == 0);
        const auto seen = StateLock::holder(folder.path());
        ::close(fd);
        REQUIRE(seen.has_value());
        CHECK(seen->pid == 0);
        CHECK(seen->admin.empty());
    }
}

TEST_CASE("a lock is no way through a symbolic link") {
    const Folder folder;
    std::filesystem::create_symlink("/etc/passwd", folder.path() + "/lock");
    CHECK_FALSE(StateLock::take(folder.path(), holder()).has_value());
}

TEST_CASE("a lock is a plain file of one name, and nothing else is written to") {
    const Folder folder;
    const std::string other = folder.path() + "/other";
    std::ofstream(other) << "precious";
    std::filesystem::create_hard_link(other, folder.path() + "/lock");
    const auto linked = StateLock::take(folder.path(), holder());
    REQUIRE_FALSE(linked.has_value());
    CHECK(linked.error() == boost::system::errc::too_many_links);
    CHECK(std::filesystem::file_size(other) == 8);
    std::filesystem::remove(folder.path() + "/lock");
    REQUIRE(::mkfifo((folder.path() + "/lock").c_str(), 0600) == 0);
    CHECK_FALSE(StateLock::take(folder.path(), holder()).has_value());
}

TEST_CASE("a lock that root took is the user's after the hand-over") {
    if (::geteuid() != 0) return;
    const Folder folder;
    const auto choice = choose_user("nobody", folder.path());
    REQUIRE(choice.has_value());
    const int code = in_child([&] {
        {
            const auto lock = StateLock::take(folder.path(), holder());
            if (!lock || !hand_over(folder.path(), choice->user)) return 1;
        }
        if (!become(choice->user)) return 2;
        return StateLock::take(folder.path(), holder()) ? 0 : 3;
    });
    CHECK(code == 0);
}

TEST_CASE("root and unknown users are no users to become") {
    const Folder folder;
    const auto root = choose_user("root", folder.path());
    REQUIRE_FALSE(root.has_value());
    CHECK(root.error() == make_error_code(PrivilegeError::is_root));
    const auto unknown = choose_user("no-such-user-here", folder.path());
    REQUIRE_FALSE(unknown.has_value());
    CHECK(unknown.error() == make_error_code(PrivilegeError::no_such_user));
    CHECK_FALSE(become(User{"root", 0, 0, {}}).has_value());
}

TEST_CASE("rights of root are given up for good") {
    if (::geteuid() != 0) return;
    const Folder folder;
    std::ofstream(folder.path() + "/file") << "x";
    std::filesystem::create_directory(folder.path() + "/below");
    std::ofstream(folder.path() + "/below/file") << "x";
    std::filesystem::create_symlink("/etc/hostname", folder.path() + "/link");
    const Folder outside;
    std::ofstream(outside.path() + "/file") << "x";
    std::filesystem::create_hard_link(outside.path() + "/file", folder.path() + "/second");
    const auto choice = choose_user("nobody", folder.path());
    REQUIRE(choice.has_value());
    REQUIRE(hand_over(folder.path(), choice->user).has_value());
    struct stat about{};
    for (const char* name : {"", "/file", "/below", "/below/file"}) {
        REQUIRE(::stat((folder.path() + name).c_str(), &about) == 0);
        CHECK(about.st_uid == choice->user.uid);
    }
    REQUIRE(::stat("/etc/hostname", &about) == 0);
    CHECK(about.st_uid == 0);
    REQUIRE(::lstat((folder.path() + "/link").c_str(), &about) == 0);
    CHECK(about.st_uid == choice->user.uid);
    REQUIRE(::stat((outside.path() + "/file").c_str(), &about) == 0);
    CHECK(about.st_uid == 0);

    const std::string file = outside.path() + "/file";
    REQUIRE(hand_over_one(file, choice->user.uid, choice->user.gid).has_value());
    REQUIRE(::stat(file.c_str(), &about) == 0);
    CHECK(about.st_uid == 0);
    std::filesystem::remove(folder.path() + "/second");
    REQUIRE(hand_over_one(file, choice->user.uid, choice->user.gid).has_value());
    REQUIRE(::stat(file.c_str(), &about) == 0);
    CHECK(about.st_uid == choice->user.uid);

    // With nobody named the state's owner is the user.
    const auto owner = choose_user("", folder.path());
    REQUIRE(owner.has_value());
    CHECK(owner->user.uid == choice->user.uid);

    const int code = in_child([&] {
        if (!become(choice->user)) return 1;
        if (::getuid() != choice->user.uid || ::geteuid() != choice->user.uid) return 2;
        if (::getgid() != choice->user.gid) return 3;
        if (::setuid(0) == 0 || ::seteuid(0) == 0) return 4;
        if (::access("/etc/shadow", R_OK) == 0) return 5;
        if (become(User{"other", 12345, 12345, {}})) return 6;
        return 0;
    });
    CHECK(code == 0);
}

TEST_CASE("the service manager hears ready, reloading, stopping and the watchdog") {
    const Folder folder;
    const std::string path = folder.path() + "/notify";
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    const auto heard = [&] {
        std::array<char, 256> text{};
        const ssize_t size = ::recv(fd, text.data(), text.size(), MSG_DONTWAIT);
        return std::string(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    };
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "4000000", 1);
    const Notifier notifier = Notifier::from_environment();
    CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
    CHECK(notifier.enabled());
    CHECK(notifier.watchdog_interval() == std::chrono::seconds(2));
    notifier.ready();
    CHECK(heard() == "READY=1");
    notifier.reloading();
    CHECK(heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    notifier.status("busy\nREADY=0");
    CHECK(heard() == "STATUS=busy");
    notifier.alive();
    CHECK(heard() == "WATCHDOG=1");
    notifier.stopping();
    CHECK(heard() == "STOPPING=1");
    ::close(fd);
    notifier.ready();  // Nobody listens: nothing happens.

    const Notifier silent = Notifier::from_environment();
    CHECK_FALSE(silent.enabled());
    CHECK_FALSE(silent.watchdog_interval());
    silent.ready();
}

TEST_CASE("sockets that systemd passes are taken, what does not listen is closed") {
    const int code = in_child([] {
        const int listening = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::listen(listening, 1) != 0) return 1;
        const int silent = ::socket(AF_INET, SOCK_STREAM, 0);
        const int parked = ::fcntl(listening, F_DUPFD, 20);
        const int parked_silent = ::fcntl(silent, F_DUPFD, 20);
        ::dup2(parked, 3);
        ::dup2(parked_silent, 4);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ::setenv("LISTEN_FDS", "2", 1);
        ::setenv("LISTEN_FDNAMES", "submission:other", 1);
        const auto passed = passed_sockets();
        if (passed.size() != 1 || passed[0].descriptor != 3) return 2;
        if (passed[0].name != "submission" || passed[0].address != "0.0.0.0" || passed[0].port == 0)
            return 3;
        if (::fcntl(4, F_GETFD) != -1) return 4;
        if ((::fcntl(3, F_GETFD) & FD_CLOEXEC) == 0) return 5;
        if (!passed_sockets().empty()) return 6;
        ::setenv("LISTEN_PID", "1", 1);
        ::setenv("LISTEN_FDS", "2", 1);
        return passed_sockets().empty() ? 0 : 7;
    });
    CHECK(code == 0);
}

TEST_CASE("the version names its source") {
    CHECK_FALSE(version().empty());
    CHECK_FALSE(commit().empty());
    CHECK(built().ends_with("Z"));
}
