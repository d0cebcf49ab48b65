#include <atomic>
#include <csignal>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <nlohmann/json.hpp>

#include "relay/event/journal.hpp"
#include "relay/event/line_writer.hpp"
#include "relay/event/recorder.hpp"
#include "relay/event/stream.hpp"
#include "tests/catch.hpp"
#include "tests/unit/event/folder.hpp"

using namespace postern::relay::event;
using namespace std::chrono_literals;
using nlohmann::json;
using postern::test::Folder;
using postern::test::read_file;
using postern::test::write_file;

namespace {

using Time = std::chrono::system_clock::time_point;
const Time noon{std::chrono::milliseconds(1'772'442'900'120)};  // 2026-03-02

std::vector<json> lines_of(const std::string& path) {
    std::vector<json> out;
    const auto text = read_file(path);
    std::size_t at = 0;
    while (at < text.size()) {
        const auto end = text.find('\n', at);
        if (end == std::string::npos) break;
        out.push_back(json::parse(text.substr(at, end - at), nullptr, false));
        at = end + 1;
    }
    return out;
}

std::string only_file(const Folder& folder) {
    const auto files = journal_files(folder / "events");
    REQUIRE(files.size() == 1);
    return files[0].path;
}

Journal open_journal(const Folder& folder, Time now = std::chrono::system_clock::now()) {
    auto journal = Journal::open({.folder = folder / "events"}, now);
    REQUIRE(journal.has_value());
    return std::move(*journal);
}

struct Pipe {
    int ends[2];
    Pipe() { REQUIRE(::pipe2(ends, O_CLOEXEC) == 0); }
    ~Pipe() {
        ::close(ends[0]);
        ::close(ends[1]);
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
};

class Counting final : public Reader {
  public:
    void on_event(const Event&) noexcept override { ++seen; }
    std::atomic<int> seen{0};
};

}  // namespace

TEST_CASE("what is emitted by several threads is in the journal once each, numbered") {
    const Folder folder;
    Counting reader;
    {
        auto journal = open_journal(folder);
        const auto first = journal.next_seq();
        Recorder recorder(std::move(journal), nullptr);
        FanOut stream(first, {&reader}, &recorder);
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&stream, t] {
                for (int i = 0; i < 2'000; ++i) {
                    stream.emit(
                        Connect{.session = std::to_string(t * 10'000 + i), .source = "192.0.2.7"});
                    stream.emit(Reply{.command = "EHLO", .code = 250});
                }
            });
        }
        for (auto& thread : threads) thread.join();
        REQUIRE(recorder.flush(10s));
        CHECK(lines_of(only_file(folder)).size() == 8'000);
        CHECK(recorder.dropped() == 0);
    }
    CHECK(reader.seen == 16'000);
    std::set<std::uint64_t> numbers;
    for (const auto& line : lines_of(only_file(folder))) {
        REQUIRE(line.is_object());
        numbers.insert(line["seq"].get<std::uint64_t>());
    }
    CHECK(numbers.size() == 8'000);
    struct stat what{};
    REQUIRE(::stat(only_file(folder).c_str(), &what) == 0);
    CHECK((what.st_mode & 0777U) == 0600);
    REQUIRE(::stat((folder / "events").c_str(), &what) == 0);
    CHECK((what.st_mode & 0777U) == 0700);
}

TEST_CASE("seq rises over a restart, also after a crash that lost the last lines") {
    const Folder folder;
    std::uint64_t last = 0;
    for (int run = 0; run < 3; ++run) {
        auto journal = open_journal(folder);
        CHECK(journal.next_seq() > last);
        Recorder recorder(std::move(journal), nullptr);
        FanOut stream(journal_files(folder / "events").empty() ? 1 : last + 1, {}, &recorder);
        stream.emit(Release{.account = "ann@example.net"});
        recorder.stop();
        last = lines_of(only_file(folder)).back()["seq"].get<std::uint64_t>();
    }
    CHECK(open_journal(folder).next_seq() > last + 1'000'000);
}

TEST_CASE("a torn last line stays damaged, the next one does not") {
    const Folder folder;
    {
        (void)open_journal(folder, noon);
    }
    const auto path = only_file(folder);
    write_file(
        path,
        "{\"t\":\"2026-03-02T09:00:00.000Z\",\"event\":\"release\",\"seq\":41}\n{\"t\":\"2026-03-");
    {
        auto journal = open_journal(folder, noon);
        CHECK(journal.next_seq() > 41);
        REQUIRE(journal.append("{\"whole\":1}\n", noon).has_value());
    }
    const auto lines = lines_of(path);
    REQUIRE(lines.size() == 3);
    CHECK(lines[0].is_object());
    CHECK(lines[1].is_discarded());
    CHECK(lines[2]["whole"] == 1);
}

TEST_CASE("a wild seq in a damaged line does not run the numbers out") {
    const Folder folder;
    {
        (void)open_journal(folder, noon);
    }
    write_file(only_file(folder),
               "{\"seq\":5}\n{\"seq\":18446744073709551615}\n{\"seq\":99999999999999999999999}\n{"
               "\"seq\":\n");
    CHECK(open_journal(folder, noon).next_seq() == 5 + (1U << 20U));
}

TEST_CASE("a new day and a full file begin a new file, and old ones go") {
    const Folder folder;
    auto opened = Journal::open(
        {.folder = folder / "events", .retention = std::chrono::days(2), .max_file = 10}, noon);
    REQUIRE(opened.has_value());
    auto& journal = *opened;
    for (int i = 0; i < 3; ++i) REQUIRE(journal.append("0123456789\n", noon).has_value());
    REQUIRE(journal.append("next day\n", noon + std::chrono::days(1)).has_value());
    auto files = journal_files(folder / "events");
    REQUIRE(files.size() == 4);
    CHECK(files[0].path.ends_with("/2026-03-02.1.jsonl"));
    CHECK(files[2].path.ends_with("/2026-03-02.3.jsonl"));
    CHECK(files[3].path.ends_with("/2026-03-03.1.jsonl"));
    write_file(folder / "events/notes.txt", "mine");
    write_file(folder / "events/2026-03-0x.1.jsonl", "mine");
    CHECK(journal.expire(noon + std::chrono::days(2)) == 0);
    CHECK(journal.expire(noon + std::chrono::days(3)) == 3);
    CHECK(journal.expire(noon + std::chrono::days(900)) == 0);  // never the one that is written
    CHECK(journal_files(folder / "events").size() == 1);
    CHECK(read_file(folder / "events/notes.txt") == "mine");
}

TEST_CASE("ten files a day are in the order of their numbers") {
    const Folder folder;
    (void)::mkdir((folder / "events").c_str(), 0700);
    for (const auto* n : {"10", "9", "1", "2"})
        write_file(folder / "events/2026-03-02." + n + ".jsonl", "");
    std::vector<std::uint64_t> numbers;
    for (const auto& file : journal_files(folder / "events")) numbers.push_back(file.number);
    CHECK(numbers == std::vector<std::uint64_t>{1, 2, 9, 10});
}

TEST_CASE("a journal that cannot be written costs its lines, which are counted, and nothing else") {
    const Folder folder;
    write_file(folder / "events", "a file where the folder should be");
    CHECK_FALSE(Journal::open({.folder = folder / "events/x"}, noon).has_value());
    auto journal = Journal::open({.folder = folder / "journal"}, std::chrono::system_clock::now());
    REQUIRE(journal.has_value());
    Recorder recorder(std::move(*journal), nullptr);
    CHECK(recorder.flush());
    std::error_code ignored;
    std::filesystem::remove_all(folder / "journal", ignored);
    FanOut stream(1, {}, &recorder);
    stream.emit(Release{.account = "x"});
    CHECK(recorder.flush());
}

TEST_CASE("a recorder's queue is bounded") {
    Recorder recorder(std::nullopt, nullptr, {.max_events = 10, .max_octets = 1U << 20U});
    FanOut stream(1, {}, &recorder);
    for (int i = 0; i < 100'000; ++i) stream.emit(Release{.account = "x"});
    CHECK(recorder.dropped() > 0);
    Recorder small(std::nullopt, nullptr, {.max_events = 10'000, .max_octets = 10'000});
    FanOut other(1, {}, &small);
    Message big;
    big.rcpts.assign(1'000, "somebody@example.org");
    other.emit(big);
    CHECK(small.dropped() == 1);
}

TEST_CASE("the log has lines of its level and louder") {
    const Folder folder;
    const auto path = folder / "log";
    {
        auto log =
            LineWriter::open({.target = {LogTarget::Kind::file, path}, .level = Level::warning});
        REQUIRE(log.has_value());
        Recorder recorder(std::nullopt, log->get());
        FanOut stream(1, {}, &recorder);
        stream.log(Level::debug, "test", "debug");
        stream.log(Level::info, "test", "info");
        stream.log(Level::warning, "test", "warning");
        stream.log(Level::error, "test", "error");
        REQUIRE(recorder.flush());
        (*log)->set_level(Level::debug);
        stream.log(Level::debug, "test", "debug again");
        stream.log(Level::info, "test", "line\nbreak");
        recorder.stop();
    }
    const auto lines = lines_of(path);
    REQUIRE(lines.size() == 4);
    CHECK(lines[0]["text"] == "warning");
    CHECK(lines[0]["event"] == "log");
    CHECK(lines[0]["level"] == "warning");
    CHECK(lines[0]["area"] == "test");
    CHECK(lines[2]["text"] == "debug again");
    CHECK(lines[3]["text"] == "line\nbreak");
}

TEST_CASE("a stuck target costs lines and nobody's time") {
    Pipe pipe;
    auto log = LineWriter::open(
        {.target = {}, .level = Level::debug, .max_queued = 100'000, .stdout_fd = pipe.ends[1]});
    REQUIRE(log.has_value());
    const std::string line(999, 'x');
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 5'000; ++i) (*log)->submit(Level::info, line + "\n", 1);
    CHECK(std::chrono::steady_clock::now() - began < 2s);
    CHECK((*log)->dropped() > 4'000);
    (*log)->stop(100ms);
    CHECK(std::chrono::steady_clock::now() - began < 5s);
    // What nobody will ever read is counted as well: 64 KiB fit into the pipe.
    CHECK((*log)->dropped() >= 4'900);
}

TEST_CASE("a log moves off a target that is stuck") {
    const Folder folder;
    Pipe pipe;
    auto log = LineWriter::open({.target = {}, .level = Level::debug, .stdout_fd = pipe.ends[1]});
    REQUIRE(log.has_value());
    const std::string line(999, 'x');
    for (int i = 0; i < 200; ++i) (*log)->submit(Level::info, line + "\n", 1);
    std::this_thread::sleep_for(50ms);
    REQUIRE((*log)->retarget({LogTarget::Kind::file, folder / "log"}).has_value());
    (*log)->submit(Level::warning, "moved\n", 1);
    const auto written = [&] { return read_file(folder / "log").ends_with("moved\n"); };
    for (int i = 0; i < 1'000 && !written(); ++i) std::this_thread::sleep_for(5ms);
    CHECK(written());
    // Each line went somewhere or is counted; 64 KiB fit into the pipe.
    const auto lines = read_file(folder / "log").size() / 1'000;
    CHECK((*log)->dropped() + lines >= 200 - 66);
    CHECK((*log)->dropped() > 0);
    (*log)->stop(100ms);
}

TEST_CASE("a log file that is stuck is left when it is opened anew") {
    const Folder folder;
    const auto path = folder / "log";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
    const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(reader >= 0);
    auto log = LineWriter::open({.target = {LogTarget::Kind::file, path}});
    REQUIRE(log.has_value());
    (*log)->submit(Level::info, std::string(200'000, 'x') + "\n", 1);
    std::this_thread::sleep_for(50ms);
    std::filesystem::rename(path, folder / "log.1");
    (*log)->reopen();
    (*log)->submit(Level::info, "anew\n", 1);
    for (int i = 0; i < 1'000 && read_file(path) != "anew\n"; ++i) std::this_thread::sleep_for(5ms);
    CHECK(read_file(path) == "anew\n");
    CHECK((*log)->dropped() == 1);
    (*log)->stop(100ms);
    ::close(reader);
}

TEST_CASE("a target whose reader has gone costs lines only") {
    Pipe pipe;
    ::signal(SIGPIPE, SIG_IGN);
    auto log = LineWriter::open({.target = {}, .level = Level::debug, .stdout_fd = pipe.ends[1]});
    REQUIRE(log.has_value());
    ::close(pipe.ends[0]);
    (*log)->submit(Level::info, "gone\n", 1);
    (*log)->stop();
    CHECK((*log)->dropped() == 1);
    pipe.ends[0] = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

TEST_CASE("a log file that was rotated is opened anew") {
    const Folder folder;
    const auto path = folder / "log";
    auto log = LineWriter::open({.target = {LogTarget::Kind::file, path}, .level = Level::info});
    REQUIRE(log.has_value());
    (*log)->submit(Level::info, "one\n", 1);
    for (int i = 0; i < 1'000 && read_file(path).empty(); ++i) std::this_thread::sleep_for(2ms);
    std::filesystem::rename(path, folder / "log.1");
    (*log)->reopen();
    (*log)->submit(Level::info, "two\n", 1);
    (*log)->stop();
    CHECK(read_file(folder / "log.1") == "one\n");
    CHECK(read_file(path) == "two\n");
    CHECK_FALSE(LineWriter::open({.target = {LogTarget::Kind::file, folder / "no/such/folder"}})
                    .has_value());
}

TEST_CASE("a log that is opened for another user is that user's, and nothing else is touched") {
    const Folder folder;
    const auto path = folder / "log";
    const LineWriter::Settings settings{.target = {LogTarget::Kind::file, path},
                                        .owner = LineWriter::Owner{65534, 65534}};
    REQUIRE(LineWriter::open(settings).has_value());
    struct stat about{};
    REQUIRE(::stat(path.c_str(), &about) == 0);
    CHECK(about.st_uid == (::geteuid() == 0 ? 65534 : ::geteuid()));

    const auto other = folder / "other";
    std::ofstream(other) << "x";
    std::filesystem::remove(path);
    std::filesystem::create_hard_link(other, path);
    CHECK_FALSE(LineWriter::open(settings).has_value());
    std::filesystem::remove(path);
    std::filesystem::create_symlink(other, path);
    CHECK_FALSE(LineWriter::open(settings).has_value());
    REQUIRE(::stat(other.c_str(), &about) == 0);
    CHECK(about.st_uid == ::geteuid());
}

TEST_CASE("journald gets a datagram a line with its priority") {
    const Folder folder;
    const auto path = folder / "socket";
    const int server = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    auto log =
        LineWriter::open({.target = {LogTarget::Kind::journald, path}, .level = Level::info});
    REQUIRE(log.has_value());
    (*log)->submit(Level::warning, "{\"a\":1}\n{\"b\":2}\n", 2);
    (*log)->stop();
    char buffer[256];
    std::vector<std::string> got;
    for (int i = 0; i < 2; ++i) {
        const auto n = ::recv(server, buffer, sizeof buffer, 0);
        REQUIRE(n > 0);
        got.emplace_back(buffer, static_cast<std::size_t>(n));
    }
    ::close(server);
    CHECK(got[0] == "PRIORITY=4\nSYSLOG_IDENTIFIER=postern\nMESSAGE={\"a\":1}\n");
    CHECK(got[1].find("MESSAGE={\"b\":2}") != std::string::npos);
    CHECK_FALSE(
        LineWriter::open({.target = {LogTarget::Kind::journald, folder / "none"}}).has_value());
}

TEST_CASE("alerts are told once an hour by whoever emits them") {
    const Folder folder;
    auto journal = open_journal(folder);
    Recorder recorder(std::move(journal), nullptr);
    FanOut stream(1, {}, &recorder);
    for (int i = 0; i < 50; ++i)
        stream.emit(AlertRaised{.kind = "spool_failed", .subject = "/spool", .text = "no space"});
    stream.emit(AlertRaised{.kind = "spool_failed", .subject = "/spool", .resolved = true});
    stream.emit(AlertRaised{.kind = "disk_low", .subject = "/spool", .resolved = true});
    recorder.stop();
    const auto lines = lines_of(only_file(folder));
    REQUIRE(lines.size() == 2);
    CHECK(lines[0]["state"] == "firing");
    CHECK(lines[0]["severity"] == "critical");
    CHECK(lines[1]["state"] == "resolved");
    CHECK(lines[1]["count"] == 50);
    CHECK(lines[1]["id"] == lines[0]["id"]);
    CHECK(stream.alerts().firing().empty());
}
