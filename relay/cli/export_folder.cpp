#include "relay/cli/export_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace postern::relay::cli {
namespace {

boost::system::error_code last_error() {
    return {errno, boost::system::system_category()};
}

}  // namespace

boost::system::result<ExportFolder> ExportFolder::open(const std::string& path) {
    constexpr mode_t ours = 0700;
    if (::mkdir(path.c_str(), ours) != 0 && errno != EEXIST) return last_error();
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return last_error();
    return ExportFolder(descriptor);
}

ExportFolder::ExportFolder(ExportFolder&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

ExportFolder& ExportFolder::operator=(ExportFolder&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

ExportFolder::~ExportFolder() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

boost::system::result<ExportFolder::NewFile> ExportFolder::make(const std::string& name) const {
    // A name is an id that the relay gave: never a way out of the folder.
    if (name.empty() || name.starts_with('.') || name.find('/') != std::string::npos)
        return boost::system::error_code(EINVAL, boost::system::system_category());
    constexpr mode_t ours = 0600;
    const int descriptor = ::openat(descriptor_, name.c_str(),
                                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, ours);
    if (descriptor < 0) return last_error();
    return NewFile(descriptor_, name, descriptor);
}

ExportFolder::NewFile::NewFile(NewFile&& other) noexcept
    : folder_(other.folder_),
      name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

ExportFolder::NewFile& ExportFolder::NewFile::operator=(NewFile&& other) noexcept {
    std::swap(folder_, other.folder_);
    name_.swap(other.name_);
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

ExportFolder::NewFile::~NewFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlinkat(folder_, name_.c_str(), 0);
}

boost::system::error_code ExportFolder::NewFile::write(std::string_view octets) {
    while (!octets.empty()) {
        const ssize_t n = ::write(descriptor_, octets.data(), octets.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return last_error();
        octets.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

boost::system::error_code ExportFolder::NewFile::finish() {
    if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) return last_error();
    const int descriptor = std::exchange(descriptor_, -1);
    if (::close(descriptor) == 0) return {};
    const auto error = last_error();
    ::unlinkat(folder_, name_.c_str(), 0);
    return error;
}

}  // namespace postern::relay::cli
