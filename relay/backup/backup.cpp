#include "relay/backup/backup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "auth/schema.hpp"
#include "auth/sqlite.hpp"
#include "relay/backup/target.hpp"
#include "relay/event/json.hpp"

namespace postern::relay::backup {
namespace {

constexpr std::array<std::string_view, 2> databases = {"accounts.db", "usage.db"};
constexpr std::array<std::string_view, 5> folders = {"keys", "dkim", "trace", "fingerprints",
                                                     "events"};
constexpr std::size_t deepest = 8;
constexpr std::uint64_t longest_line = 1ULL << 20U;

/// How much of a file of lines ends in a whole line: it grows at its end meanwhile.
done<std::uint64_t> whole_lines(int file, std::uint64_t size, const std::string& name) {
    const std::uint64_t tail = std::min(size, longest_line);
    std::string octets(tail, '\0');
    const ssize_t n = ::pread(file, octets.data(), octets.size(), static_cast<off_t>(size - tail));
    if (n < 0) return failure_of_errno(name);
    octets.resize(static_cast<std::size_t>(n));
    const std::size_t end = octets.rfind('\n');
    if (end != std::string::npos) return size - tail + end + 1;
    return tail < size ? size : 0;
}

class Run {
  public:
    Run(const Source& source, Target& target) : source_(source), target_(target) {}

    done<void> all() {
        if (source_.flush) source_.flush();
        // Logins that wait to be written belong to it, too. Nothing is forgotten by that.
        if (const auto flushed = source_.accounts.flush(auth::Time{}); !flushed)
            return Failure("last logins could not be written: " + flushed.error().message(), false);
        for (const std::string_view name : databases) {
            if (const auto copied = database(std::string(name)); !copied) return copied.error();
        }
        for (const std::string_view name : folders) {
            if (const auto copied = folder(std::string(name), 1); !copied) return copied.error();
        }
        return target_.seal("MANIFEST", manifest());
    }

  private:
    done<void> database(const std::string& name) {
        const std::string from = source_.state + "/" + name;
        if (::access(from.c_str(), F_OK) != 0) return {};
        const auto to = target_.make_file(name);
        if (!to) return to.error();
        if (const auto error = auth::copy_database(from, *to, source_.stopping)) {
            const bool stopped = source_.stopping && source_.stopping();
            return Failure{stopped ? "the relay is shutting down: make it once it serves again"
                                   : fmt::format("{}: {}", name, error.message()),
                           stopped};
        }
        return target_.finish(name, source_.stopping);
    }

    done<void> folder(const std::string& name, std::size_t depth) {
        const std::string from = source_.state + "/" + name;
        struct stat about{};
        if (::lstat(from.c_str(), &about) != 0)
            return errno == ENOENT ? done<void>() : failure_of_errno(from);
        if (!S_ISDIR(about.st_mode) || depth > deepest) return {};
        if (const auto made = target_.make_folder(name); !made) return made.error();
        std::vector<std::string> names;
        std::error_code error;
        for (auto at = std::filesystem::directory_iterator(from, error);
             !error && at != std::filesystem::directory_iterator(); at.increment(error))
            names.push_back(at->path().filename().string());
        if (error) return Failure(fmt::format("{}: {}", from, error.message()), false);
        std::ranges::sort(names);
        for (const std::string& each : names) {
            if (const auto copied = entry(fmt::format("{}/{}", name, each), depth); !copied)
                return copied.error();
        }
        return {};
    }

    done<void> entry(const std::string& name, std::size_t depth) {
        const std::string from = source_.state + "/" + name;
        struct stat about{};
        if (::lstat(from.c_str(), &about) != 0)
            return errno == ENOENT ? done<void>() : failure_of_errno(from);
        if (S_ISDIR(about.st_mode)) return folder(name, depth + 1);
        if (!S_ISREG(about.st_mode)) return {};
        const Descriptor file(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
        // Retention takes files away, too.
        if (file.get() < 0) return errno == ENOENT ? done<void>() : failure_of_errno(from);
        if (::fstat(file.get(), &about) != 0) return failure_of_errno(from);
        auto size = static_cast<std::uint64_t>(about.st_size);
        if (name.ends_with(".jsonl")) {
            const auto lines = whole_lines(file.get(), size, from);
            if (!lines) return lines.error();
            size = *lines;
        }
        return target_.copy(file.get(), size, name, source_.stopping);
    }

    [[nodiscard]] std::string manifest() const {
        nlohmann::ordered_json out;
        out["version"] = source_.version;
        out["commit"] = source_.commit;
        out["schema"] = auth::schema_version;
        out["made"] = event::time_text(std::chrono::system_clock::now());
        out["files"] = nlohmann::ordered_json::array();
        for (const File& file : target_.files())
            out["files"].push_back(
                {{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
        return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }

    const Source& source_;
    Target& target_;
};

bool is_within(const std::string& path, const std::string& folder) {
    std::error_code error;
    const auto inner = std::filesystem::weakly_canonical(path, error);
    const auto outer = std::filesystem::weakly_canonical(folder, error);
    if (error) return false;
    return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first ==
           outer.end();
}

Outcome failed(const Failure& failure) {
    Outcome out;
    out.refused = failure.refused;
    out.error = failure.text;
    return out;
}

}  // namespace

Outcome Maker::make(const std::string& to) {
    if (busy_.exchange(true))
        return failed({"another backup is being made: wait for its end", true});
    struct Free {
        std::atomic<bool>& busy;
        ~Free() { busy.store(false); }
    } const free{busy_};
    if (is_within(to, source_.state))
        return failed(
            {fmt::format("{} is within {}: name a place outside of it", to, source_.state), true});
    auto target = Target::open(to);
    if (!target) return failed(target.error());
    if (const auto made = Run(source_, *target).all(); !made) return failed(made.error());
    target->keep();
    Outcome out;
    out.ok = true;
    out.files = target->files().size();
    for (const File& file : target->files()) out.bytes += file.bytes;
    return out;
}

}  // namespace postern::relay::backup
