#include "proto/reply_reader.hpp"

#include "tests/catch.hpp"

using namespace postern::proto;
using Status = ReplyReader::Status;

namespace {

struct Seen {
    std::vector<Reply> replies;
    Status last = Status::need_more;
    bool operator==(const Seen&) const = default;
};

Seen read_all(std::string_view text, std::size_t cut, ReplyReader::Bounds bounds = {}) {
    ReplyReader reader(bounds);
    Seen seen;
    for (std::size_t i = 0; i < text.size(); i += cut) {
        std::string_view piece = text.substr(i, cut);
        do {
            seen.last = reader.read(piece);
            if (seen.last == Status::done) seen.replies.push_back(reader.reply());
        } while (!piece.empty() && seen.last == Status::done);
    }
    return seen;
}

Reply one(std::string_view text) {
    auto seen = read_all(text, text.size());
    CAPTURE(text);
    REQUIRE(seen.replies.size() == 1);
    return seen.replies[0];
}

Reply reply(int code, std::string enhanced, std::string text) {
    return {.code = code,
            .enhanced = std::move(enhanced),
            .text = std::move(text),
            .close_after = false};
}

}  // namespace

TEST_CASE("replies are read, their lines joined, their codes completed") {
    CHECK(one("250 2.1.0 ok\r\n") == reply(250, "2.1.0", "ok"));
    CHECK(one("250\r\n") == reply(250, "2.0.0", ""));
    CHECK(one("250 \r\n") == reply(250, "2.0.0", ""));
    CHECK(one("550 5.1.1\r\n") == reply(550, "5.1.1", ""));
    CHECK(one("550 no such user\r\n") == reply(550, "5.0.0", "no such user"));
    CHECK(one("450 5.1.1 later\r\n") == reply(450, "4.0.0", "later"));
    CHECK(one("550 4.1.1 no\r\n") == reply(550, "5.0.0", "no"));
    CHECK(one("550 5.1.1234 no\r\n") == reply(550, "5.0.0", "5.1.1234 no"));
    CHECK(one("550 5.1.1x no\r\n") == reply(550, "5.0.0", "5.1.1x no"));
    CHECK(one("354 2.0.0 go\r\n") == reply(354, "", "2.0.0 go"));
    CHECK(one("550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1 three\r\n") ==
          reply(550, "5.7.1", "one two three"));
    CHECK(one("550-one\r\n550-\r\n550 5.7.1 three\r\n") == reply(550, "5.7.1", "one three"));
}

TEST_CASE("replies are cleaned and bounded") {
    CHECK(one("550 a\x01\x7f\x80z\r\n").text == "a???z");
    CHECK(one("550 gr\xc3\xbc\xc3\x9f\r\n").text == "gr\xc3\xbc\xc3\x9f");
    CHECK(one(std::string("550 a\0b\r\n", 9)).text == "a?b");
    const Reply lone = one("550 a\nb\rc\r\n");
    CHECK(lone.text.find_first_of("\r\n") == std::string::npos);
    CHECK(lone.text.size() == 5);
    const Reply longer = one("550 " + std::string(3000, 'x') + "\r\n");
    CHECK(longer.text.size() == foreign_text_limit);
    std::string many;
    for (int i = 0; i < 1000; ++i) many += "550-0123456789\r\n";
    CHECK(one(many + "550 end\r\n").text.size() <= foreign_text_limit);
}

TEST_CASE("what is no reply is told") {
    for (const auto* text :
         {"\r\n", "25\r\n", "2500 ok\r\n", "250_ok\r\n", "250\tok\r\n", "abc def\r\n", "150 x\r\n",
          "650 x\r\n", "000 x\r\n", "250-a\r\n251 b\r\n", "250-a\r\nb\r\n",
          "HTTP/1.1 400 Bad Request\r\n", "-250 ok\r\n"}) {
        CAPTURE(text);
        CHECK(read_all(text, 100).last == Status::bad);
        CHECK(read_all(text, 1).last == Status::bad);
    }
}

TEST_CASE("replies are the same however cut, and pipelined ones come one by one") {
    const std::string text =
        "250-mx\r\n250 SIZE\r\n250 2.1.0 ok\r\n550 5.1.1 a\r\rb\nc\r\n354 go\r\n250-\r\n250 x\r\n";
    const Seen whole = read_all(text, text.size());
    CHECK(whole.replies.size() == 5);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        CAPTURE(cut);
        CHECK(read_all(text, cut) == whole);
    }
}

TEST_CASE("a reply may fill its bound and no more, however cut") {
    for (const std::size_t cut : {1U, 7U, 1000U}) {
        CAPTURE(cut);
        CHECK(read_all("250 " + std::string(14, 'x') + "\r\n", cut, {.reply_octets = 20}).last ==
              Status::done);
        CHECK(read_all("250 " + std::string(15, 'x') + "\r\n", cut, {.reply_octets = 20}).last ==
              Status::too_long);
        CHECK(read_all("250-xxxx\r\n250-xxxx\r\n250 x\r\n", cut, {.reply_octets = 20}).last ==
              Status::too_long);
        CHECK(read_all("250 xxxx\r\n250 xxxx\r\n250 x\r\n", cut, {.reply_octets = 20})
                  .replies.size() == 3);
    }
}

TEST_CASE("half a reply is known as such") {
    ReplyReader reader;
    CHECK_FALSE(reader.partial());
    std::string_view text = "25";
    CHECK(reader.read(text) == Status::need_more);
    CHECK(reader.partial());
    text = "0 ok\r\n";
    CHECK(reader.read(text) == Status::done);
    CHECK_FALSE(reader.partial());
}
