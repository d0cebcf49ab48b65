// The line reader and the body reader: the same however cut.

#include <random>
#include <string>
#include <vector>

#include "proto/body_reader.hpp"
#include "proto/line_reader.hpp"
#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

const std::size_t cuts[] = {1, 2, 7, 63, 64, 65, 1U << 20U};

std::string lines_of(std::string_view octets, std::size_t cut, LineLimits limits = {}) {
    LineReader reader(limits);
    std::string out;
    while (!octets.empty()) {
        const std::string piece(octets.substr(0, cut));
        octets.remove_prefix(piece.size());
        std::string_view input = piece;
        while (true) {
            const auto read = reader.read(input, LineReader::Mode::command);
            if (read.kind == LineReader::Kind::more) break;
            switch (read.kind) {
                case LineReader::Kind::line:
                    out += "line(" + std::string(read.line) + ")";
                    break;
                case LineReader::Kind::bad_octets:
                    out += "bad(" + std::string(read.line) + ")";
                    break;
                case LineReader::Kind::too_long:
                    out += "long()";
                    break;
                case LineReader::Kind::auth_too_long:
                    out += "auth-long()";
                    break;
                case LineReader::Kind::endless:
                    return out + "endless(" + std::to_string(octets.size() + input.size()) + ")";
                case LineReader::Kind::more:
                    break;
            }
        }
        CHECK(input.empty());
    }
    return out;
}

struct Body {
    std::string octets;
    std::string end;  ///< "end", "more", and the fault
    std::string rest;
    std::size_t pieces = 0;
};

const char* name(BodyReader::Fault fault) {
    switch (fault) {
        case BodyReader::Fault::none:
            return "";
        case BodyReader::Fault::octets:
            return " octets";
        case BodyReader::Fault::long_line:
            return " line";
        case BodyReader::Fault::size:
            return " size";
    }
    return "?";
}

Body body_of(std::string_view octets, std::size_t cut, BodyLimits limits = {}) {
    BodyReader reader(BodyReader::Framing::dots, limits);
    Body out;
    while (!octets.empty()) {
        const std::string piece(octets.substr(0, cut));
        octets.remove_prefix(piece.size());
        std::string_view input = piece;
        while (true) {
            const auto read = reader.read(input);
            if (read.kind == BodyReader::Kind::more) break;
            if (read.kind == BodyReader::Kind::end) {
                out.end = std::string("end") + name(reader.fault());
                out.rest = std::string(input) + std::string(octets);
                return out;
            }
            out.octets += read.bytes;
            ++out.pieces;
        }
    }
    out.end = std::string("more") + name(reader.fault());
    return out;
}

}  // namespace

TEST_CASE("lines end in CRLF alone") {
    struct Row {
        std::string octets;
        std::string wanted;
    };
    const Row rows[] = {
        {"NOOP\r\nQUIT\r\n", "line(NOOP)line(QUIT)"},
        {"\r\n\r\n", "line()line()"},
        {"NOOP\nQUIT\r\nRSET\r\n", "bad(NOOP)line(RSET)"},
        {"NOOP\rQUIT\r\nRSET\r\n", "bad(NOOP)line(RSET)"},
        {"NOOP\r\r\nRSET\r\n", "bad(NOOP)line(RSET)"},
        {std::string("NO\0OP\nX\r\nRSET\r\n", 15), "bad(NO)line(RSET)"},
        {"\nNOOP\r\nRSET\r\n", "bad()line(RSET)"},
        {"\rNOOP\r\nRSET\r\n", "bad()line(RSET)"},
        {"NOOP\n", "bad(NOOP)"},
        {"NOOP", ""},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.octets << " cut in " << cut);
            CHECK(lines_of(row.octets, cut) == row.wanted);
        }
    }
}

TEST_CASE("a line without end is passed over only so far") {
    const LineLimits limits{.command = 20, .auth = 40, .passed_over = 50};
    const std::string x(100, 'x');
    for (const std::size_t cut : cuts) {
        // Behind the 20 of a command 50 are passed over.
        CHECK(lines_of(x.substr(0, 70), cut, limits) == "endless(0)");
        CHECK(lines_of(x, cut, limits) == "endless(30)");
        CHECK(lines_of(x.substr(0, 68) + "\r\nRSET\r\n", cut, limits) == "long()line(RSET)");
        CHECK(lines_of(x.substr(0, 69) + "\r\nRSET\r\n", cut, limits) == "endless(7)");
        CHECK(lines_of("AUTH" + x, cut, limits) == "endless(34)");
        CHECK(lines_of("AUTH " + x, cut, limits) == "endless(15)");
        CHECK(lines_of("ab\n" + x, cut, limits) == "bad(ab)endless(51)");
        CHECK(lines_of("ab\n" + x.substr(0, 40) + "\r\nNOOP\r\n", cut, limits) ==
              "bad(ab)line(NOOP)");
    }
}

TEST_CASE("overlong lines are passed over to their end and take no memory") {
    const LineLimits limits{.command = 20, .auth = 40};
    for (const std::size_t cut : cuts) {
        INFO("cut in " << cut);
        CHECK(lines_of(std::string(18, 'x') + "\r\nRSET\r\n", cut, limits) ==
              "line(" + std::string(18, 'x') + ")line(RSET)");
        CHECK(lines_of(std::string(19, 'x') + "\r\nRSET\r\n", cut, limits) == "long()line(RSET)");
        CHECK(lines_of(std::string(70000, 'x') + "\r\nRSET\r\n", cut, limits) ==
              "long()line(RSET)");
        CHECK(lines_of(std::string(30, 'x') + "\nQUIT\rQUIT\r\nRSET\r\n", cut, limits) ==
              "long()line(RSET)");
        CHECK(lines_of("auth " + std::string(33, 'x') + "\r\nRSET\r\n", cut, limits) ==
              "line(auth " + std::string(33, 'x') + ")line(RSET)");
        CHECK(lines_of("AUTH " + std::string(34, 'x') + "\r\nRSET\r\n", cut, limits) ==
              "auth-long()line(RSET)");
        CHECK(lines_of(std::string(18, 'x') + "\ny\r\nRSET\r\n", cut, limits) ==
              "bad(" + std::string(18, 'x') + ")line(RSET)");
    }
}

TEST_CASE("a body ends at CRLF.CRLF and loses its stuffing") {
    struct Row {
        std::string octets;
        std::string body;
    };
    const Row rows[] = {
        {".\r\n", ""},
        {"a\r\n.\r\n", "a\r\n"},
        {"..\r\n.\r\n", ".\r\n"},
        {"...\r\n.x\r\n.\r\n", "..\r\nx\r\n"},
        {"a\r\n..b\r\n..\r\nc.\r\n.\r\n", "a\r\n.b\r\n.\r\nc.\r\n"},
        {"\r\n\r\n.\r\n", "\r\n\r\n"},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.octets << " cut in " << cut);
            const Body got = body_of(row.octets + "QUIT\r\n", cut);
            CHECK(got.octets == row.body);
            CHECK(got.end == "end");
            CHECK(got.rest == "QUIT\r\n");
        }
    }
}

TEST_CASE("smuggled ends of data are none, and spoil the message at its true end") {
    const std::string endings[] = {
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\n.\r",
        "\r.\n",
        "\r\r\n.\r",
        "\r\n.\r\r\n",
        "\r\r\n.\r\r\n",
        std::string("\r\n\0.\r\n", 6),
        std::string("\r\n.\0\r\n", 6),
        std::string("\r\n.\r\0\n", 6),
        std::string("\r\0\n.\r\n", 6),
        std::string("\0.\0", 3),
    };
    for (const std::string& ending : endings) {
        for (const std::size_t cut : cuts) {
            INFO(Catch::StringMaker<std::string>::convert(ending) << " cut in " << cut);
            const Body got = body_of("text" + ending + "MAIL FROM:<eve@x>\r\n.\r\nQUIT\r\n", cut);
            CHECK(got.end == "end octets");
            CHECK(got.rest == "QUIT\r\n");
        }
    }
    // Two CRs before: the octets CRLF.CRLF are there, so it is the true end, of a spoilt message.
    for (const std::size_t cut : cuts) {
        const Body got = body_of("text\r\r\n.\r\nQUIT\r\n", cut);
        CHECK(got.end == "end octets");
        CHECK(got.rest == "QUIT\r\n");
    }
}

TEST_CASE("normalize makes lone LFs line ends in text, and never an end of data") {
    struct Row {
        std::string octets;
        std::string body;
    };
    const Row rows[] = {
        {"a\nb\n\r\n.\r\n", "a\r\nb\r\n\r\n"},       {"a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
        {"a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},   {"a\r\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n"},
        {"a\n..b\n.c\r\n.\r\n", "a\r\n.b\r\nc\r\n"}, {"\n.\r\n.\r\n", "\r\n.\r\n"},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.octets << " cut in " << cut);
            const Body got = body_of(row.octets + "QUIT\r\n", cut, {.normalize_newlines = true});
            CHECK(got.octets == row.body);
            CHECK(got.end == "end");
            CHECK(got.rest == "QUIT\r\n");
        }
    }
    for (const std::string& bad : {std::string("a\rb\r\n.\r\n"), std::string("a\0\r\n.\r\n", 8),
                                   std::string("\r\n.\r\r\n\r\n.\r\n")}) {
        for (const std::size_t cut : cuts)
            CHECK(body_of(bad, cut, {.normalize_newlines = true}).end == "end octets");
    }
}

TEST_CASE("size and line length are bounded, and what comes first counts") {
    const BodyLimits limits{.max_size = 100, .max_line = 64};
    const std::string line62 = std::string(62, 'x') + "\r\n";
    struct Row {
        std::string octets;
        std::string end;
    };
    const Row rows[] = {
        {line62 + std::string(34, 'y') + "\r\n.\r\n", "end"},
        {line62 + std::string(35, 'y') + "\r\n.\r\n", "end size"},
        {line62 + line62 + ".\r\n", "end size"},
        {"x" + line62 + ".\r\n", "end line"},
        {std::string(300, 'x') + "\r\n.\r\n", "end line"},
        {line62 + std::string(50, 'y') + "\n\r\n.\r\n", "end size"},
        {line62 + "\n" + std::string(50, 'y') + "\r\n.\r\n", "end octets"},
        {line62 + "..\r\n." + std::string(30, 'y') + "\r\n.\r\n", "end"},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.octets << " cut in " << cut);
            const Body got = body_of(row.octets, cut, limits);
            CHECK(got.end == row.end);
            CHECK(got.octets.size() <= 100);
        }
    }
    for (const std::size_t cut : {std::size_t{4096}, std::size_t{1} << 20U}) {
        CHECK(body_of(std::string(65534, 'x') + "\r\n.\r\n", cut).end == "end");
        CHECK(body_of(std::string(65535, 'x') + "\r\n.\r\n", cut).end == "end line");
    }
}

TEST_CASE("a block without dots at a line's start is one piece") {
    std::string block;
    while (block.size() < 65536) block += "a line of text. with dots... in it\r\n";
    const Body got = body_of(block + ".\r\n", 1U << 20U);
    CHECK(got.pieces == 1);
    CHECK(got.octets == block);
}

TEST_CASE("any octets read the same however they are cut, and as a plain reader reads them") {
    std::mt19937 random(20240229);
    const std::string_view alphabet("\r\n.ax\0\r\n\r\n..", 13);
    for (int round = 0; round < 4000; ++round) {
        std::string octets;
        const std::size_t length = random() % 200;
        for (std::size_t i = 0; i < length; ++i) octets += alphabet[random() % alphabet.size()];
        for (const bool normalize : {false, true}) {
            const BodyLimits limits{.max_size = random() % 2 == 0 ? 0U : 50U,
                                    .max_line = 64,
                                    .normalize_newlines = normalize};
            const Body whole = body_of(octets, 1U << 20U, limits);
            for (const std::size_t cut : {1U, 3U, 7U, 64U}) {
                const Body got = body_of(octets, cut, limits);
                REQUIRE(got.end == whole.end);
                REQUIRE(got.rest == whole.rest);
                if (whole.end == "end" || whole.end == "more") REQUIRE(got.octets == whole.octets);
            }
        }
        // The plain reader: the first CRLF.CRLF in what came, DATA's own CRLF before it.
        const std::string all = "\r\n" + octets;
        const std::size_t end = all.find("\r\n.\r\n");
        const Body strict = body_of(octets, 1U << 20U);
        REQUIRE(strict.end.starts_with("end") == (end != std::string::npos));
        if (end != std::string::npos) REQUIRE(strict.rest == all.substr(end + 5));
    }
}

TEST_CASE("a counted body keeps its dots and ends in CRLF") {
    const auto counted = [](std::string_view octets, std::size_t cut) {
        BodyReader reader(BodyReader::Framing::counted, {});
        std::string out;
        while (!octets.empty()) {
            const std::string piece(octets.substr(0, cut));
            octets.remove_prefix(piece.size());
            std::string_view input = piece;
            for (auto read = reader.read(input); read.kind != BodyReader::Kind::more;
                 read = reader.read(input))
                out += read.bytes;
        }
        out += reader.finish();
        CHECK(reader.finish().empty());
        return reader.fault() == BodyReader::Fault::none ? out : std::string(name(reader.fault()));
    };
    for (const std::size_t cut : cuts) {
        CHECK(counted(".\r\n..\r\na\r\n.\r\nb\r\n", cut) == ".\r\n..\r\na\r\n.\r\nb\r\n");
        CHECK(counted("a", cut) == "a\r\n");
        CHECK(counted("", cut).empty());
        CHECK(counted("a\r\n", cut) == "a\r\n");
        CHECK(counted("a\r", cut) == " octets");
        CHECK(counted("a\nb", cut) == " octets");
    }
}
