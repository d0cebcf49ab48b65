// What a long queue costs: starting with it, holding it, taking and giving away mail beside it, and
// changing all of it. Each mode is a process of its own, so that memory and the page cache are
// those of that mode alone; each prints one line of JSON. `tests/bench/queue` runs them and
// compares.
//
//   bench_queue fill SPOOL ENTRIES [OCTETS A MESSAGE]
//   bench_queue start SPOOL [cold]
//   bench_queue rates LONG EMPTY [SECONDS] [ROUNDS]
//   bench_queue change SPOOL

#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "relay/spool/file.hpp"
#include "relay/spool/spool.hpp"

namespace {

using namespace postern::relay;
using Clock = std::chrono::steady_clock;

constexpr std::size_t accounts = 1000;
constexpr std::size_t customers = 100;
constexpr std::size_t committers = 32;

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_queue: {}\n", what);
    std::exit(1);
}

double seconds_since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
}

/// Resident octets of this process, once what was freed is given back.
double resident() {
    ::malloc_trim(0);
    std::size_t total = 0;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> total >> pages;
    return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

std::unique_ptr<Spool> open_spool(FileSystem& fs, const std::string& path) {
    Spool::Settings settings;
    settings.path = path;
    auto spool = Spool::open(fs, std::move(settings), {});
    if (!spool) fail(path + ": " + spool.error().message());
    return std::move(*spool);
}

std::size_t queued(const Spool& spool) {
    const Spool::Stats stats = spool.stats();
    std::size_t n = 0;
    for (const std::size_t each : stats.entries) n += each;
    return n;
}

std::string a_message(std::size_t octets) {
    std::string out =
        "From: ann@example.net\r\nTo: r@example.org\r\nSubject: queued\r\n"
        "Date: Mon, 02 Mar 2026 09:15:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\n";
    while (out.size() + 80 < octets) out += std::string(76, 'x') + "\r\n";
    if (out.size() + 2 < octets) out += std::string(octets - out.size() - 2, 'y') + "\r\n";
    return out;
}

NewEntry entry(std::string id, std::size_t number, const std::shared_ptr<std::string>& body,
               WallTime next) {
    NewEntry e;
    e.id = std::move(id);
    e.ref = e.id;
    // Half of them are one account's: a queue gets that long when somebody sends too much.
    const std::size_t account = number % 2 == 0 ? 7 : number % accounts;
    e.account = fmt::format("user{}@customer{}.example", account, account % customers);
    e.customer = fmt::format("customer{}", account % customers);
    e.source = "192.0.2.1";
    e.envelope.mail_from = postern::proto::Address{"ann", "example.net"};
    e.envelope.recipients.push_back(
        {.address = {fmt::format("r{}", number), "example.org"}, .notify = {}, .orcpt = {}});
    e.message_id = "<1@example.net>";
    e.created = std::chrono::system_clock::now();
    e.next_attempt = next;
    e.state = EntryState::deferred;
    e.pieces = {*body};
    e.keep = body;
    return e;
}

/// Entries that wait until tomorrow: a relay that starts on them leaves them alone.
int fill(FileSystem& fs, const std::string& path, std::size_t entries, std::size_t octets) {
    constexpr std::size_t a_batch = 500;
    constexpr std::ptrdiff_t in_flight = 4;
    const auto body = std::make_shared<std::string>(a_message(octets));
    const auto spool = open_spool(fs, path);
    const double before = resident();
    const WallTime tomorrow = std::chrono::system_clock::now() + std::chrono::hours(24);
    std::counting_semaphore<in_flight> room(in_flight);
    const auto began = Clock::now();
    for (std::size_t i = 0; i < entries;) {
        SpoolBatch batch;
        for (; batch.add.size() < a_batch && i < entries; ++i)
            batch.add.push_back(entry(fmt::format("01Q{:023}", i), i, body, tomorrow));
        room.acquire();
        spool->commit(std::move(batch), [&](boost::system::result<void> r) {
            if (!r) fail("commit: " + r.error().message());
            room.release();
        });
    }
    for (std::ptrdiff_t i = 0; i < in_flight; ++i) room.acquire();
    const double took = seconds_since(began);
    const auto n = static_cast<double>(queued(*spool));
    fmt::print("{{\"entries\":{},\"octets\":{},\"seconds\":{:.3f},\"bytes_each\":{:.1f}}}\n",
               queued(*spool), body->size(), took, (resident() - before) / std::max(1.0, n));
    spool->stop();
    return 0;
}

/// Takes the files out of the page cache, as far as they are written.
void make_cold(const std::string& path) {
    for (const auto& each : std::filesystem::recursive_directory_iterator(path)) {
        if (!each.is_regular_file()) continue;
        const int fd = ::open(each.path().c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        static_cast<void>(::fdatasync(fd));
        static_cast<void>(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
        ::close(fd);
    }
}

int start(FileSystem& fs, const std::string& path, bool cold) {
    if (cold) make_cold(path);
    const double before = resident();
    const auto began = Clock::now();
    const auto spool = open_spool(fs, path);
    const double took = seconds_since(began);
    const double after = resident();
    const std::size_t n = queued(*spool);
    fmt::print("{{\"entries\":{},\"seconds\":{:.3f},\"bytes_each\":{:.1f}}}\n", n, took,
               (after - before) / static_cast<double>(std::max<std::size_t>(1, n)));
    spool->stop();
    return 0;
}

/// Accepts from clients that each wait for their answer, until the time is over: mails a second.
/// Adds their number to `taken`.
double accept(Spool& spool, const std::shared_ptr<std::string>& body, double seconds,
              std::size_t& taken) {
    static std::atomic<std::size_t> next = 0;
    std::atomic<bool> over = false;
    std::atomic<std::size_t> done = 0;
    std::mutex mutex;
    std::condition_variable ended;
    std::size_t running = committers;
    const WallTime now = std::chrono::system_clock::now();
    // Ids of this run alone: the spool may be there from another one.
    static const auto run = std::chrono::system_clock::to_time_t(now);
    std::function<void()> commit_one = [&] {
        const std::size_t number = next++;
        SpoolBatch batch;
        batch.add.push_back(entry(fmt::format("02{:010}{:014}", run, number), number, body, now));
        spool.commit(std::move(batch), [&](boost::system::result<void> r) {
            if (!r) fail("commit: " + r.error().message());
            ++done;
            if (!over) {
                commit_one();
                return;
            }
            const std::lock_guard lock(mutex);
            if (--running == 0) ended.notify_one();
        });
    };
    const auto began = Clock::now();
    for (std::size_t i = 0; i < committers; ++i) commit_one();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    over = true;
    {
        std::unique_lock lock(mutex);
        ended.wait(lock, [&] { return running == 0; });
    }
    taken += done;
    return static_cast<double>(done) / seconds_since(began);
}

/// Takes so many that are due, reads each back whole, and records that it was delivered: mails a
/// second.
double drain(Spool& spool, std::size_t count) {
    constexpr std::ptrdiff_t in_flight = 256;
    constexpr int readers = 2;
    const WallTime later = std::chrono::system_clock::now() + std::chrono::hours(48);
    std::counting_semaphore<in_flight> room(in_flight);
    std::atomic<std::size_t> begun = 0;
    const auto began = Clock::now();
    const auto read = [&] {
        for (;;) {
            constexpr std::size_t at_once = 16;
            const std::size_t from = begun.fetch_add(at_once);
            if (from >= count) return;
            const auto due = spool.take_due(later, std::min(at_once, count - from));
            if (due.empty()) fail("nothing is due that should be");
            for (const std::string& id : due) {
                const auto loaded = spool.load(id);
                if (!loaded) fail(id + ": " + loaded.error().message());
                SpoolBatch batch;
                EntryUpdate& update = batch.update.emplace_back();
                update.id = id;
                update.done.push_back({0, Settled::delivered});
                room.acquire();
                spool.commit(std::move(batch), [&](boost::system::result<void> r) {
                    if (!r) fail("commit: " + r.error().message());
                    room.release();
                });
            }
        }
    };
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < readers; ++i) threads.emplace_back(read);
    }
    for (std::ptrdiff_t i = 0; i < in_flight; ++i) room.acquire();
    return static_cast<double>(count) / seconds_since(began);
}

double median(std::vector<double> of) {
    const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
    std::ranges::nth_element(of, middle);
    return *middle;
}

/// Both spools in turns, so that they meet the same disk; each is as long afterwards as before.
int rates(FileSystem& fs, const std::string& of_many, const std::string& of_none, double seconds,
          int rounds) {
    const auto many = open_spool(fs, of_many);
    const auto none = open_spool(fs, of_none);
    if (queued(*none) != 0) fail(of_none + " is not empty");
    const std::size_t length = queued(*many);
    const auto body = std::make_shared<std::string>(a_message(2048));
    struct Found {
        std::vector<double> accept, drain;
    } at_many, at_none;
    for (int round = 0; round < rounds; ++round) {
        // Who is first has the disk as the other left it: they change places.
        const bool many_first = round % 2 == 0;
        for (const bool is_many : {many_first, !many_first}) {
            Spool& spool = is_many ? *many : *none;
            Found& found = is_many ? at_many : at_none;
            std::size_t taken = 0;
            found.accept.push_back(accept(spool, body, seconds, taken));
            found.drain.push_back(drain(spool, taken));
        }
    }
    if (queued(*many) != length || queued(*none) != 0) fail("a spool is not as long as it was");
    fmt::print(
        "{{\"entries\":{},\"accept_many\":{:.0f},\"accept_none\":{:.0f},\"drain_many\":{:.0f},"
        "\"drain_none\":{:.0f}}}\n",
        length, median(at_many.accept), median(at_none.accept), median(at_many.drain),
        median(at_none.drain));
    many->stop();
    none->stop();
    return 0;
}

/// What operators do to all of it, each in one order.
int change(FileSystem& fs, const std::string& path) {
    const auto spool = open_spool(fs, path);
    const std::size_t length = queued(*spool);
    const auto order = [&](EntryChange::Kind kind, std::string to = {}) {
        const auto began = Clock::now();
        const ChangeOutcome outcome = spool->change({},
                                                    {.kind = kind,
                                                     .reason = "bench",
                                                     .upstream = std::move(to),
                                                     .now = std::chrono::system_clock::now(),
                                                     .stop = {}},
                                                    {});
        if (outcome.error || outcome.failed != 0 || outcome.changed != length)
            fail(fmt::format("{} of {} were changed", outcome.changed, length));
        return seconds_since(began);
    };
    const auto freeze = [&](bool frozen) {
        std::promise<void> done;
        const auto began = Clock::now();
        spool->freeze("user7@customer7.example", frozen, [&](boost::system::result<void> r) {
            if (!r) fail("freeze: " + r.error().message());
            done.set_value();
        });
        done.get_future().get();
        return seconds_since(began);
    };
    const double frozen = freeze(true);
    const double thawed = freeze(false);
    const double hold = order(EntryChange::Kind::hold);
    const double release = order(EntryChange::Kind::release);
    const double reroute = order(EntryChange::Kind::reroute, "second");
    const double drop = order(EntryChange::Kind::drop);
    fmt::print(
        "{{\"entries\":{},\"freeze\":{:.4f},\"thaw\":{:.4f},\"hold\":{:.2f},\"release\":{:.2f},"
        "\"reroute\":{:.2f},\"drop\":{:.2f}}}\n",
        length, frozen, thawed, hold, release, reroute, drop);
    spool->stop();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    const auto number = [&](std::size_t at, double usual) {
        return words.size() > at ? std::strtod(words[at].c_str(), nullptr) : usual;
    };
    const auto fs = posix_file_system();
    if (words.size() >= 3 && words[0] == "fill") {
        return fill(*fs, words[1], static_cast<std::size_t>(number(2, 0)),
                    static_cast<std::size_t>(number(3, 2048)));
    }
    if (words.size() >= 2 && words[0] == "start") return start(*fs, words[1], words.size() > 2);
    if (words.size() >= 3 && words[0] == "rates") {
        return rates(*fs, words[1], words[2], number(3, 3),
                     std::max(1, static_cast<int>(number(4, 5))));
    }
    if (words.size() >= 2 && words[0] == "change") return change(*fs, words[1]);
    fail(
        "one of: fill SPOOL ENTRIES [OCTETS], start SPOOL [cold], rates LONG EMPTY [SECONDS] "
        "[ROUNDS], change SPOOL");
}
