#include "proto/stuffing.hpp"

#include <string>

#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

std::string join(const std::vector<std::string_view>& views) {
    std::string out;
    for (const auto view : views) out += view;
    return out;
}

std::string stuffed(std::string_view text, std::size_t cut) {
    DotStuffer stuffer;
    std::vector<std::string_view> out;
    for (std::size_t i = 0; i < text.size(); i += cut) stuffer.add(text.substr(i, cut), out);
    stuffer.end_data(out);
    return join(out);
}

}  // namespace

TEST_CASE("dots at the start of lines are doubled however the text is cut") {
    struct Row {
        std::string text;
        std::string wire;
    };
    const std::string filler(200, 'x');
    const auto row = GENERATE_COPY(
        Row{"", ".\r\n"}, Row{"a\r\n", "a\r\n.\r\n"}, Row{"a", "a\r\n.\r\n"},
        Row{".\r\n", "..\r\n.\r\n"}, Row{".", "..\r\n.\r\n"}, Row{"..\r\n", "...\r\n.\r\n"},
        Row{"a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"}, Row{"a.b\r\n", "a.b\r\n.\r\n"},
        Row{"\r\n\r\n.\r\n", "\r\n\r\n..\r\n.\r\n"}, Row{"a\r", "a\r\r\n.\r\n"},
        Row{"a\n", "a\n\r\n.\r\n"}, Row{"a\n.\n", "a\n..\n\r\n.\r\n"},
        Row{filler + "\r\n.x" + filler + "\r\n." + filler + "\r\n",
            filler + "\r\n..x" + filler + "\r\n.." + filler + "\r\n.\r\n"});
    const auto cut = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64},
                              std::size_t{100000});
    CAPTURE(row.text, cut);
    CHECK(stuffed(row.text, cut) == row.wire);
}

TEST_CASE("a dot is found at every place around the block size") {
    for (std::size_t at = 0; at < 300; ++at) {
        std::string text(300, 'x');
        text.insert(at, "\r\n.");
        std::string wire(300, 'x');
        wire.insert(at, "\r\n..");
        CAPTURE(at);
        CHECK(stuffed(text, text.size()) == wire + "\r\n.\r\n");
    }
}

TEST_CASE("a piece without stuffing passes as one view into itself") {
    const std::string text = "one\r\ntwo . three\r\n";
    DotStuffer stuffer;
    std::vector<std::string_view> out;
    stuffer.add(text, out);
    REQUIRE(out.size() == 1);
    CHECK(out[0].data() == text.data());
    CHECK(out[0].size() == text.size());
    stuffer.end_text(out);
    CHECK(out.size() == 1);
}

TEST_CASE("empty pieces change nothing") {
    DotStuffer stuffer;
    std::vector<std::string_view> out;
    stuffer.add("a\r", out);
    stuffer.add("", out);
    stuffer.add("\n", out);
    stuffer.add("", out);
    stuffer.add(".", out);
    stuffer.end_data(out);
    CHECK(join(out) == "a\r\n..\r\n.\r\n");
}
