#include "relay/event/journal.hpp"
#include "tests/catch.hpp"
#include "tests/unit/event/folder.hpp"

using namespace postern::relay::event;
using namespace std::chrono_literals;
using postern::test::Folder;

TEST_CASE("a journal of too many octets loses its oldest files, never the one in hand") {
    const Folder folder;
    const std::chrono::system_clock::time_point moment{
        std::chrono::milliseconds(1'772'442'900'120)};
    auto journal = Journal::open(
        {.folder = folder / "events", .keep_free = 0, .max_file = 1000, .max_total = 3500}, moment);
    REQUIRE(journal.has_value());
    const std::string line = std::string(999, 'x') + "\n";
    for (int i = 0; i < 10; ++i) REQUIRE(journal->append(line, moment));
    const auto files = journal_files(folder / "events");
    REQUIRE(files.size() >= 2);
    CHECK(files.size() <= 4);
    CHECK(files.back().number == 10);
    CHECK(files.front().number == 11 - files.size());
}
