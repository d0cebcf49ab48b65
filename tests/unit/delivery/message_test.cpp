#include "relay/message.hpp"

#include "tests/catch.hpp"

using namespace postern;
using relay::Message;

namespace {

std::string joined(const Message& message) {
    std::string out;
    for (const std::string_view piece : message.pieces()) out += piece;
    return out;
}

Message make(const std::string& text, std::size_t cut, std::vector<proto::HeaderFacts::Range> removals) {
    // Each piece has an owner and a place of its own, as blocks of a connection have.
    Message message;
    for (std::size_t at = 0; at < text.size(); at += cut) {
        auto piece = std::make_shared<const std::string>(text.substr(at, cut));
        message.body.append(*piece, piece);
    }
    message.removals = std::move(removals);
    return message;
}

}  // namespace

TEST_CASE("what is removed and what is added, however the body is cut") {
    const std::string text = "Bcc: x\r\nTo: y\r\nX-Abuse: z\r\n\r\nbody\r\n";
    for (const std::size_t cut : {1U, 2U, 3U, 7U, 100U}) {
        CAPTURE(cut);
        Message message = make(text, cut, {{0, 8}, {15, 12}});
        message.prefix = "Received: r\r\n";
        CHECK(joined(message) == "Received: r\r\nTo: y\r\n\r\nbody\r\n");
        CHECK(message.size() == joined(message).size());
    }
}

TEST_CASE("removals that touch, and one that ends the message") {
    Message message = make("aabbcc", 4, {{0, 2}, {2, 2}, {5, 1}});
    CHECK(joined(message) == "c");
    CHECK(message.size() == 1);
}

TEST_CASE("slices of one block are joined, and static text stands between") {
    relay::Body body;
    const auto block = std::make_shared<const std::string>("hello world");
    body.append(std::string_view(*block).substr(0, 5), block);
    body.append(std::string_view(*block).substr(5), block);
    CHECK(body.slices().size() == 1);
    body.append("\r\n", nullptr);
    CHECK(body.slices().size() == 2);
    CHECK(body.size() == 13);
    body.append("", nullptr);
    CHECK(body.slices().size() == 2);
    body.clear();
    CHECK(body.size() == 0);
}
