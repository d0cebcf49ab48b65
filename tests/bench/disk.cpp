// What the disk allows: records of a given size appended to a preallocated file in batches, each
// made durable by one fdatasync, as fast as one thread can. Prints one JSON line: records a second,
// and the time of a batch: the fastest, for on a busy machine the median says how long this thread
// waited for its turn, and the median.
//
//   bench_disk FOLDER RECORD_SIZE BATCH COUNT

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_disk: {}\n", what);
    std::_Exit(1);
}

std::size_t number(std::string_view text) {
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    if (value == 0) fail("a number above 0 is wanted");
    return value;
}

void write_all(int file, std::string_view octets, std::size_t at) {
    while (!octets.empty()) {
        const auto n = ::pwrite(file, octets.data(), octets.size(), static_cast<off_t>(at));
        if (n <= 0) fail("cannot write");
        octets.remove_prefix(static_cast<std::size_t>(n));
        at += static_cast<std::size_t>(n);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) fail("bench_disk FOLDER RECORD_SIZE BATCH COUNT");
    const std::size_t size = number(argv[2]) * number(argv[3]);
    const std::size_t batch = number(argv[3]);
    const std::size_t batches = std::max<std::size_t>(1, number(argv[4]) / batch);
    const std::string path = std::string(argv[1]) + "/bench_disk.tmp";
    const int file = ::open(path.c_str(), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) fail("cannot make a file in " + std::string(argv[1]));
    ::unlink(path.c_str());

    // Preallocated and written once, so that a sync has data to write and no change of the file's
    // own record. It wraps around, to stay small.
    const std::size_t room = std::max<std::size_t>(std::size_t{64} << 20U, size);
    const std::string zeroes(std::size_t{1} << 20U, '\0');
    for (std::size_t at = 0; at < room; at += zeroes.size()) write_all(file, zeroes, at);
    if (::fsync(file) != 0) fail("cannot sync");

    const std::string records(size, 'x');
    std::vector<std::uint32_t> times;
    std::size_t at = 0;
    const auto begun = Clock::now();
    for (std::size_t i = 0; i < batches; ++i) {
        const auto from = Clock::now();
        if (at + size > room) at = 0;
        write_all(file, records, at);
        at += size;
        if (::fdatasync(file) != 0) fail("cannot sync");
        times.push_back(static_cast<std::uint32_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - from).count()));
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    std::ranges::sort(times);
    fmt::print(
        "{{\"records_per_second\":{:.1f},\"batch\":{},\"fastest_us\":{},\"median_us\":{}}}\n",
        static_cast<double>(batches * batch) / seconds, batch, times.front(),
        times[times.size() / 2]);
    return 0;
}
