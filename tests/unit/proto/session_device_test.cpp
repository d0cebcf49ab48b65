// A listener for devices: nobody logs in, and nobody sends who is not known.

#include "proto/session.hpp"

#include "tests/catch.hpp"
#include "tests/session_driver.hpp"

using namespace postern::proto;
using postern::tests::SessionDriver;

namespace {

constexpr std::string_view mail =
    "MAIL FROM:<ann@example.net>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nFrom: "
    "ann@example.net\r\n\r\nhello\r\n.\r\n";

SessionSettings for_devices(bool implicit_tls = false) {
    auto settings = SessionDriver::defaults();
    settings.devices = true;
    settings.implicit_tls = implicit_tls;
    return settings;
}

SessionDriver greeted(bool known) {
    SessionDriver driver(for_devices());
    driver.identifies = known;
    driver.feed("EHLO printer\r\n", 4096);
    driver.said.clear();
    return driver;
}

std::string codes(const std::string& said) {
    std::string out;
    for (std::size_t at = 0; at < said.size(); at = said.find("\r\n", at) + 2) {
        if (said[at + 3] == '-') continue;
        out += (out.empty() ? "" : " ") + said.substr(at, 3);
    }
    return out;
}

}  // namespace

TEST_CASE("devices: EHLO offers STARTTLS and no AUTH, before and after TLS") {
    SessionDriver driver(for_devices());
    driver.feed("EHLO printer\r\n", 4096);
    CHECK(driver.said.contains("STARTTLS\r\n"));
    CHECK_FALSE(driver.said.contains("AUTH"));
    driver.said.clear();
    driver.feed("STARTTLS\r\n", 4096);
    REQUIRE(driver.tls_wanted);
    driver.start_tls();
    driver.said.clear();
    driver.feed("EHLO printer\r\n", 4096);
    CHECK_FALSE(driver.said.contains("STARTTLS"));
    CHECK_FALSE(driver.said.contains("AUTH"));
    CHECK(driver.said.contains("LIMITS RCPTMAX="));
}

TEST_CASE("devices: AUTH is not offered, with TLS or without") {
    for (const bool implicit : {false, true}) {
        SessionDriver driver(for_devices(implicit));
        driver.run();
        if (implicit) driver.start_tls();
        driver.feed("EHLO printer\r\n", 4096);
        driver.said.clear();
        driver.feed("AUTH PLAIN AGFubkBleGFtcGxlLm5ldABjb3JyZWN0IGhvcnNl\r\n", 4096);
        CHECK(driver.said == "502 5.5.1 command not offered\r\n");
        CHECK(driver.events ==
              (implicit ? std::vector<std::string>{"handshake"} : std::vector<std::string>{}));
    }
}

TEST_CASE("devices: one that is known sends, in clear and by TLS") {
    for (const std::size_t cut : {std::size_t{1}, std::size_t{7}, std::size_t{4096}}) {
        auto driver = greeted(true);
        driver.feed(mail, cut);
        driver.feed(mail, cut);
        CHECK(codes(driver.said) == "250 250 354 250 250 250 354 250");
        CHECK(driver.messages.size() == 2);
    }
}

TEST_CASE("devices: one that is not known sends nothing, whatever the caller answers") {
    auto driver = greeted(false);  // The caller says yes to all.
    driver.feed(mail, 4096);
    CHECK(driver.messages.empty());
    CHECK(driver.said.starts_with("530 5.7.0 "));
    CHECK(codes(driver.said).starts_with("530 503 503"));
    CHECK_FALSE(driver.session.authenticated());
}

TEST_CASE("devices: commands out of order are that, before MAIL as well") {
    auto driver = greeted(true);
    driver.feed("RCPT TO:<bob@example.org>\r\nDATA\r\nBDAT 3 LAST\r\nabcVRFY bob\r\n", 4096);
    CHECK(codes(driver.said) == "503 503 503 252");
    CHECK(driver.events.empty());
}

TEST_CASE("devices: a stranger asks twenty times at most") {
    auto driver = greeted(false);
    for (int i = 0; i < 19; ++i) {
        driver.answers["mail"].push_back(
            Reply{.code = 530, .enhanced = "5.7.0", .text = "not you"});
        driver.feed("MAIL FROM:<ann@example.net>\r\n", 4096);
        REQUIRE(driver.open);
    }
    driver.answers["mail"].push_back(Reply{.code = 530, .enhanced = "5.7.0", .text = "not you"});
    driver.said.clear();
    driver.feed("MAIL FROM:<ann@example.net>\r\n", 4096);
    CHECK(codes(driver.said) == "421");
    CHECK_FALSE(driver.open);
}

TEST_CASE("devices: after STARTTLS it is asked anew who it is") {
    auto driver = greeted(true);
    driver.feed(mail, 4096);
    driver.feed("STARTTLS\r\n", 4096);
    REQUIRE(driver.tls_wanted);
    driver.start_tls();
    CHECK_FALSE(driver.session.authenticated());
    driver.identifies = false;
    driver.said.clear();
    driver.feed("EHLO printer\r\nMAIL FROM:<ann@example.net>\r\n", 4096);
    CHECK(driver.said.contains("\r\n530 5.7.0 "));
    driver.identifies = true;
    driver.said.clear();
    driver.feed("MAIL FROM:<ann@example.net>\r\n", 4096);
    CHECK(codes(driver.said) == "250");
}

TEST_CASE("elsewhere identified() changes nothing") {
    SessionDriver driver(SessionDriver::implicit_tls());
    driver.identifies = true;
    driver.run();
    driver.start_tls();
    driver.feed("EHLO client\r\n", 4096);
    driver.session.identified();
    driver.said.clear();
    driver.feed("MAIL FROM:<ann@example.net>\r\n", 4096);
    CHECK(codes(driver.said) == "530");
}
