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

Message make(const std::string& text, std::size_t cut,
             std::vector<proto::HeaderFacts::Range> removals) {
    // Each piece has an owner and a place of its own, as blocks of a connection have.
    Message message;
    for (std::size_t at = 0; at < text.size(); at += cut) {
        auto piece = std::make_shared<const std::string>(text.substr(at, cut));
        message.body.append(*piece, piece, piece->size());
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
    const auto block = std::make_shared<const std::string>(10'000, 'x');
    body.append(std::string_view(*block).substr(0, 5000), block, block->size());
    body.append(std::string_view(*block).substr(5000), block, block->size());
    CHECK(body.slices().size() == 1);
    CHECK(body.slices()[0].data() == block->data());  // not copied
    body.append("\r\n", nullptr, 0);
    CHECK(body.slices().size() == 2);
    CHECK(body.size() == 10'002);
    body.append("", nullptr, 0);
    CHECK(body.slices().size() == 2);
    body.clear();
    CHECK(body.size() == 0);
    CHECK(body.footprint() == 0);
}

TEST_CASE("thousands of tiny pieces, each of a block of its own, keep little memory") {
    relay::Body body;
    std::string expected;
    for (int i = 0; i < 20'000; ++i) {
        const auto block =
            std::make_shared<const std::string>(16'384, static_cast<char>('a' + i % 26));
        body.append(std::string_view(*block).substr(0, 3), block, block->size());
        expected.append(3, static_cast<char>('a' + i % 26));
    }
    std::string said;
    for (const std::string_view slice : body.slices()) said += slice;
    CHECK(said == expected);
    CHECK(body.slices().size() < 10);
    CHECK(body.footprint() < 2 * expected.size());
}
