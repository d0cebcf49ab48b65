#include "relay/backup/target.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <ranges>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <boost/system/system_error.hpp>

#include "auth/digest.hpp"

namespace postern::relay::backup {
namespace {

constexpr std::size_t piece = std::size_t{256} * 1024;
constexpr std::string_view shutting_down =
    "the relay is shutting down: make it once it serves again";

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
        good_ = context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
    }
    void add(std::string_view octets) {
        good_ = good_ && EVP_DigestUpdate(context_.get(), octets.data(), octets.size()) == 1;
    }
    /// Empty: out of memory.
    [[nodiscard]] std::string hex() {
        auth::Digest digest{};
        good_ = good_ && EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1;
        return good_ ? auth::hex(auth::view(digest)) : std::string();
    }

  private:
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
    bool good_ = false;
};

bool write_all(int fd, std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t n = ::write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

ssize_t read_some(int fd, std::string& into, std::size_t most) noexcept {
    for (;;) {
        const ssize_t n = ::read(fd, into.data(), std::min(into.size(), most));
        if (n >= 0 || errno != EINTR) return n;
    }
}

done<bool> is_empty(const std::string& path) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
    if (!folder) return failure_of_errno(path);
    while (const dirent* const entry = ::readdir(folder.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") return false;
    }
    return true;
}

}  // namespace

void throw_exception_from_error(const Failure& failure, const boost::source_location& /*where*/) {
    throw boost::system::system_error(
        boost::system::errc::make_error_code(boost::system::errc::io_error), failure.text);
}

Failure failure_of_errno(const std::string& what) {
    const std::error_code code(errno, std::generic_category());
    return {fmt::format("{}: {}", what, code.message())};
}

done<Target> Target::open(const std::string& path) {
    const bool made = ::mkdir(path.c_str(), 0700) == 0;
    if (!made && errno != EEXIST) {
        Failure failure = failure_of_errno(path);
        failure.text += "; the relay's user makes it: name a place where that one may write";
        failure.refused = true;
        return failure;
    }
    Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (folder.get() < 0) {
        Failure failure = failure_of_errno(path);
        failure.refused = true;
        return failure;
    }
    if (!made) {
        const auto empty = is_empty(path);
        if (!empty) return Failure{empty.error().text, true};
        if (!*empty)
            return Failure{path + " is not empty: name an empty folder, or one that is not there",
                           true};
        // What is in it is for one user's eyes.
        if (::fchmod(folder.get(), 0700) != 0) {
            Failure failure = failure_of_errno(path);
            failure.text += "; give it to the relay's user, or name one that is not there";
            failure.refused = true;
            return failure;
        }
    }
    Target out(path, std::move(folder));
    if (made) out.made_.push_back({path, true});
    return out;
}

Target::~Target() {
    for (const Made& one : std::views::reverse(made_))
        (void)(one.folder ? ::rmdir(one.path.c_str()) : ::unlink(one.path.c_str()));
}

done<void> Target::make_folder(const std::string& name) {
    const std::string path = whole(name);
    if (::mkdir(path.c_str(), 0700) != 0) return failure_of_errno(path);
    made_.push_back({path, true});
    folders_.push_back(path);
    return {};
}

done<void> Target::copy(int from, std::uint64_t size, const std::string& name,
                        const std::function<bool()>& stopping) {
    const auto path = make_file(name);
    if (!path) return path.error();
    const Descriptor to(::open(path->c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    if (to.get() < 0) return failure_of_errno(*path);
    Sha256 sum;
    std::string buffer(piece, '\0');
    std::uint64_t left = size;
    while (left > 0) {
        if (stopping && stopping()) return Failure{std::string(shutting_down), true};
        const ssize_t n = read_some(from, buffer, std::min<std::uint64_t>(left, piece));
        if (n < 0) return failure_of_errno(name);
        if (n == 0) break;  // Shorter than it was.
        const std::string_view octets(buffer.data(), static_cast<std::size_t>(n));
        sum.add(octets);
        if (!write_all(to.get(), octets)) return failure_of_errno(*path);
        left -= octets.size();
    }
    if (::fsync(to.get()) != 0) return failure_of_errno(*path);
    files_.push_back({name, size - left, sum.hex()});
    if (files_.back().sha256.empty()) return Failure{"out of memory"};
    return {};
}

done<std::string> Target::make_file(const std::string& name) {
    std::string path = whole(name);
    const Descriptor file(
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file.get() < 0) return failure_of_errno(path);
    made_.push_back({path, false});
    return path;
}

done<void> Target::finish(const std::string& name, const std::function<bool()>& stopping) {
    const std::string path = whole(name);
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (file.get() < 0 || ::fsync(file.get()) != 0) return failure_of_errno(path);
    Sha256 sum;
    std::string buffer(piece, '\0');
    std::uint64_t size = 0;
    for (;;) {
        if (stopping && stopping()) return Failure{std::string(shutting_down), true};
        const ssize_t n = read_some(file.get(), buffer, buffer.size());
        if (n < 0) return failure_of_errno(path);
        if (n == 0) break;
        sum.add({buffer.data(), static_cast<std::size_t>(n)});
        size += static_cast<std::uint64_t>(n);
    }
    files_.push_back({name, size, sum.hex()});
    if (files_.back().sha256.empty()) return Failure{"out of memory"};
    return {};
}

done<void> Target::seal(const std::string& name, std::string_view text) {
    // All that it speaks of is there before it is.
    for (const std::string& path : std::views::reverse(folders_)) {
        const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (folder.get() < 0 || ::fsync(folder.get()) != 0) return failure_of_errno(path);
    }
    if (::fsync(folder_.get()) != 0) return failure_of_errno(path_);
    const auto fresh = make_file(name + ".new");
    if (!fresh) return fresh.error();
    const std::string path = whole(name);
    {
        const Descriptor file(::open(fresh->c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
        if (file.get() < 0 || !write_all(file.get(), text) || ::fsync(file.get()) != 0)
            return failure_of_errno(*fresh);
    }
    if (::rename(fresh->c_str(), path.c_str()) != 0) return failure_of_errno(path);
    made_.push_back({path, false});
    if (::fsync(folder_.get()) != 0) return failure_of_errno(path_);
    return {};
}

}  // namespace postern::relay::backup
