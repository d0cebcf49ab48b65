#include <string>
#include <string_view>
#include <vector>

#include "relay/delivery/return_path.hpp"
#include "tests/catch.hpp"

namespace {

using namespace postern;

const std::string token = "00112233445566778899aabbccddeeff";

proto::Envelope from(const char* sender) {
    proto::Envelope envelope;
    if (const auto parsed = proto::parse_mailbox(sender, true)) envelope.mail_from = *parsed;
    return envelope;
}

relay::config::Config rewriting() {
    relay::config::Config config;
    config.message.return_path = relay::config::ReturnPath::rewrite;
    config.message.bounce_domain = "bounce.example.net";
    return config;
}

}  // namespace

TEST_CASE("upstreams hear the token's address where return paths are rewritten") {
    const auto path = relay::return_path_of(rewriting(), from("ann@example.net"), token);
    REQUIRE(path);
    CHECK(path->text() == "b+" + token + "@bounce.example.net");
}

TEST_CASE("upstreams hear the sender itself where there is nothing to rewrite") {
    relay::config::Config keeping = rewriting();
    keeping.message.return_path = relay::config::ReturnPath::keep;
    CHECK_FALSE(relay::return_path_of(keeping, from("ann@example.net"), token));
    CHECK_FALSE(relay::return_path_of(rewriting(), from("ann@example.net"), ""));
    CHECK_FALSE(relay::return_path_of(rewriting(), proto::Envelope{}, token));
}

TEST_CASE("the token is read from X-Abuse alone, folded or not, however the message is cut") {
    struct Row {
        std::string text, token;
    };
    const std::string other(32, 'e');
    const std::vector<Row> rows{
        {"X-Abuse: report to a@example.net; ref=" + token + "\r\nTo: b\r\n\r\nHi\r\n", token},
        {"DKIM-Signature: v=1;\r\n h=x-abuse\r\nX-Abuse: report to a@example.net;\r\n ref=" +
             token + "\r\n\r\n",
         token},
        {"To: b\r\n\r\nX-Abuse: report to a; ref=" + token + "\r\n", ""},
        {"Subject: x; ref=" + other + "\r\nx-abuse: report to a;\r\n\tref=" + token + "\r\n\r\n",
         token},
        {"X-Abuse: report to a; ref=1234\r\n\r\n", ""},
        {"", ""},
    };
    for (const Row& row : rows) {
        INFO(row.text);
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, row.text.size() + 1}) {
            std::vector<std::string_view> pieces;
            for (std::size_t at = 0; at < row.text.size(); at += step)
                pieces.push_back(std::string_view(row.text).substr(at, step));
            CHECK(relay::token_in(pieces) == row.token);
        }
    }
}

TEST_CASE("a return path of ours is known again, whatever its case") {
    const std::string domain = "bounce.example.net";
    CHECK(relay::token_of_return_path("b+" + token + "@bounce.example.net", domain) == token);
    CHECK(relay::token_of_return_path("B+00112233445566778899AABBCCDDEEFF@Bounce.Example.NET",
                                      domain) == token);
    CHECK(relay::token_of_return_path("b+" + token + "@example.net", domain).empty());
    CHECK(relay::token_of_return_path("b+1@bounce.example.net", domain).empty());
    CHECK(relay::token_of_return_path("ann@bounce.example.net", domain).empty());
    CHECK(relay::token_of_return_path("b+" + token + "@", "").empty());
}
