#include "relay/event/journal_lines.hpp"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace postern::relay::event {

namespace {

constexpr std::size_t block = 256U << 10U;

class File {
  public:
    explicit File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    [[nodiscard]] int get() const noexcept { return fd_; }

  private:
    int fd_;
};

}  // namespace

boost::system::result<LinesRead> read_lines(const std::string& path, std::string_view needle,
                                            const std::function<bool(std::string_view)>& each) {
    const File file(path);
    if (file.get() < 0) return boost::system::error_code(errno, boost::system::system_category());
    LinesRead out;
    std::string held;  // what was read of the line that is not complete yet
    bool skipping = false;
    std::string buffer(block, '\0');
    for (;;) {
        const auto n = ::read(file.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return boost::system::error_code(errno, boost::system::system_category());
        if (n == 0) break;
        std::string_view rest(buffer.data(), static_cast<std::size_t>(n));
        while (!rest.empty()) {
            const auto end = rest.find('\n');
            if (end == std::string_view::npos) {
                if (!skipping) held += rest;
                if (held.size() > longest_line) {
                    skipping = true;
                    std::string().swap(held);
                }
                break;
            }
            const auto part = rest.substr(0, end);
            rest.remove_prefix(end + 1);
            if (skipping) {
                skipping = false;
                ++out.damaged;
                continue;
            }
            std::string_view line = part;
            if (!held.empty()) line = held += part;
            if (!line.empty() && (needle.empty() || line.find(needle) != std::string_view::npos) &&
                !each(line)) {
                out.stopped = true;
                return out;
            }
            held.clear();
        }
    }
    if (skipping || !held.empty()) ++out.damaged;
    return out;
}

}  // namespace postern::relay::event
