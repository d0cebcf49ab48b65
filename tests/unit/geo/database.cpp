// Files that are no database of addresses. What good ones tell is shown on the whole relay, with
// files that the tests' own writer makes (tests/wire/test_login_alerts.py).
#include "relay/geo/database.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/catch.hpp"

using namespace postern::relay;

namespace {

struct Scratch {
    std::filesystem::path path;
    Scratch() {
        std::string name = (std::filesystem::temp_directory_path() / "postern-geo-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Scratch() {
        std::error_code error;
        std::filesystem::remove_all(path, error);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    [[nodiscard]] std::string file(const std::string& octets) const {
        const auto name = path / "a.mmdb";
        std::ofstream(name, std::ios::binary | std::ios::trunc) << octets;
        return name.string();
    }
};

std::string fault(const std::string& file) {
    const auto opened = geo::Database::open({file});
    return opened ? "" : opened.error().text;
}

}  // namespace

TEST_CASE("no file tells of nothing") {
    const auto empty = geo::Database::open({});
    REQUIRE(empty.has_value());
    CHECK((*empty)->find("192.0.2.7") == postern::policy::Place{});
    CHECK((*empty)->find("no address") == postern::policy::Place{});
}

TEST_CASE("what is no database is named with what is wrong") {
    const Scratch scratch;
    CHECK(fault((scratch.path / "none.mmdb").string()).starts_with("cannot be read: "));
    CHECK(fault(scratch.path.string()) == "is no file");
    CHECK(fault("/dev/null") == "is no file");
    const auto fifo = scratch.path / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(fault(fifo.string()) == "is no file");
    const std::string marker = "\xab\xcd\xefMaxMind.com";
    for (const std::string& octets :
         {std::string(), std::string("hello"), std::string(100'000, '\0'), marker,
          std::string(64, 'x') + marker, marker + std::string(1, '\xe0'),
          marker + std::string(4096, '\xff')})
        CHECK(fault(scratch.file(octets)).starts_with("is no database in MaxMind's format: "));
    const auto named = geo::Database::open({scratch.file("x")});
    REQUIRE_FALSE(named.has_value());
    CHECK(named.error().file.ends_with("a.mmdb"));
}
