#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "relay/spool/file.hpp"
#include "tests/catch.hpp"

using namespace postern::relay;

namespace {

/// A folder that goes with the test, where files are: not in memory, as /tmp may be.
struct Folder {
    Folder() {
        std::string name = "/var/tmp/postern-file-XXXXXX";
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() {
        std::error_code error;
        std::filesystem::remove_all(path, error);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string path;
};

std::string whole(const File& file) {
    std::string out(file.info()->size, '\0');
    const auto got = file.read(0, out);
    REQUIRE(got.has_value());
    CHECK(*got == out.size());
    return out;
}

std::string pattern(std::size_t size, std::size_t first) {
    std::string out(size, '\0');
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>('a' + (first + i * 7) % 26);
    return out;
}

}  // namespace

TEST_CASE("what is written past the page cache and through it reads as one", "[spool]") {
    const Folder folder;
    const auto fs = posix_file_system();
    const std::string path = folder.path + "/x";
    REQUIRE(fs->open(path, FileSystem::Mode::replace).has_value());
    const auto opened = fs->open(path, FileSystem::Mode::direct);
    REQUIRE(opened.has_value());
    File& file = **opened;

    // Blocks in pieces of any size, more of them than are gathered at a time.
    const std::string big = pattern((2U << 20U) + 3 * file_block, 1);
    const std::string_view all(big);
    const std::vector<std::string_view> pieces = {all.substr(0, 5), all.substr(5, 1U << 20U),
                                                  all.substr(5 + (1U << 20U))};
    REQUIRE_FALSE(file.write(0, pieces));
    REQUIRE_FALSE(file.sync_data());
    std::string expected = big;
    CHECK(whole(file) == expected);

    // No whole blocks: the other way, into the middle of what is there.
    const std::string small = pattern(1000, 2);
    const std::string_view one(small);
    REQUIRE_FALSE(file.write(file_block + 7, std::span(&one, 1)));
    expected.replace(file_block + 7, small.size(), small);
    CHECK(whole(file) == expected);

    // And a block over that.
    const std::string block = pattern(file_block, 3);
    const std::string_view over(block);
    REQUIRE_FALSE(file.write(file_block, std::span(&over, 1)));
    expected.replace(file_block, block.size(), block);
    CHECK(whole(file) == expected);

    // Nothing is lost with what only writing needs.
    file.written();
    REQUIRE_FALSE(file.write(0, std::span(&over, 1)));
    expected.replace(0, block.size(), block);
    CHECK(whole(file) == expected);
    REQUIRE_FALSE(file.sync_data());

    const auto again = fs->open(path, FileSystem::Mode::read);
    REQUIRE(again.has_value());
    CHECK(whole(**again) == expected);
}

TEST_CASE("a direct file must be there", "[spool]") {
    const Folder folder;
    const auto fs = posix_file_system();
    CHECK_FALSE(fs->open(folder.path + "/none", FileSystem::Mode::direct).has_value());
}
