#include "relay/event/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <tuple>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fmt/format.h>

#include "relay/descriptor.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::event {

namespace {

/// More than the numbers that can be used between an event and the moment its line is in the file:
/// a start after a crash begins so much above the last line.
constexpr std::uint64_t seq_block = 1U << 20U;
constexpr std::size_t tail_read = 256U << 10U;  // of a file, to find its last whole line

std::string date_text(std::chrono::system_clock::time_point t) {
    return time_text(t).substr(0, 10);
}

std::optional<std::uint64_t> number_in(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<JournalFile> file_of(const std::string& folder, const std::string& name) {
    // 2026-03-02.N.jsonl
    constexpr std::string_view suffix = ".jsonl";
    constexpr std::size_t date_length = 10;
    const std::string_view text = name;
    if (!text.ends_with(suffix) || text.size() < date_length + 2 + suffix.size() ||
        text[date_length] != '.')
        return {};
    for (std::size_t i = 0; i < date_length; ++i) {
        const bool dash = i == 4 || i == 7;
        if (dash ? text[i] != '-' : text[i] < '0' || text[i] > '9') return {};
    }
    const auto number =
        number_in(text.substr(date_length + 1, text.size() - date_length - 1 - suffix.size()));
    if (!number) return {};
    return JournalFile{
        .date = name.substr(0, date_length), .number = *number, .path = folder + "/" + name};
}

/// The highest `seq` in the last part of a file; lines that hold none are passed over.
std::uint64_t last_seq(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    struct stat what{};
    std::string tail;
    if (::fstat(fd, &what) == 0) {
        const auto size = static_cast<std::size_t>(what.st_size);
        tail.resize(std::min(size, tail_read));
        const auto n =
            ::pread(fd, tail.data(), tail.size(), static_cast<off_t>(size - tail.size()));
        tail.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    }
    ::close(fd);
    constexpr std::string_view mark = "\"seq\":";
    std::uint64_t highest = 0;
    for (auto at = tail.find(mark); at != std::string::npos; at = tail.find(mark, at + 1)) {
        std::uint64_t value = 0;
        std::from_chars(tail.data() + at + mark.size(), tail.data() + tail.size(), value);
        // Beyond 2^53 no JSON reader keeps it whole: that is damage.
        if (value < (std::uint64_t{1} << 53U)) highest = std::max(highest, value);
    }
    return highest;
}

bool ends_in_newline(int fd, std::uint64_t size) {
    char last = '\n';
    return size == 0 || (::pread(fd, &last, 1, static_cast<off_t>(size - 1)) == 1 && last == '\n');
}

}  // namespace

std::vector<JournalFile> journal_files(const std::string& folder) {
    std::vector<JournalFile> files;
    DIR* dir = ::opendir(folder.c_str());
    if (dir == nullptr) return files;
    while (const auto* entry = ::readdir(dir)) {
        if (auto file = file_of(folder, entry->d_name)) files.push_back(std::move(*file));
    }
    ::closedir(dir);
    std::ranges::sort(files, {}, [](const JournalFile& f) { return std::tie(f.date, f.number); });
    return files;
}

boost::system::result<Journal> Journal::open(Settings settings,
                                             std::chrono::system_clock::time_point now) {
    if (::mkdir(settings.folder.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
    Journal journal(std::move(settings));
    const auto files = journal_files(journal.settings_.folder);
    std::uint64_t highest = 0;
    for (auto file = files.rbegin(); file != files.rend() && highest == 0; ++file)
        highest = last_seq(file->path);
    if (highest != 0) journal.next_seq_ = highest + seq_block;

    const auto today = date_text(now);
    std::uint64_t number = 1;
    for (const auto& file : files) {
        if (file.date == today) number = std::max(number, file.number);
    }
    if (const auto started = journal.start_file(today, number); !started) return started.error();
    journal.expire(now);
    return journal;
}

boost::system::result<void> Journal::start_file(const std::string& date, std::uint64_t number) {
    const auto path = fmt::format("{}/{}.{}.jsonl", settings_.folder, date, number);
    const int fd = ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return last_error();
    struct stat what{};
    if (::fstat(fd, &what) != 0) {
        const auto error = last_error();
        ::close(fd);
        return error;
    }
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    date_ = date;
    number_ = number;
    size_ = static_cast<std::uint64_t>(what.st_size);
    torn_ = !ends_in_newline(fd_, size_);
    return {};
}

/// The mail comes first: what explains it must not take the disk that it needs.
bool Journal::has_space(std::size_t more) {
    if (settings_.keep_free == 0) return true;
    constexpr std::uint64_t look_every = 256U << 10U;
    if (space_ && unlooked_ + more < look_every) {
        unlooked_ += more;
        return true;
    }
    struct statvfs disk{};
    if (::statvfs(settings_.folder.c_str(), &disk) != 0) return true;
    space_ = std::uint64_t{disk.f_bavail} * disk.f_frsize >= settings_.keep_free + more;
    unlooked_ = 0;
    return space_;
}

boost::system::result<void> Journal::append(std::string_view lines,
                                            std::chrono::system_clock::time_point now) {
    if (!has_space(lines.size()))
        return boost::system::errc::make_error_code(boost::system::errc::no_space_on_device);
    const auto today = date_text(now);
    if (fd_ < 0 || today != date_) {
        if (const auto started = start_file(today, 1); !started) return started.error();
    } else if (size_ >= settings_.max_file) {
        if (const auto started = start_file(today, number_ + 1); !started) return started.error();
        expire(now);
    }
    if (torn_) {  // the line that a crash or a full disk cut short stays damaged, the next one does
                  // not
        if (::write(fd_, "\n", 1) != 1) return last_error();
        torn_ = false;
        ++size_;
    }
    while (!lines.empty()) {
        const auto n = ::write(fd_, lines.data(), lines.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            return last_error();
        }
        size_ += static_cast<std::uint64_t>(n);
        torn_ = lines[static_cast<std::size_t>(n) - 1] != '\n';
        lines.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

std::size_t Journal::expire(std::chrono::system_clock::time_point now) {
    const auto oldest = date_text(now - settings_.retention);
    const auto files = journal_files(settings_.folder);
    std::vector<std::uint64_t> sizes;
    std::uint64_t total = 0;
    for (const auto& file : files) {
        struct stat what{};
        const bool known = ::stat(file.path.c_str(), &what) == 0;
        sizes.push_back(known ? static_cast<std::uint64_t>(what.st_size) : 0);
        total += sizes.back();
    }
    std::uint64_t most = settings_.max_total;
    struct statvfs disk{};
    if (::statvfs(settings_.folder.c_str(), &disk) == 0)
        most = std::min(most, std::uint64_t{disk.f_blocks} * disk.f_frsize / 5);
    std::size_t deleted = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
        const auto& file = files[i];
        if (file.date == date_ && file.number == number_) continue;
        if ((file.date >= oldest && total <= most) || ::unlink(file.path.c_str()) != 0) continue;
        total -= sizes[i];
        ++deleted;
    }
    return deleted;
}

Journal::Journal(Journal&& other) noexcept
    : settings_(std::move(other.settings_)),
      fd_(std::exchange(other.fd_, -1)),
      date_(std::move(other.date_)),
      number_(other.number_),
      size_(other.size_),
      unlooked_(other.unlooked_),
      space_(other.space_),
      next_seq_(other.next_seq_),
      torn_(other.torn_) {}

Journal& Journal::operator=(Journal&& other) noexcept {
    if (this != &other) {
        if (fd_ >= 0) ::close(fd_);
        settings_ = std::move(other.settings_);
        fd_ = std::exchange(other.fd_, -1);
        date_ = std::move(other.date_);
        number_ = other.number_;
        size_ = other.size_;
        unlooked_ = other.unlooked_;
        space_ = other.space_;
        next_seq_ = other.next_seq_;
        torn_ = other.torn_;
    }
    return *this;
}

Journal::~Journal() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace postern::relay::event
