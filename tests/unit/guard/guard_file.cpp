#include "relay/guard/guard_file.hpp"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/catch.hpp"

using namespace postern;
using namespace std::chrono_literals;
using relay::GuardFile;

namespace {

const std::string attacker = "198.51.100.9";

struct Folder {
    Folder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "postern-guard-XXXXXX").string();
        path = mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    [[nodiscard]] std::string snap() const { return path + "/guard.snap"; }
    [[nodiscard]] std::string read() const {
        std::ifstream in(snap(), std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void write(const std::string& text) const { std::ofstream(snap(), std::ios::binary) << text; }
    std::string path;
};

const GuardFile::Now start{.wall = std::chrono::system_clock::time_point(1'800'000'000s),
                           .steady = policy::SteadyTime(100h)};

void hammer(policy::LoginGuard& guard) {
    for (std::uint64_t n = 0; n < 12; ++n) {
        auto attempt = guard.attempt(attacker, "user" + std::to_string(n), {}, start.steady);
        (void)attempt.failed(n, 0, start.steady);
    }
}

bool refused(policy::LoginGuard& guard, const GuardFile::Now& now) {
    return guard.on_connect(attacker, now.steady).refuse;
}

}  // namespace

TEST_CASE("what the guard knows survives in a file of ours alone") {
    const Folder folder;
    const auto files = relay::posix_file_system();
    GuardFile file(*files, folder.path);
    policy::LoginGuard before;
    CHECK_FALSE(file.load(before, start));  // Nothing is there: nothing to tell.
    hammer(before);
    REQUIRE_FALSE(file.save(before, start));
    struct stat about{};
    REQUIRE(::stat(folder.snap().c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600);
    CHECK_FALSE(std::filesystem::exists(folder.snap() + ".new"));

    const GuardFile::Now later{.wall = start.wall + 30s, .steady = policy::SteadyTime(1h)};
    policy::LoginGuard after;
    CHECK_FALSE(file.load(after, later));
    CHECK(refused(after, later));

    // Long ago, by the wall clock; and in what seems to be the future.
    policy::LoginGuard old;
    CHECK_FALSE(file.load(old, {.wall = start.wall + 24h, .steady = later.steady}));
    CHECK_FALSE(refused(old, later));
    policy::LoginGuard young;
    CHECK_FALSE(file.load(young, {.wall = start.wall - 24h * 3'000, .steady = later.steady}));
    CHECK(refused(young, later));
    CHECK_FALSE(young.on_connect(attacker, later.steady + 1h).refuse);
}

TEST_CASE("what did not change is not written again") {
    const Folder folder;
    const auto files = relay::posix_file_system();
    GuardFile file(*files, folder.path);
    policy::LoginGuard guard;
    REQUIRE_FALSE(file.save(guard, start));
    folder.write("mark");
    REQUIRE_FALSE(file.save(guard, {.wall = start.wall + 1min, .steady = start.steady + 1min}));
    CHECK(folder.read() == "mark");
    hammer(guard);
    REQUIRE_FALSE(file.save(guard, start));
    CHECK(folder.read() != "mark");
}

TEST_CASE("a damaged or foreign file is named, and the guard begins anew") {
    const Folder folder;
    const auto files = relay::posix_file_system();
    GuardFile file(*files, folder.path);
    policy::LoginGuard before;
    hammer(before);
    REQUIRE_FALSE(file.save(before, start));
    const std::string good = folder.read();

    const auto said = [&](const std::string& text) {
        folder.write(text);
        policy::LoginGuard guard;
        const auto problem = file.load(guard, start);
        CHECK_FALSE(refused(guard, start));
        REQUIRE(problem);
        CHECK(problem->starts_with(folder.snap() + ": "));
        return *problem;
    };
    CHECK(said("").contains("cut off"));
    CHECK(said(good.substr(0, good.size() - 1)).contains("cut off"));
    CHECK(said(good + "x").contains("cut off"));
    CHECK(said(std::string(1'000, '{')).contains("no file of the login guard"));
    std::string newer = good;
    newer[8] = 2;
    CHECK(said(newer).contains("version 2"));
    for (std::size_t at = 12; at < good.size(); at += 7) {
        std::string changed = good;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        (void)said(changed);
    }
    std::filesystem::remove(folder.snap());
    std::filesystem::create_directory(folder.snap());
    policy::LoginGuard guard;
    CHECK(file.load(guard, start));
}

TEST_CASE("where it cannot be written that is an error, and the old file stays") {
    const Folder folder;
    const auto files = relay::posix_file_system();
    GuardFile nowhere(*files, folder.path + "/absent");
    policy::LoginGuard guard;
    CHECK(nowhere.save(guard, start));
    GuardFile file(*files, folder.path);
    folder.write("old");
    std::filesystem::create_directory(folder.snap() + ".new");
    CHECK(file.save(guard, start));
    CHECK(folder.read() == "old");
}
