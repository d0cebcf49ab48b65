// Durable commits a second with 1, 32 and 256 committers that each wait for their answer, beside
// the raw limit of the same disk: as many octets in as many writes with one fdatasync for as many
// messages, into a preallocated file.
//
//   bench_spool [DIRECTORY] [OCTETS A MESSAGE] [SECONDS]

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "relay/spool/file.hpp"
#include "relay/spool/spool.hpp"

namespace {

using namespace postern::relay;
using Clock = std::chrono::steady_clock;

struct Result {
    double rate = 0;     ///< Commits a second.
    double median = 0;   ///< Milliseconds from commit to callback.
    double a_group = 0;  ///< Commits a sync.
};

Result spool_rate(FileSystem& fs, const std::string& path, std::size_t committers,
                  std::size_t octets, double seconds) {
    std::atomic<std::size_t> groups = 0;
    Spool::Settings settings;
    settings.path = path;
    Spool::Observer observer;
    observer.batch_committed = [&](std::size_t, double) { ++groups; };
    auto opened = Spool::open(fs, settings, std::move(observer));
    if (!opened) {
        fmt::print(stderr, "{}: {}\n", path, opened.error().message());
        std::exit(1);
    }
    Spool& spool = **opened;
    const auto body = std::make_shared<std::string>(octets, 'x');
    std::atomic<bool> stop = false;
    std::atomic<std::size_t> next = 0;
    std::mutex mutex;
    std::condition_variable ended;
    std::size_t running = committers;
    std::vector<double> took;
    // Each committer's next commit is made by the callback of its last: no thread's wake-up is
    // measured but the writer's, as with coroutines that are resumed on the network threads.
    std::function<void()> commit_one = [&] {
        SpoolBatch batch;
        NewEntry& e = batch.add.emplace_back();
        e.id = fmt::format("B{:025}", next++);
        e.account = "bench@example.net";
        e.envelope.mail_from = postern::proto::Address{"bench", "example.net"};
        e.envelope.recipients.push_back(
            {.address = {"r", "example.org"}, .notify = {}, .orcpt = {}});
        e.state = EntryState::held;
        e.pieces = {*body};
        e.keep = body;
        const auto began = Clock::now();
        spool.commit(std::move(batch), [&, began](boost::system::result<void> r) {
            if (!r) {
                fmt::print(stderr, "commit: {}\n", r.error().message());
                std::exit(1);
            }
            {
                const std::lock_guard lock(mutex);
                took.push_back(
                    std::chrono::duration<double, std::milli>(Clock::now() - began).count());
                if (stop) {
                    if (--running == 0) ended.notify_one();
                    return;
                }
            }
            commit_one();
        });
    };
    const auto began = Clock::now();
    for (std::size_t i = 0; i < committers; ++i) commit_one();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    stop = true;
    {
        std::unique_lock lock(mutex);
        ended.wait(lock, [&] { return running == 0; });
    }
    const double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
    spool.stop();
    std::ranges::nth_element(took, took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2));
    const auto n = static_cast<double>(took.size());
    return {n / elapsed, took[took.size() / 2],
            n / static_cast<double>(std::max<std::size_t>(1, groups))};
}

Result raw_rate(FileSystem& fs, const std::string& path, std::size_t batch, std::size_t octets,
                double seconds) {
    constexpr std::uint64_t size = 64U << 20U;
    auto file = fs.open(path, FileSystem::Mode::replace);
    const std::string zeros(1U << 20U, '\0');
    const std::string_view zero_piece = zeros;
    bool good = file.has_value() && !(*file)->preallocate(0, size);
    for (std::uint64_t at = 0; good && at < size; at += zeros.size())
        good = !(*file)->write(at, {&zero_piece, 1});
    good = good && !(*file)->sync_data();
    const std::string message(octets, 'x');
    const std::vector<std::string_view> pieces(batch, message);
    const std::uint64_t step = (octets * batch + 4095) / 4096 * 4096;
    std::uint64_t at = 0;
    std::vector<double> took;
    const auto began = Clock::now();
    while (good && Clock::now() - began < std::chrono::duration<double>(seconds)) {
        if (at + step > size) at = 0;
        const auto start = Clock::now();
        good = !(*file)->write(at, pieces) && !(*file)->sync_data();
        took.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
        at += step;
    }
    if (!good) {
        fmt::print(stderr, "{}: cannot be written\n", path);
        std::exit(1);
    }
    const double elapsed = std::chrono::duration<double>(Clock::now() - began).count();
    std::ranges::nth_element(took, took.begin() + static_cast<std::ptrdiff_t>(took.size() / 2));
    return {static_cast<double>(took.size() * batch) / elapsed, took[took.size() / 2],
            static_cast<double>(batch)};
}

}  // namespace

int main(int argc, char** argv) {
    const std::string directory = argc > 1 ? argv[1] : "/tmp";
    const std::size_t octets = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 4096;
    const double seconds = argc > 3 ? std::strtod(argv[3], nullptr) : 3;
    std::string own = directory + "/postern-spool-bench-XXXXXX";
    if (::mkdtemp(own.data()) == nullptr) {
        fmt::print(stderr, "{}: no directory can be made in it\n", directory);
        return 1;
    }
    const auto fs = posix_file_system();
    fmt::print("{} octets a message\n{:>10} {:>12} {:>10} {:>10} {:>12} {:>10} {:>7}\n", octets,
               "committers", "commits/s", "median ms", "a sync", "raw/s", "median ms", "ratio");
    int n = 0;
    for (const std::size_t committers : {std::size_t{1}, std::size_t{32}, std::size_t{256}}) {
        const Result spool =
            spool_rate(*fs, fmt::format("{}/{}", own, ++n), committers, octets, seconds);
        const Result raw = raw_rate(*fs, own + "/raw", committers, octets, seconds);
        fmt::print("{:>10} {:>12.0f} {:>10.3f} {:>10.1f} {:>12.0f} {:>10.3f} {:>7.2f}\n",
                   committers, spool.rate, spool.median, spool.a_group, raw.rate, raw.median,
                   spool.rate / raw.rate);
    }
    return std::system(fmt::format("rm -rf '{}'", own).c_str()) == 0 ? 0 : 1;
}
