#include "relay/process/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace postern::relay::process {
namespace {

constexpr std::size_t largest_lock_file = 4096;

std::string lock_path(const std::string& state) {
    return state + "/lock";
}

boost::system::result<void> write_all(int fd, std::string_view text) {
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) < 0) return last_error();
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return last_error();
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

std::string to_json(const Holder& holder) {
    nlohmann::ordered_json out;
    out["pid"] = holder.pid;
    out["admin"] = holder.admin;
    out["version"] = holder.version;
    out["started"] = holder.started;
    // Paths are whatever octets the file system has.
    return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Holder from_json(std::string_view text) {
    Holder holder;
    const auto parsed = nlohmann::json::parse(text, nullptr, false);
    if (!parsed.is_object()) return holder;
    const auto text_of = [&](const char* key) {
        const auto it = parsed.find(key);
        return it != parsed.end() && it->is_string() ? it->get<std::string>() : std::string();
    };
    const auto pid = parsed.find("pid");
    if (pid != parsed.end() && pid->is_number_integer()) holder.pid = pid->get<std::int64_t>();
    holder.admin = text_of("admin");
    holder.version = text_of("version");
    holder.started = text_of("started");
    return holder;
}

}  // namespace

boost::system::result<StateLock> StateLock::take(const std::string& state, const Holder& holder) {
    if (::mkdir(state.c_str(), 0700) != 0 && errno != EEXIST) return last_error();
    Descriptor file(
        ::open(lock_path(state).c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return last_error();
    // The state may be another's than the process's: no other name of a file gets its contents.
    struct stat about{};
    if (::fstat(file.get(), &about) != 0) return last_error();
    if (!S_ISREG(about.st_mode) || about.st_nlink != 1)
        return boost::system::errc::make_error_code(boost::system::errc::too_many_links);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return last_error();
    StateLock lock(std::move(file));
    if (const auto described = lock.describe(holder); !described) return described.error();
    return lock;
}

boost::system::result<void> StateLock::describe(const Holder& holder) {
    return write_all(file_.get(), to_json(holder));
}

std::optional<Holder> StateLock::holder(const std::string& state) {
    const Descriptor file(::open(lock_path(state).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file.valid()) return std::nullopt;
    // Shared, so that two who look do not take each other for the holder.
    if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0) return std::nullopt;
    std::array<char, largest_lock_file> text{};
    const ssize_t size = ::read(file.get(), text.data(), text.size());
    return from_json(std::string_view(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0));
}

bool StateLock::readable(const std::string& state) {
    const Descriptor file(::open(lock_path(state).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    return file.valid() || errno != EACCES;
}

}  // namespace postern::relay::process
