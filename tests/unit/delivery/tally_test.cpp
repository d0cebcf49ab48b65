#include "relay/delivery/tally.hpp"

#include "tests/catch.hpp"

using postern::proto::Reply;
using postern::proto::UpstreamStage;
using postern::relay::Tally;
using Fate = Tally::Fate;
using Result = postern::proto::ClientSession::RecipientResult;

namespace {

Result said(std::size_t recipient, int code, UpstreamStage stage, std::string enhanced = "",
            std::string text = "") {
    return {recipient, Reply{code, std::move(enhanced), std::move(text), false}, stage};
}

}  // namespace

TEST_CASE("what a reply makes of its recipient") {
    struct Row {
        int code;
        UpstreamStage stage;
        const char* text;
        Fate fate;
    };
    const Row rows[] = {
        {250, UpstreamStage::dot, "ok", Fate::delivered},
        {550, UpstreamStage::rcpt, "no such user", Fate::refused},
        {550, UpstreamStage::mail, "sender refused", Fate::refused},
        {554, UpstreamStage::dot, "message content rejected", Fate::refused},
        {451, UpstreamStage::mail, "try later", Fate::open},
        {421, UpstreamStage::data, "going down", Fate::open},
        {450, UpstreamStage::rcpt, "greylisted", Fate::deferred},
        {451, UpstreamStage::data, "try later", Fate::deferred},
        {452, UpstreamStage::dot, "no space", Fate::deferred},
        {421, UpstreamStage::dot, "going down", Fate::deferred},
        {530, UpstreamStage::mail, "log in first", Fate::open},
        {550, UpstreamStage::rcpt, "client host [192.0.2.1] blocked using zen.example", Fate::open},
    };
    for (const Row& row : rows) {
        CAPTURE(row.code, row.text);
        Tally tally(1);
        tally.apply({said(0, row.code, row.stage, "", row.text)}, "primary", false);
        CHECK(tally.line(0).fate == row.fate);
        CHECK(tally.line(0).path == "primary");
    }
}

TEST_CASE("what a standby left for later is opened again, and nothing else") {
    Tally tally(4);
    tally.apply({said(0, 250, UpstreamStage::dot), said(1, 550, UpstreamStage::rcpt),
                 said(2, 450, UpstreamStage::rcpt), said(3, 451, UpstreamStage::mail)},
                "standby", false);
    tally.reopen();
    CHECK(tally.with(Fate::delivered) == std::vector<std::size_t>{0});
    CHECK(tally.with(Fate::refused) == std::vector<std::size_t>{1});
    CHECK(tally.open() == std::vector<std::size_t>{2, 3});
}

TEST_CASE("a reply that the operator names leaves its recipient to the next path") {
    const std::vector<postern::proto::PathReply> named = {{.code = 554, .text = "not from here"}};
    Tally tally(2);
    tally.apply({said(0, 554, UpstreamStage::dot, "5.7.1", "Not from here"),
                 said(1, 554, UpstreamStage::dot, "5.7.1", "spam")},
                "primary", false, named);
    CHECK(tally.line(0).fate == Fate::open);
    CHECK(tally.line(1).fate == Fate::refused);
}

TEST_CASE("recipients settle over several paths") {
    Tally tally(4);
    tally.apply({said(0, 250, UpstreamStage::dot), said(1, 550, UpstreamStage::rcpt),
                 said(2, 450, UpstreamStage::rcpt)},
                "primary", true);
    CHECK(tally.open() == std::vector<std::size_t>{3});
    tally.apply({said(3, 250, UpstreamStage::dot)}, "fallback", false);
    CHECK(tally.open().empty());
    CHECK_FALSE(tally.all_refused());
    CHECK(tally.with(Fate::deferred) == std::vector<std::size_t>{2});
    CHECK(tally.line(0).dsn_offered);
    CHECK_FALSE(tally.line(3).dsn_offered);
    CHECK(tally.first_refusal()->code == 550);
    CHECK(tally.first_delivery()->code == 250);
}

TEST_CASE("all refused is all refused, and nothing is not") {
    Tally tally(2);
    CHECK_FALSE(tally.all_refused());
    tally.apply({said(0, 550, UpstreamStage::rcpt), said(1, 551, UpstreamStage::rcpt)}, "primary",
                false);
    CHECK(tally.all_refused());
    CHECK(tally.first_refusal()->code == 550);
    CHECK(tally.first_delivery() == nullptr);
}

TEST_CASE("a lost answer leaves in doubt only what was not settled") {
    Tally tally(2);
    tally.apply({said(0, 550, UpstreamStage::rcpt)}, "primary", false);
    tally.lost("primary");
    CHECK(tally.line(0).fate == Fate::refused);
    CHECK(tally.line(1).fate == Fate::in_doubt);
    CHECK(tally.line(1).path == "primary");
}

TEST_CASE("an entry counts only the recipients it still has open") {
    const std::vector<std::uint32_t> open{1, 3};
    Tally tally(4, &open);
    CHECK(tally.open() == std::vector<std::size_t>{1, 3});
    tally.apply({said(1, 550, UpstreamStage::rcpt), said(3, 550, UpstreamStage::rcpt),
                 said(9, 250, UpstreamStage::dot)},
                "primary", false);
    CHECK(tally.all_refused());
}
