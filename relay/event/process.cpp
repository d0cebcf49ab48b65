#include "relay/event/process.hpp"

#include <fstream>
#include <sstream>

#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

namespace postern::relay::event {

namespace {

double seconds_of(const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
}

/// Open descriptors, less the one that counts them; negative: not to be read.
double open_descriptors() {
    DIR* dir = ::opendir("/proc/self/fd");
    if (dir == nullptr) return -1;
    double n = -1;
    while (const auto* entry = ::readdir(dir)) n += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(dir);
    return n;
}

/// When the process began, Unix seconds: field 22 of /proc/self/stat beside btime of /proc/stat.
double start_time() {
    std::ifstream stat("/proc/self/stat");
    std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
    const auto name_end = text.rfind(')');  // the name may hold blanks
    if (name_end == std::string::npos) return -1;
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    for (int i = 3; i < 22; ++i) fields >> skipped;
    double ticks = 0;
    if (!(fields >> ticks)) return -1;
    std::ifstream system("/proc/stat");
    for (std::string line; std::getline(system, line);) {
        if (!line.starts_with("btime ")) continue;
        return std::stod(line.substr(6)) + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
    }
    return -1;
}

}  // namespace

std::vector<ProcessFigure> process_figures() {
    std::vector<ProcessFigure> out;
    const auto add = [&](const char* name, const char* help, bool counter, double value) {
        if (value >= 0) out.push_back({name, help, counter, value});
    };
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
        add("process_cpu_seconds_total", "User and system time.", true,
            seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
    }
    std::ifstream statm("/proc/self/statm");
    double pages = -1;
    double resident = -1;
    if (statm >> pages >> resident) {
        const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
        add("process_virtual_memory_bytes", "Virtual memory.", false, pages * page);
        add("process_resident_memory_bytes", "Resident memory.", false, resident * page);
    }
    add("process_open_fds", "Open file descriptors.", false, open_descriptors());
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY) {
        add("process_max_fds", "File descriptors that may be open.", false,
            static_cast<double>(files.rlim_cur));
    }
    static const double started = start_time();
    add("process_start_time_seconds", "When the process began, Unix time.", false, started);
    return out;
}

}  // namespace postern::relay::event
