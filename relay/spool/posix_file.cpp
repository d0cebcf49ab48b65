#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <dirent.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "relay/descriptor.hpp"
#include "relay/spool/file.hpp"

namespace postern::relay {
namespace {

using boost::system::error_code;
using boost::system::result;

/// Calls until it is not interrupted.
template <class Call>
auto uninterrupted(Call call) noexcept {
    auto r = call();
    while (r < 0 && errno == EINTR) r = call();
    return r;
}

/// Memory as a direct write wants it, shared by all files: one is written at a time.
class Staging {
  public:
    static constexpr std::size_t size = 1U << 20U;

    /// Calls `write(offset, octets)` for all of the pieces, gathered; until an error.
    template <class Write>
    error_code gather(std::uint64_t offset, std::span<const std::string_view> pieces, Write write) {
        const std::lock_guard lock(mutex_);
        if (!memory_) {
            memory_.reset(static_cast<char*>(std::aligned_alloc(file_block, size)));
            if (!memory_) return {ENOMEM, boost::system::system_category()};
        }
        std::size_t have = 0;
        for (std::string_view piece : pieces) {
            while (!piece.empty()) {
                const std::size_t n = std::min(piece.size(), size - have);
                std::copy_n(piece.data(), n, memory_.get() + have);
                piece.remove_prefix(n);
                have += n;
                if (have < size) continue;
                if (const auto error = write(offset, std::string_view(memory_.get(), have))) {
                    return error;
                }
                offset += have;
                have = 0;
            }
        }
        return have == 0 ? error_code{} : write(offset, std::string_view(memory_.get(), have));
    }

  private:
    struct Free {
        void operator()(char* memory) const noexcept { std::free(memory); }
    };
    std::mutex mutex_;
    std::unique_ptr<char, Free> memory_;
};

class PosixFile final : public File {
  public:
    explicit PosixFile(Descriptor fd) noexcept : fd_(std::move(fd)) {}
    /// `direct`: the same file once more, past the page cache.
    PosixFile(Descriptor fd, Descriptor direct, std::shared_ptr<Staging> staging) noexcept
        : fd_(std::move(fd)), direct_(std::move(direct)), staging_(std::move(staging)) {}

    error_code write(std::uint64_t offset, std::span<const std::string_view> pieces) override {
        std::uint64_t octets = 0;
        bool aligned = true;
        for (const std::string_view piece : pieces) {
            octets += piece.size();
            aligned = aligned && piece.size() % file_block == 0 &&
                      reinterpret_cast<std::uintptr_t>(piece.data()) % file_block == 0;
        }
        if (!direct_.valid() || offset % file_block != 0 || octets % file_block != 0) {
            return write_to(fd_, offset, pieces);
        }
        if (aligned) return write_direct(offset, pieces);
        return staging_->gather(offset, pieces, [this](std::uint64_t at, std::string_view part) {
            return write_direct(at, std::span(&part, 1));
        });
    }

    void written() noexcept override { direct_ = {}; }

    result<std::size_t> read(std::uint64_t offset, std::span<char> into) const override {
        std::size_t have = 0;
        while (have < into.size()) {
            const ssize_t n = uninterrupted([&] {
                return ::pread(fd_.get(), into.data() + have, into.size() - have,
                               static_cast<off_t>(offset + have));
            });
            if (n < 0) return last_error();
            if (n == 0) break;
            have += static_cast<std::size_t>(n);
        }
        return have;
    }

    error_code sync_data() override {
        // Not repeated on EINTR as a success: a second call may say success for what the first one
        // lost.
        if (::fdatasync(fd_.get()) != 0) return last_error();
        return {};
    }

    error_code preallocate(std::uint64_t offset, std::uint64_t length) override {
        const int r = uninterrupted([&] {
            return ::fallocate(fd_.get(), 0, static_cast<off_t>(offset),
                               static_cast<off_t>(length));
        });
        if (r == 0) return {};
        if (errno != EOPNOTSUPP) return last_error();
        struct stat st = {};  // A file system without it: growing is all that can be done.
        if (::fstat(fd_.get(), &st) != 0) return last_error();
        if (static_cast<std::uint64_t>(st.st_size) >= offset + length) return {};
        return truncate(offset + length);
    }

    error_code truncate(std::uint64_t size) override {
        if (uninterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(size)); }) != 0) {
            return last_error();
        }
        return {};
    }

    result<Info> info() const override {
        struct stat st = {};
        if (::fstat(fd_.get(), &st) != 0) return last_error();
        return Info{static_cast<std::uint64_t>(st.st_size),
                    static_cast<std::uint64_t>(st.st_nlink)};
    }

  private:
    /// Some file systems open a file so, but do not write it so (EINVAL): they get it the other
    /// way.
    error_code write_direct(std::uint64_t offset, std::span<const std::string_view> pieces) {
        if (!direct_.valid()) return write_to(fd_, offset, pieces);
        const error_code error = write_to(direct_, offset, pieces);
        if (error.value() != EINVAL) return error;
        direct_ = {};
        return write_to(fd_, offset, pieces);
    }

    static error_code write_to(const Descriptor& fd, std::uint64_t offset,
                               std::span<const std::string_view> pieces) {
        constexpr std::size_t most = 512;  // Below IOV_MAX.
        std::array<iovec, most> parts;
        std::size_t next = 0;
        std::size_t skip = 0;  // Octets of pieces[next] that are written already.
        while (next < pieces.size()) {
            std::size_t n = 0;
            for (std::size_t i = next; i < pieces.size() && n < most; ++i) {
                const std::string_view rest = i == next ? pieces[i].substr(skip) : pieces[i];
                if (rest.empty()) continue;
                // writev takes a pointer to non-const and does not write through it.
                parts[n++] = {const_cast<char*>(rest.data()), rest.size()};
            }
            if (n == 0) break;
            const ssize_t done = uninterrupted([&] {
                return ::pwritev(fd.get(), parts.data(), static_cast<int>(n),
                                 static_cast<off_t>(offset));
            });
            if (done < 0) return last_error();
            if (done == 0) return {ENOSPC, boost::system::system_category()};
            offset += static_cast<std::uint64_t>(done);
            std::size_t left = static_cast<std::size_t>(done) + skip;
            while (next < pieces.size() && left >= pieces[next].size()) {
                left -= pieces[next].size();
                ++next;
            }
            skip = left;
        }
        return {};
    }

    Descriptor fd_;
    Descriptor direct_;
    std::shared_ptr<Staging> staging_;
};

class PosixFileSystem final : public FileSystem {
  public:
    result<std::unique_ptr<File>> open(const std::string& path, Mode mode) override {
        int flags = O_CLOEXEC | O_NOFOLLOW;
        switch (mode) {
            case Mode::read:
                flags |= O_RDONLY;
                break;
            case Mode::write:
            case Mode::direct:
                flags |= O_RDWR;
                break;
            case Mode::replace:
                flags |= O_RDWR | O_CREAT | O_TRUNC;
                break;
        }
        const int fd =
            uninterrupted([&] { return ::open(path.c_str(), flags, S_IRUSR | S_IWUSR); });
        if (fd < 0) return last_error();
        Descriptor file(fd);
        if (mode != Mode::direct) {
            return std::unique_ptr<File>(std::make_unique<PosixFile>(std::move(file)));
        }
        Descriptor direct(uninterrupted([&] { return ::open(path.c_str(), flags | O_DIRECT); }));
        if (!same_file(file, direct)) direct = {};
        return std::unique_ptr<File>(
            std::make_unique<PosixFile>(std::move(file), std::move(direct), staging_));
    }

    error_code sync_directory(const std::string& path) override {
        const Descriptor fd(uninterrupted(
            [&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
        if (fd.get() < 0) return last_error();
        if (::fsync(fd.get()) != 0) return last_error();
        return {};
    }

    error_code rename(const std::string& from, const std::string& to) override {
        if (::rename(from.c_str(), to.c_str()) != 0) return last_error();
        return {};
    }

    error_code unlink(const std::string& path) override {
        if (::unlink(path.c_str()) != 0) return last_error();
        return {};
    }

    error_code make_directory(const std::string& path) override {
        if (::mkdir(path.c_str(), S_IRWXU) == 0) return {};
        if (errno != EEXIST) return last_error();
        struct stat st = {};
        if (::stat(path.c_str(), &st) != 0) return last_error();
        if (!S_ISDIR(st.st_mode)) return {ENOTDIR, boost::system::system_category()};
        return {};
    }

    result<std::vector<Name>> list(const std::string& path) override {
        const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
        if (!dir) return last_error();
        std::vector<Name> out;
        for (;;) {
            errno = 0;
            const dirent* entry = ::readdir(dir.get());
            if (entry == nullptr) break;
            struct stat st = {};
            if (::fstatat(::dirfd(dir.get()), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
                if (errno == ENOENT) continue;
                return last_error();
            }
            if (!S_ISREG(st.st_mode)) continue;
            out.push_back({entry->d_name, static_cast<std::uint64_t>(st.st_size)});
        }
        if (errno != 0) return last_error();
        return out;
    }

    result<std::uint64_t> free_space(const std::string& path) override {
        struct statvfs st = {};
        if (::statvfs(path.c_str(), &st) != 0) return last_error();
        return static_cast<std::uint64_t>(st.f_bavail) * st.f_frsize;
    }

  private:
    /// The path may have been given to another file between two opens.
    static bool same_file(const Descriptor& a, const Descriptor& b) noexcept {
        struct stat one = {};
        struct stat two = {};
        return b.valid() && ::fstat(a.get(), &one) == 0 && ::fstat(b.get(), &two) == 0 &&
               one.st_dev == two.st_dev && one.st_ino == two.st_ino;
    }

    std::shared_ptr<Staging> staging_ = std::make_shared<Staging>();
};

}  // namespace

std::unique_ptr<FileSystem> posix_file_system() {
    return std::make_unique<PosixFileSystem>();
}

}  // namespace postern::relay
