#include "relay/event/token_index.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "proto/ref.hpp"
#include "relay/event/json.hpp"
#include "relay/event/token_map.hpp"
#include "tests/catch.hpp"
#include "tests/unit/event/folder.hpp"

namespace {

using namespace postern::relay::event;
using namespace std::chrono_literals;
using postern::test::Folder;

const TokenIndex::Time began{};

std::string numbered_token(unsigned n) {
    std::string digits = std::to_string(n);
    return std::string(32 - digits.size(), '0') + digits;
}

std::string index_line(Payload what) {
    std::string out;
    append_token_line(out, Event{.t = {}, .mono = {}, .seq = 1, .what = std::move(what)});
    return out;
}

std::string message_line(unsigned n, const std::string& id = "") {
    Message m;
    m.ref = postern::proto::make_ref(n, {1, 2, 3});
    m.account = m.mail_from = "ann@example.net";
    m.customer = "shop";
    m.token = numbered_token(n);
    m.message_id = id.empty() ? "<" + std::to_string(n) + "@example.net>" : id;
    m.rcpts = {"b@example.org", "c@example.com"};
    m.outcome = "accepted";
    return index_line(std::move(m));
}

void append(const Folder& folder, const std::string& file, const std::string& text) {
    std::ofstream(folder / file, std::ios::binary | std::ios::app) << text;
}

TokenIndex index_of(const Folder& folder, std::size_t max_keys = 1000) {
    return TokenIndex(
        {.folder = folder.path(), .max_keys = max_keys, .blind_every = 15s, .salt = "s"});
}

}  // namespace

TEST_CASE("the index finds a message by token and by Message-ID") {
    const Folder folder;
    append(folder, "2026-03-01.1.jsonl", message_line(1) + message_line(2, "<a\"\\b@example.net>"));
    append(folder, "2026-03-02.1.jsonl", message_line(3));
    auto index = index_of(folder);
    const auto found = index.by_token(numbered_token(1), began);
    REQUIRE(found);
    CHECK(found->account == "ann@example.net");
    CHECK(found->customer == "shop");
    CHECK(found->mail_from == "ann@example.net");
    CHECK(found->rcpts == std::vector<std::string>{"b@example.org", "c@example.com"});
    CHECK(found->told.empty());
    REQUIRE(index.by_message_id("<3@example.net>", began).size() == 1);
    REQUIRE(index.by_message_id("<a\"\\b@example.net>", began).size() == 1);
    CHECK(index.by_message_id("<a\"\\b@example.net>", began)[0].token == numbered_token(2));
    CHECK_FALSE(index.by_token(numbered_token(9), began));
    CHECK_FALSE(index.by_token("nonsense", began));
    CHECK(index.by_message_id("<9@example.net>", began).empty());
    CHECK(index.by_message_id("", began).empty());
}

TEST_CASE("the index sees what is appended, and files that come and go") {
    const Folder folder;
    auto index = index_of(folder);
    CHECK_FALSE(index.by_token(numbered_token(1), began));
    append(folder, "2026-03-01.1.jsonl", message_line(1));
    CHECK(index.by_token(numbered_token(1), began));
    const std::string second = message_line(2);
    append(folder, "2026-03-01.1.jsonl", second.substr(0, 40));
    CHECK_FALSE(index.by_token(numbered_token(2), began));
    append(folder, "2026-03-01.1.jsonl", second.substr(40));
    CHECK(index.by_token(numbered_token(2), began));
    append(folder, "2026-03-01.1.jsonl", message_line(3));
    append(folder, "2026-03-02.1.jsonl", message_line(4));
    CHECK(index.by_token(numbered_token(3), began));
    CHECK(index.by_token(numbered_token(4), began));
    std::filesystem::remove(folder / "2026-03-01.1.jsonl");
    CHECK_FALSE(index.by_token(numbered_token(3), began));
    CHECK(index.by_token(numbered_token(4), began));
}

TEST_CASE("what was told of a message is found with it, wherever it stands") {
    const Folder folder;
    append(folder, "2026-03-01.1.jsonl",
           message_line(1) +
               index_line(Bounce{.ref = "x", .token = numbered_token(1), .rcpt = "b@example.org"}));
    append(folder, "2026-03-04.1.jsonl",
           index_line(Complaint{.ref = "x", .token = numbered_token(1), .rcpt = "c@example.com"}) +
               index_line(Bounce{.ref = "x", .token = numbered_token(2), .rcpt = "b@example.org"}));
    auto index = index_of(folder);
    const auto found = index.by_token(numbered_token(1), began);
    REQUIRE(found);
    REQUIRE(found->told.size() == 2);
    CHECK(found->told[0].event == "complaint");
    CHECK(found->told[0].rcpt == "c@example.com");
    CHECK(found->told[1].event == "bounce");
    CHECK(found->told[1].rcpt == "b@example.org");
    // A word about what is no message of ours makes none of it.
    CHECK_FALSE(index.by_token(numbered_token(2), began));
}

TEST_CASE("of messages with one Message-ID the latest comes first") {
    const Folder folder;
    append(folder, "2026-03-01.1.jsonl", message_line(1, "<same@example.net>"));
    append(folder, "2026-03-02.1.jsonl",
           message_line(2, "<same@example.net>") + message_line(3, "<same@example.net>"));
    auto index = index_of(folder);
    const auto found = index.by_message_id("<same@example.net>", began);
    REQUIRE(found.size() == 3);
    CHECK(found[0].token == numbered_token(3));
    CHECK(found[2].token == numbered_token(1));
}

TEST_CASE("what memory does not hold is searched for once in a while only") {
    const Folder folder;
    std::string old, recent;
    for (unsigned n = 0; n < 100; ++n) old += message_line(n);
    for (unsigned n = 100; n < 150; ++n) recent += message_line(n);
    append(folder, "2026-03-01.1.jsonl", old);
    append(folder, "2026-03-02.1.jsonl", recent);
    auto index = index_of(folder, 120);
    CHECK(index.by_token(numbered_token(120), began));
    CHECK(index.keys() == 100);
    CHECK(index.by_token(numbered_token(7), began));
    CHECK_FALSE(index.by_token(numbered_token(8), began + 1s));
    CHECK(index.by_token(numbered_token(120), began + 1s));
    CHECK(index.by_token(numbered_token(8), began + 16s));
}

TEST_CASE("many lines are found as few are, and damage hides none of the others") {
    const Folder folder;
    std::string text;
    for (unsigned n = 0; n < 6000; ++n) {
        text += message_line(n);
        if (n % 100 == 0) text += "{\"token\":\"torn\n\n\xff\xfe\n";
    }
    append(folder, "2026-03-01.1.jsonl", text);
    auto index = index_of(folder, 100'000);
    for (unsigned n = 0; n < 6000; n += 499) CHECK(index.by_token(numbered_token(n), began));
    append(folder, "2026-03-01.1.jsonl", message_line(6001));
    CHECK(index.by_token(numbered_token(6001), began));
    CHECK(index.by_token(numbered_token(0), began));
}
