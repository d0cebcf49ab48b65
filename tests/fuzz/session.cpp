// Any octets at the session machine, with scripted answers. Property: what is said, asked and
// committed does not depend on how the octets were cut; every Ask{mail} ends in one commit or
// discard; nothing is said about a refused message without its reference; output is lines.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/session_driver.hpp"

using postern::proto::Reply;
using postern::tests::SessionDriver;

namespace {

void require(bool holds) {
    if (!holds) std::abort();
}

/// First octet: which session, and which answers.
SessionDriver prepared(std::uint8_t how) {
    auto settings = (how & 1U) != 0 ? SessionDriver::defaults() : SessionDriver::implicit_tls();
    settings.normalize_newlines = (how & 2U) != 0;
    settings.max_recipients = 3;
    if ((how & 1U) != 0) {
        settings.devices = (how & 4U) != 0;
        SessionDriver driver(std::move(settings));
        driver.identifies = (how & 8U) != 0;
        driver.run();
        return driver;
    }
    auto driver = SessionDriver::logged_in(std::move(settings));
    if ((how & 4U) != 0)
        driver.session.offer({.max_size = 100, .eight_bit_mime = false, .smtputf8 = false});
    const Reply no{.code = 550, .enhanced = "5.7.1", .text = "no\r\nnever"};
    if ((how & 8U) != 0) driver.answers["rcpt"] = {std::nullopt, no, std::nullopt};
    if ((how & 16U) != 0) driver.answers["mail"] = {no, std::nullopt};
    if ((how & 32U) != 0) driver.answers["data"] = {no, std::nullopt};
    if ((how & 64U) != 0) driver.answers["commit"] = {no, std::nullopt};
    if ((how & 128U) != 0)
        driver.answers["auth"] = {Reply{.code = 535, .enhanced = "5.7.8", .text = "no"}};
    return driver;
}

std::string transcript(std::uint8_t how, std::string_view octets, std::size_t cut) {
    SessionDriver driver = prepared(how);
    driver.feed(octets, cut);
    // Octets behind STARTTLS: dropped with the 220 said or not, as they came with the command or
    // after it.
    if (driver.tls_wanted && driver.left_over.empty() && driver.open) {
        driver.start_tls();
    } else if (driver.tls_wanted) {
        driver.said.resize(driver.said.rfind("220 "));
        driver.tls_wanted = false;
        driver.session.feed(driver.left_over);
        driver.run();
        require(!driver.open);
    }
    const bool in_data = driver.open && driver.last_read.in_data;
    if (driver.open) {
        driver.session.eof();
        driver.run();
    }
    std::size_t begun = 0;
    std::size_t ended = 0;
    std::string out;
    for (const std::string& event : driver.events) {
        begun += event == "ask mail" ? 1U : 0U;
        ended += event == "commit" || event == "discard" ? 1U : 0U;
        out += event + '\n';
    }
    require(begun == ended);
    // Nobody sends who is not known.
    if ((how & 1U) != 0 && (how & 8U) == 0 && (how & 4U) != 0) require(driver.messages.empty());
    require(driver.said.empty() || driver.said.ends_with("\r\n"));
    for (std::size_t at = 0; at < driver.said.size();) {
        const std::size_t end = driver.said.find("\r\n", at);
        const std::string_view line = std::string_view(driver.said).substr(at, end - at);
        require(line.starts_with("334 ") || line.size() <= 510);
        for (const char c : line) require(c >= 0x20 && c < 0x7f);
        at = end + 2;
    }
    for (const std::string& message : driver.messages) {
        require(message.empty() || message.ends_with("\r\n"));
        out += message + '\n';
        for (std::size_t i = 0; i < message.size(); ++i) {
            if (message[i] == '\n') require(i > 0 && message[i - 1] == '\r');
            if (message[i] == '\r') require(i + 1 < message.size() && message[i + 1] == '\n');
            require(message[i] != '\0');
        }
    }
    return out + driver.said + (in_data ? "(in data)" : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view octets(reinterpret_cast<const char*>(data + 1), size - 1);
    const std::string whole = transcript(data[0], octets, size);
    for (const std::size_t cut : {std::size_t{1}, std::size_t{7}, std::size_t{64}}) {
        require(transcript(data[0], octets, cut) == whole);
    }
    return 0;
}
