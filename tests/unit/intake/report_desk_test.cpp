#include "relay/intake/report_desk.hpp"

#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "proto/ref.hpp"
#include "relay/event/json.hpp"
#include "relay/event/token_map.hpp"
#include "relay/intake/delivered_by.hpp"
#include "tests/catch.hpp"
#include "tests/unit/delivery/bench.hpp"
#include "tests/unit/event/folder.hpp"

namespace {

using namespace postern;
using namespace postern::relay::intake;
using postern::test::Folder;
using postern::test::Kept;
using postern::test::ScriptedSpool;
namespace event = postern::relay::event;

const std::string token = "00112233445566778899aabbccddeeff";
const std::string message_ref = proto::make_ref(1'772'442'900'000, {1, 2, 3});

class ListedBook final : public relay::suppression::Book {
  public:
    [[nodiscard]] std::optional<relay::suppression::Suppressed> find(
        const relay::suppression::Owner&, std::string_view,
        relay::suppression::WallTime) const override {
        return std::nullopt;
    }
    void bounced(const relay::suppression::Owner& owner, std::string_view rcpt,
                 std::string_view enhanced, std::string_view,
                 relay::suppression::WallTime) override {
        heard.push_back(owner.customer + " " + std::string(rcpt) + " " + std::string(enhanced));
    }
    std::vector<std::string> heard;
};

/// A desk over a token map with one message.
struct DeskBench {
    Folder folder;
    Kept events;
    ScriptedSpool spool;
    ListedBook book;
    std::shared_ptr<relay::config::Config> config = std::make_shared<relay::config::Config>();
    std::string contact = "abuse@shop.example";
    std::unique_ptr<ReportDesk> desk;

    explicit DeskBench(std::string mail_from = "ann@example.net") {
        config->server.hostname = "mx.example.net";
        config->server.contact = "postmaster@example.net";
        config->server.abuse_contact = "abuse@example.net";
        config->message.return_path = relay::config::ReturnPath::rewrite;
        config->message.bounce_domain = "bounce.example.net";
        config->upstream.emplace_back();
        config->upstream.back().name = "primary";
        event::Message message;
        message.ref = message_ref;
        message.account = "ann@example.net";
        message.customer = "shop";
        message.mail_from = std::move(mail_from);
        message.token = token;
        message.message_id = "<m1@example.net>";
        message.rcpts = {"b@example.org", "c@example.com"};
        message.outcome = "accepted";
        write(std::move(message));
        start();
    }
    ~DeskBench() { desk->stop(); }

    void write(event::Payload what) const {
        std::string line;
        event::append_token_line(line, {.t = {}, .mono = {}, .seq = 1, .what = std::move(what)});
        std::ofstream(folder / "2026-03-02.1.jsonl", std::ios::binary | std::ios::app) << line;
    }
    void start() {
        ReportDesk::Settings settings;
        settings.index.folder = folder.path();
        desk = std::make_unique<ReportDesk>(
            std::move(settings),
            ReportDesk::Ports{.spool = spool,
                              .events = events,
                              .config = [this] { return config; },
                              .make_ref = [] { return std::string("NEW"); },
                              .abuse_contact = [this](const std::string&) { return contact; },
                              .delivered_by = [](const std::string&) { return "primary"; },
                              .book = &book});
    }
    template <typename What>
    Taken take(What what) const {
        std::promise<Taken> said;
        desk->take(std::move(what), [&said](Taken taken) { said.set_value(taken); });
        return said.get_future().get();
    }
    [[nodiscard]] Taken tell(WordKind kind, std::string of_token, std::string rcpt,
                             std::string message_id = "") const {
        return take(std::vector<Word>{{.kind = kind,
                                       .via = Via::webhook,
                                       .token = std::move(of_token),
                                       .message_id = std::move(message_id),
                                       .rcpt = std::move(rcpt),
                                       .enhanced = "5.1.1"}});
    }
    [[nodiscard]] std::string stored(std::size_t n) const {
        std::string out;
        for (const auto piece : spool.taken.at(n).add.at(0).pieces) out += piece;
        return out;
    }
};

Mail returned(std::string to, std::string text = "Subject: away\r\n\r\nI am away.\r\n") {
    return {.mail_from = "", .rcpts = {std::move(to)}, .octets = std::move(text)};
}

const std::string return_path = "b+" + token + "@bounce.example.net";

}  // namespace

TEST_CASE("a bounce is counted once, with all that it counts by") {
    DeskBench bench;
    CHECK(bench.tell(WordKind::bounce, token, "B@example.org") == Taken::counted);
    CHECK(bench.tell(WordKind::bounce, token, "b@example.org") == Taken::duplicate);
    CHECK(bench.tell(WordKind::bounce, "", "c@example.com", "<m1@example.net>") == Taken::counted);
    bench.desk->stop();
    const auto told = bench.events.of<event::Bounce>();
    REQUIRE(told.size() == 2);
    CHECK(told[0].ref == message_ref);
    CHECK(told[0].rcpt == "b@example.org");
    CHECK(told[0].enhanced == "5.1.1");
    CHECK(told[0].account == "ann@example.net");
    CHECK(told[0].customer == "shop");
    CHECK(told[0].upstream == "primary");
    CHECK(told[0].domain == "example.org");
    CHECK(told[0].via == "webhook");
    CHECK(told[1].rcpt == "c@example.com");
    CHECK(bench.book.heard ==
          std::vector<std::string>{"shop b@example.org 5.1.1", "shop c@example.com 5.1.1"});
    const auto seen = bench.events.of<event::IntakeTaken>();
    REQUIRE(seen.size() == 3);
    CHECK(seen[1].kind == "bounce");
    CHECK(seen[1].result == "duplicate");
}

TEST_CASE("what is not of us does not count") {
    DeskBench bench;
    CHECK(bench.tell(WordKind::bounce, token, "eve@example.org") == Taken::unknown);
    CHECK(bench.tell(WordKind::bounce, token, "") == Taken::unknown);
    CHECK(bench.tell(WordKind::complaint, std::string(32, '0'), "b@example.org") == Taken::unknown);
    CHECK(bench.tell(WordKind::bounce, "", "b@example.org", "<m9@example.net>") == Taken::unknown);
    CHECK(bench.tell(WordKind::bounce, "", "b@example.org") == Taken::unknown);
    CHECK(bench.tell(WordKind::bounce, "", "b@example.org",
                     "<" + message_ref + "@mx.example.net>") == Taken::passed);
    CHECK(bench.tell(WordKind::deferral, token, "b@example.org") == Taken::passed);
    CHECK(bench.tell(WordKind::other, "", "") == Taken::passed);
    bench.desk->stop();
    CHECK(bench.events.of<event::Bounce>().empty());
    CHECK(bench.events.of<event::Complaint>().empty());
    CHECK(bench.spool.taken.empty());
}

TEST_CASE("what was counted before a restart is a duplicate after it") {
    DeskBench bench;
    bench.write(event::Bounce{.ref = message_ref, .token = token, .rcpt = "b@example.org"});
    CHECK(bench.tell(WordKind::bounce, token, "b@example.org") == Taken::duplicate);
    CHECK(bench.tell(WordKind::complaint, token, "b@example.org") == Taken::counted);
}

TEST_CASE("a complaint is told to the customer's contact, further ones when the desk ends") {
    DeskBench bench;
    CHECK(bench.tell(WordKind::complaint, token, "b@example.org") == Taken::counted);
    CHECK(bench.tell(WordKind::complaint, token, "b@example.org") == Taken::duplicate);
    CHECK(bench.tell(WordKind::complaint, token, "c@example.com") == Taken::counted);
    bench.desk->stop();
    const auto told = bench.events.of<event::Complaint>();
    REQUIRE(told.size() == 2);
    CHECK(told[0].kind == "abuse");
    CHECK(told[0].confirmed);
    REQUIRE(bench.spool.taken.size() == 2);
    CHECK(bench.spool.taken[0].add[0].envelope.recipients[0].address.text() ==
          "abuse@shop.example");
    CHECK(bench.stored(0).find("b@example.org") != std::string::npos);
    CHECK(bench.stored(1).find("c@example.com") != std::string::npos);
    CHECK(bench.stored(1).find("b@example.org") == std::string::npos);
}

TEST_CASE("the operator hears of complaints where a customer names nobody") {
    DeskBench bench;
    bench.contact.clear();
    CHECK(bench.tell(WordKind::complaint, token, "b@example.org") == Taken::counted);
    bench.desk->stop();
    REQUIRE(bench.spool.taken.size() == 1);
    CHECK(bench.spool.taken[0].add[0].envelope.recipients[0].address.text() == "abuse@example.net");
}

TEST_CASE("mail to a return path goes on to the message's sender, and to nobody else") {
    DeskBench bench;
    CHECK(bench.take(returned(return_path)) == Taken::passed);
    CHECK(bench.take(returned("B+" + token + "@BOUNCE.example.net")) == Taken::passed);
    CHECK(bench.take(returned("b+" + std::string(32, '1') + "@bounce.example.net")) ==
          Taken::unknown);
    auto by_hand = returned(return_path);
    by_hand.mail_from = "eve@example.org";
    CHECK(bench.take(std::move(by_hand)) == Taken::passed);
    std::string looping;
    for (int i = 0; i < 101; ++i) looping += "Received: by x\r\n";
    CHECK(bench.take(returned(return_path, looping + "\r\n")) == Taken::passed);
    bench.desk->stop();
    REQUIRE(bench.spool.taken.size() == 2);
    const auto& entry = bench.spool.taken[0].add[0];
    CHECK_FALSE(entry.envelope.mail_from);
    CHECK(entry.envelope.recipients[0].address.text() == "ann@example.net");
    CHECK(bench.stored(0).ends_with("I am away.\r\n"));
    const auto told = bench.events.of<event::Dsn>();
    REQUIRE(told.size() == 2);
    CHECK(told[0].result == "forwarded");
}

TEST_CASE("nothing goes on to the null sender, nor to another return path") {
    for (const std::string& sender : {std::string(), return_path}) {
        DeskBench bench(sender);
        CHECK(bench.take(returned(return_path)) == Taken::passed);
        bench.desk->stop();
        CHECK(bench.spool.taken.empty());
    }
}

TEST_CASE("what the spool refuses may come again") {
    DeskBench bench;
    bench.spool.says = [](const relay::SpoolBatch&) -> boost::system::error_code {
        return relay::SpoolError::full;
    };
    CHECK(bench.take(returned(return_path)) == Taken::overloaded);
    bench.spool.says = nullptr;
    CHECK(bench.take(returned(return_path)) == Taken::passed);
    bench.desk->stop();
    CHECK(bench.spool.taken.size() == 1);
}

TEST_CASE("a return path is no cannon") {
    DeskBench bench;
    for (int i = 0; i < 110; ++i) CHECK(bench.take(returned(return_path)) == Taken::passed);
    bench.desk->stop();
    CHECK(bench.spool.taken.size() == 102);
}

TEST_CASE("a desk that ended takes nothing") {
    DeskBench bench;
    bench.desk->stop();
    CHECK(bench.tell(WordKind::bounce, token, "b@example.org") == Taken::overloaded);
}

TEST_CASE("the upstream of a message is remembered, and found in the journal") {
    DeliveredBy memory;
    const auto see = [&](event::Delivery what) {
        memory.on_event({.t = {}, .mono = {}, .seq = 1, .what = std::move(what)});
    };
    see({.ref = "A", .upstream = "primary", .result = "delivered"});
    see({.ref = "B", .upstream = "second", .result = "in_doubt"});
    see({.ref = "C", .upstream = "primary", .result = "refused"});
    see({.ref = "A", .id = "D", .upstream = "third", .result = "delivered"});
    CHECK(memory.find("A") == "primary");
    CHECK(memory.find("B") == "second");
    CHECK(memory.find("C").empty());

    const Folder folder;
    std::string lines;
    for (const auto& what : {event::Delivery{.ref = message_ref,
                                             .rcpt = "b@example.org",
                                             .upstream = "primary",
                                             .result = "delivered"},
                             event::Delivery{.ref = message_ref,
                                             .rcpt = "c@example.com",
                                             .upstream = "second",
                                             .result = "delivered"}})
        event::append_line(lines, {.t = {}, .mono = {}, .seq = 1, .what = what});
    std::ofstream(folder / "2026-03-02.1.jsonl", std::ios::binary) << lines;
    CHECK(delivered_by_journal(folder.path(), message_ref, "b@example.org") == "primary");
    CHECK(delivered_by_journal(folder.path(), message_ref, "c@example.com") == "second");
    CHECK(delivered_by_journal(folder.path(), "x", "b@example.org").empty());
}
