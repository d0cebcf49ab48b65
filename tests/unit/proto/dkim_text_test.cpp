#include "proto/dkim_text.hpp"

#include <algorithm>
#include <string>

#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

class Gathered final : public OctetSink {
  public:
    void take(std::string_view octets) override {
        text += octets;
        largest = std::max(largest, octets.size());
    }
    std::string text;
    std::size_t largest = 0;
};

std::string relaxed(std::string_view body, std::size_t cut) {
    Gathered out;
    RelaxedBody canonical(out);
    while (!body.empty()) {
        canonical.feed(body.substr(0, cut));
        body.remove_prefix(std::min(cut, body.size()));
    }
    canonical.finish();
    return out.text;
}

struct Split {
    std::string header, body;
    bool overlong = false;
};

Split split(std::string_view message, std::size_t cut) {
    Gathered out;
    SigningReader reader(out);
    while (!message.empty()) {
        reader.feed(message.substr(0, cut));
        reader.feed("");
        message.remove_prefix(std::min(cut, message.size()));
    }
    reader.finish();
    return {reader.header(), out.text, reader.overlong()};
}

}  // namespace

TEST_CASE("a body in its relaxed form, however it is cut") {
    struct Row {
        std::string body, canonical;
    };
    const std::string words(5000, 'x');
    const auto row = GENERATE_COPY(
        // RFC 6376 3.4.5, and 3.4.4 for the empty ones.
        Row{" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"}, Row{"", ""}, Row{"\r\n", ""},
        Row{"\r\n\r\n\r\n", ""}, Row{"  \t\r\n \r\n", ""}, Row{" \t ", ""},
        // White space: at ends, in runs, before the end of an unfinished line.
        Row{"a \t b\r\n", "a b\r\n"}, Row{"a\t\r\nb  \r\n", "a\r\nb\r\n"}, Row{"\ta\r\n", " a\r\n"},
        Row{"a \t", "a\r\n"}, Row{"a\r\n \t", "a\r\n"},
        // Lines: empty ones before and between text stay, behind it go; the last CRLF is added.
        Row{"\r\n\r\na\r\n", "\r\n\r\na\r\n"}, Row{"a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"},
        Row{"a\r\n  \r\nb\r\n \r\n", "a\r\n\r\nb\r\n"}, Row{"a", "a\r\n"},
        Row{"a\r\n\r\n\r\n", "a\r\n"}, Row{".\r\n..\r\n", ".\r\n..\r\n"},
        // What ends no line is text: it does not come this far, and must not be lost if it did.
        Row{"a\rb\r\n", "a\rb\r\n"}, Row{"a\nb\r\n", "a\nb\r\n"}, Row{"a\r", "a\r\r\n"},
        Row{"a \r\r\n", "a \r\r\n"}, Row{"a\r \n", "a\r \n\r\n"},
        Row{std::string("a\0 b\r\n", 6), std::string("a\0 b\r\n", 6)},
        Row{"gr\xc3\xbc\xc3\x9f\r\n", "gr\xc3\xbc\xc3\x9f\r\n"},
        Row{words + "  " + words + "\r\n" + words, words + " " + words + "\r\n" + words + "\r\n"});
    const auto cut = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{64},
                              std::size_t{100'000});
    CAPTURE(row.body, cut);
    CHECK(relaxed(row.body, cut) == row.canonical);
    CHECK(relaxed(row.canonical, cut) == row.canonical);
}

TEST_CASE("a body of nothing but line ends keeps no memory, whether text follows or not") {
    std::string ends;
    for (int i = 0; i < 100'000; ++i) ends += "\r\n";
    CHECK(relaxed(ends, 4096).empty());
    Gathered out;
    RelaxedBody canonical(out);
    canonical.feed(ends);
    CHECK(out.text.empty());
    canonical.feed("x");
    canonical.finish();
    CHECK(out.text == ends + "x\r\n");
    CHECK(out.largest <= 4096);
}

TEST_CASE("a message is taken apart at its first empty line, however it is cut") {
    struct Row {
        std::string message, header, body;
    };
    const auto row = GENERATE(
        Row{"From: a\r\nTo: b\r\n\r\nHi \r\n", "From: a\r\nTo: b\r\n", "Hi\r\n"},
        Row{"From: a\r\n\r\n", "From: a\r\n", ""}, Row{"From: a\r\n", "From: a\r\n", ""},
        Row{"From: a", "From: a", ""}, Row{"", "", ""}, Row{"\r\nbody\r\n", "", "body\r\n"},
        Row{"From: a\r\n\r\n\r\nb\r\n", "From: a\r\n", "\r\nb\r\n"},
        // Folded lines of nothing but white space do not end it.
        Row{"Subject: a\r\n \r\n b\r\n\r\nc\r\n", "Subject: a\r\n \r\n b\r\n", "c\r\n"},
        Row{"From: a\r\n\r", "From: a\r\n\r", ""},
        Row{"From: a\r\n\rb\r\n\r\nc\r\n", "From: a\r\n\rb\r\n", "c\r\n"},
        Row{"a\r\n\r\r\n\r\nb\r\n", "a\r\n\r\r\n", "b\r\n"});
    const auto cut = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{1000});
    CAPTURE(row.message, cut);
    const Split got = split(row.message, cut);
    CHECK(got.header == row.header);
    CHECK(got.body == row.body);
    CHECK_FALSE(got.overlong);
}

TEST_CASE("a header section without end is not gathered without end") {
    Gathered out;
    SigningReader reader(out);
    const std::string line = "X: " + std::string(60'000, 'y') + "\r\n";
    for (std::size_t n = 0; n < 2 * SigningReader::header_limit; n += line.size())
        reader.feed(line);
    CHECK(reader.overlong());
    CHECK(reader.header().size() <= SigningReader::header_limit);
    reader.feed("\r\nbody\r\n");
    reader.finish();
    CHECK(reader.overlong());
    CHECK(out.text == "body\r\n");
}
