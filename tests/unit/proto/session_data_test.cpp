// DATA and BDAT through the whole machine: nothing that looks like an end is one, and the session
// stays in step.

#include <string>

#include "tests/catch.hpp"
#include "tests/session_driver.hpp"

using namespace postern::proto;
using postern::tests::SessionDriver;

namespace {

constexpr std::size_t cuts[] = {1, 7, 1U << 20U};
const std::string envelope = "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\n";

std::string last_line(const std::string& said) {
    const std::size_t start =
        said.size() < 2 ? std::string::npos : said.rfind("\r\n", said.size() - 3);
    return start == std::string::npos ? said : said.substr(start + 2);
}

std::string after_data(std::string_view body, std::size_t cut, SessionDriver& driver) {
    driver.feed(envelope + "DATA\r\n", 4096);
    driver.said.clear();
    driver.feed(std::string(body) + "NOOP\r\n", cut);
    return driver.said;
}

}  // namespace

TEST_CASE(
    "eleven smuggled ends and their kin: 554 at the true end, and what lies between is no "
    "command") {
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
        std::string("\n\0.\n", 4),
    };
    for (const std::string& ending : endings) {
        for (const std::size_t cut : cuts) {
            auto driver = SessionDriver::logged_in();
            const std::string said = after_data(
                "From: ann@example.net\r\n\r\nx" + ending +
                    "MAIL FROM:<eve@example.net>\r\nRCPT TO:<v@example.org>\r\nDATA\r\n\r\n.\r\n",
                cut, driver);
            CHECK(said == "554 5.6.0 lone CR, lone LF or NUL in the message [" +
                              std::string(SessionDriver::ref) + "]\r\n250 2.0.0 ok\r\n");
            CHECK(driver.messages.empty());
            CHECK(std::ranges::count(driver.events, "ask data") == 0);
            CHECK(std::ranges::count(driver.events, "discard") == 1);
        }
    }
}

TEST_CASE("a message without octets is one") {
    for (const std::size_t cut : cuts) {
        auto driver = SessionDriver::logged_in();
        CHECK(after_data(".\r\n", cut, driver) == "250 2.0.0 ok\r\n250 2.0.0 ok\r\n");
        CHECK(driver.messages == std::vector<std::string>{""});
    }
}

TEST_CASE("a message over the limit is read to its end and refused") {
    for (const std::size_t cut : cuts) {
        auto driver = SessionDriver::logged_in();
        driver.session.offer({.max_size = 20});
        const std::string said = after_data("0123456789\r\n0123456789\r\n.\r\n", cut, driver);
        CHECK(said.starts_with("552 5.3.4 "));
        CHECK(said.ends_with("250 2.0.0 ok\r\n"));
        CHECK(driver.message.size() <= 20);
        // Dots that are stuffing are not counted.
        auto exact = SessionDriver::logged_in();
        exact.session.offer({.max_size = 20});
        CHECK(after_data("..23456789\r\n0123456\r\n.\r\n", cut, exact)
                  .starts_with("250 2.0.0 ok\r\n"));
    }
}

TEST_CASE("a line over 64 KiB is refused at the end, one of 998 and more passes") {
    auto driver = SessionDriver::logged_in();
    CHECK(after_data(std::string(65535, 'x') + "\r\n.\r\n", 4096, driver)
              .starts_with("554 5.6.0 line too long"));
    auto passes = SessionDriver::logged_in();
    CHECK(
        after_data(std::string(5000, 'x') + "\r\n.\r\n", 4096, passes).starts_with("250 2.0.0 ok"));
    CHECK(passes.messages.front().size() == 5002);
}

TEST_CASE("a large block is handed out as one piece") {
    auto driver = SessionDriver::logged_in();
    driver.feed(envelope + "DATA\r\n", 4096);
    std::string block;
    while (block.size() < 64000) block += "some text on a line\r\n";
    driver.feed(block, block.size());
    CHECK(driver.chunks == 1);
}

TEST_CASE("BDAT counts octets and leaves dots alone") {
    for (const std::size_t cut : cuts) {
        auto driver = SessionDriver::logged_in();
        driver.feed(envelope + "BDAT 6\r\na\r\n.\r\nBDAT 0\r\nBDAT 7 LAST\r\n..b\r\nc\rNOOP\r\n",
                    cut);
        CHECK(last_line(driver.said) == "250 2.0.0 ok\r\n");
        CHECK(driver.said.find("554 5.6.0 ") != std::string::npos);  // the lone CR at the very end
        auto good = SessionDriver::logged_in();
        good.feed(envelope + "BDAT 6\r\na\r\n.\r\nBDAT 0\r\nbdat 6 last\r\n..b\r\ncNOOP\r\n", cut);
        CHECK(good.messages == std::vector<std::string>{"a\r\n.\r\n..b\r\nc\r\n"});
        CHECK(last_line(good.said) == "250 2.0.0 ok\r\n");
    }
}

TEST_CASE("BDAT judges newlines across chunks") {
    for (const std::size_t cut : cuts) {
        auto split = SessionDriver::logged_in();
        split.feed(envelope + "BDAT 2\r\na\rBDAT 2 LAST\r\n\nb", cut);
        CHECK(split.messages == std::vector<std::string>{"a\r\nb\r\n"});
        auto lone = SessionDriver::logged_in();
        lone.feed(envelope + "BDAT 2\r\na\rBDAT 2 LAST\r\nxbNOOP\r\n", cut);
        CHECK(lone.messages.empty());
        CHECK(lone.said.find("554 5.6.0 ") != std::string::npos);
        CHECK(last_line(lone.said) == "250 2.0.0 ok\r\n");
        // Once refused, later chunks are swallowed.
        auto early = SessionDriver::logged_in();
        early.feed(envelope + "BDAT 3\r\na\nbBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", cut);
        CHECK(early.open);
        CHECK(early.said.find("503 5.5.1 ") > early.said.find("554 5.6.0 "));
        CHECK(std::ranges::count(early.events, "discard") == 1);
    }
}

TEST_CASE("a refused BDAT's octets are never commands") {
    struct Row {
        std::string octets;
        std::string wanted;  ///< What the reply begins with.
        bool open;
    };
    const Row rows[] = {
        {"BDAT 6\r\nQUIT\r\nNOOP\r\n", "503 5.5.1", true},
        {"MAIL FROM:<ann@example.net>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "503 5.5.1", true},
        {envelope + "BDAT 30\r\n012345678901234567890123QUIT\r\nNOOP\r\n", "552 5.3.4", true},
        {envelope + "BDAT 15\r\n0123456789012\r\nBDAT 15 LAST\r\n0123456789012\r\nNOOP\r\n",
         "552 5.3.4", true},
        {envelope + "BDAT 99999999999\r\nQUIT\r\n", "552 5.3.4", false},
        {envelope + "BDAT 99999999999999999999999\r\nQUIT\r\n", "501 5.5.4", false},
        {envelope + "BDAT -1\r\nQUIT\r\n", "501 5.5.4", false},
        {envelope + "BDAT\r\nQUIT\r\n", "501 5.5.4", false},
        {envelope + "BDAT 10 FIRST\r\nQUIT\r\n", "501 5.5.4", false},
        {envelope + "BDAT 10LAST\r\nQUIT\r\n", "501 5.5.4", false},
        {envelope + "BDAT 10 \nQUIT\r\n", "501 5.5.4", false},
        {"BDAT 99999999999\r\nQUIT\r\n", "503 5.5.1", false},
    };
    for (const Row& row : rows) {
        for (const std::size_t cut : cuts) {
            INFO(row.octets << " cut in " << cut);
            auto driver = SessionDriver::logged_in();
            driver.session.offer({.max_size = 20});
            driver.feed(row.octets, cut);
            CHECK(("\r\n" + driver.said).find("\r\n" + row.wanted) != std::string::npos);
            CHECK(driver.open == row.open);
            CHECK(driver.said.find("221") == std::string::npos);
            if (row.open) CHECK(last_line(driver.said) == "250 2.0.0 ok\r\n");
            CHECK(driver.messages.empty());
        }
    }
    SessionDriver stranger(SessionDriver::implicit_tls());
    stranger.run();
    stranger.start_tls();
    stranger.feed("EHLO x\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n", 3);
    CHECK(stranger.open);
    stranger.feed("BDAT 2000000\r\n", 3);
    CHECK_FALSE(stranger.open);
}

TEST_CASE("BDAT and DATA do not mix") {
    auto driver = SessionDriver::logged_in();
    driver.feed(
        envelope + "BDAT 3\r\na\r\nDATA\r\nRCPT TO:<carol@example.org>\r\nBDAT 3 LAST\r\nb\r\n", 5);
    CHECK(driver.messages == std::vector<std::string>{"a\r\nb\r\n"});
    CHECK(driver.said.find("354") == std::string::npos);
}

TEST_CASE("normalize never hands out a lone LF") {
    auto settings = SessionDriver::implicit_tls();
    settings.normalize_newlines = true;
    for (const std::size_t cut : cuts) {
        auto driver = SessionDriver::logged_in(settings);
        CHECK(after_data("a\n.\nb\n\n.\r\nc\r\n.\r\n", cut, driver).starts_with("250 2.0.0 ok"));
        CHECK(driver.messages == std::vector<std::string>{"a\r\n.\r\nb\r\n\r\n.\r\nc\r\n"});
        driver.feed(envelope + "BDAT 4 LAST\r\na\nb\n", cut);
        CHECK(driver.messages.back() == "a\r\nb\r\n");
    }
}
