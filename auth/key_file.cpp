#include "auth/key_file.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/digest.hpp"

namespace postern::auth {
namespace {

constexpr std::size_t key_octets = 32;

class Descriptor {
  public:
    explicit Descriptor(int fd) noexcept : fd_(fd) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

  private:
    int fd_;
};

Fault fault(const std::filesystem::path& path, std::string_view what) {
    return {AuthError::key_file, fmt::format("{}: {}", path.string(), what)};
}

Fault fault_of_errno(const std::filesystem::path& path) {
    const std::error_code code(errno, std::generic_category());
    return fault(path, code.message());
}

started<std::string> read_key(const std::filesystem::path& path, const Descriptor& file) {
    std::string key(key_octets + 1, '\0');
    std::size_t filled = 0;
    while (filled < key.size()) {
        const ssize_t n = ::read(file.get(), key.data() + filled, key.size() - filled);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fault_of_errno(path);
        if (n == 0) break;
        filled += static_cast<std::size_t>(n);
    }
    if (filled != key_octets)
        return fault(
            path, "must hold exactly 32 octets; remove it and a new key is made at the next start");
    key.resize(key_octets);
    return key;
}

bool write_all(int fd, std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

}  // namespace

started<std::string> load_or_make_key(const std::filesystem::path& path,
                                      const RandomBytes& random) {
    if (const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC)); file)
        return read_key(path, file);
    if (errno != ENOENT) return fault_of_errno(path);

    const std::filesystem::path folder = path.parent_path();
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fault_of_errno(folder);
    std::array<unsigned char, key_octets> octets{};
    random(octets);
    std::string key(reinterpret_cast<const char*>(octets.data()), octets.size());
    wipe(octets.data(), octets.size());

    // Whole or not at all: a crash while it is written must not leave a short key behind.
    std::filesystem::path fresh = path;
    fresh += ".new";
    {
        const Descriptor file(
            ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!file || !write_all(file.get(), key) || ::fsync(file.get()) != 0)
            return fault_of_errno(fresh);
    }
    if (::rename(fresh.c_str(), path.c_str()) != 0) return fault_of_errno(path);
    if (const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        !directory || ::fsync(directory.get()) != 0)
        return fault_of_errno(folder);
    return key;
}

}  // namespace postern::auth
