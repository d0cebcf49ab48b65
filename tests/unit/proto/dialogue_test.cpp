#include "tests/unit/proto/dialogue.hpp"

#include "tests/catch.hpp"

using namespace postern::tests;

TEST_CASE("dialogues run on the machine however they are cut") {
    int count = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(POSTERN_SOURCE_DIR "/tests/dialogues")) {
        if (entry.path().extension() != ".txt") continue;
        const auto dialogue = read_dialogue(entry.path());
        ++count;
        for (const std::size_t cut : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20U}) {
            INFO(entry.path().filename().string() << ", cut in " << cut);
            const auto wrong = run_dialogue(dialogue, cut);
            CHECK(wrong == "");
        }
    }
    CHECK(count >= 20);
}

TEST_CASE("a pattern's star stands for any octets") {
    CHECK(matches("250 *", "250 ok"));
    CHECK(matches("250 *", "250 "));
    CHECK(matches("*[*]", "550 no [REF]"));
    CHECK_FALSE(matches("250 *", "550 ok"));
    CHECK_FALSE(matches("250 ok", "250 okay"));
}
