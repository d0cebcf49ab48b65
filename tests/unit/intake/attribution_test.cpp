#include "relay/intake/attribution.hpp"

#include <string>
#include <vector>

#include "tests/catch.hpp"

namespace {

using namespace postern::relay::intake;
using postern::proto::Report;
using postern::proto::ReportAction;
using postern::proto::ReportKind;
using postern::relay::event::MappedMessage;

MappedMessage message_to(std::vector<std::string> rcpts) {
    MappedMessage out;
    out.token = "t";
    out.rcpts = std::move(rcpts);
    return out;
}

Saying bounce_of(std::vector<std::string> rcpts) {
    Saying out;
    out.kind = WordKind::bounce;
    out.rcpts = std::move(rcpts);
    return out;
}

}  // namespace

TEST_CASE("a report is a statement on each of its recipients") {
    Report report;
    report.kind = ReportKind::delivery;
    report.recipients = {{.rcpt = "b@example.org",
                          .final_rcpt = "c@elsewhere.example",
                          .action = ReportAction::failed,
                          .status = "5.1.1",
                          .diagnostic = "no such user"},
                         {.rcpt = "d@example.org", .action = ReportAction::delayed},
                         {.rcpt = "e@example.org", .action = ReportAction::relayed},
                         {.rcpt = "f@example.org", .action = ReportAction::expanded}};
    const auto said = sayings_of(report);
    REQUIRE(said.size() == 4);
    CHECK(said[0].kind == WordKind::bounce);
    CHECK(said[0].rcpts == std::vector<std::string>{"b@example.org", "c@elsewhere.example"});
    CHECK(said[0].enhanced == "5.1.1");
    CHECK(said[0].text == "no such user");
    CHECK(said[1].kind == WordKind::deferral);
    CHECK(said[2].kind == WordKind::delivery);
    CHECK(said[3].kind == WordKind::delivery);
    CHECK(sayings_of(Report{}).empty());
}

TEST_CASE("feedback is a complaint but where it calls nothing abuse") {
    struct Row {
        const char* type;
        WordKind kind;
        const char* detail;
    };
    for (const Row& row :
         {Row{"abuse", WordKind::complaint, "abuse"}, Row{"fraud", WordKind::complaint, "fraud"},
          Row{"", WordKind::complaint, "abuse"}, Row{"not-spam", WordKind::other, "not-spam"},
          Row{"auth-failure", WordKind::other, "auth-failure"}}) {
        CAPTURE(row.type);
        Report report;
        report.kind = ReportKind::feedback;
        report.feedback_type = row.type;
        report.original_rcpts = {"b@example.org"};
        const auto said = sayings_of(report);
        REQUIRE(said.size() == 1);
        CHECK(said[0].kind == row.kind);
        CHECK(said[0].detail == row.detail);
        CHECK(said[0].via == Via::arf);
        CHECK(said[0].rcpts == std::vector<std::string>{"b@example.org"});
        CHECK_FALSE(said[0].among);
    }
}

TEST_CASE("it counts only for who was in the message") {
    struct Row {
        std::vector<std::string> rcpts, named;
        bool among;
        Taken taken;
        const char* rcpt;
    };
    const std::vector<Row> rows{
        {{"b@example.org"}, {"b@example.org"}, false, Taken::counted, "b@example.org"},
        {{"Bob@Example.org"}, {"bob@EXAMPLE.ORG"}, false, Taken::counted, "Bob@Example.org"},
        {{"b@m\xc3\xbcller.example"},
         {"b@xn--mller-kva.example"},
         false,
         Taken::counted,
         "b@m\xc3\xbcller.example"},
        {{"b@example.org"}, {"eve@example.org"}, false, Taken::unknown, ""},
        {{"b@example.org"}, {}, false, Taken::counted, "b@example.org"},
        {{"b@example.org", "c@example.org"}, {}, false, Taken::unknown, ""},
        {{"b@example.org", "c@example.org"},
         {"x@example.org", "c@example.org"},
         false,
         Taken::counted,
         "c@example.org"},
        {{"b@example.org", "c@example.org"},
         {"c@example.org", "b@example.org"},
         true,
         Taken::unknown,
         ""},
        {{"b@example.org", "c@example.org"},
         {"c@example.org", "x@example.org", "C@example.org"},
         true,
         Taken::counted,
         "c@example.org"},
        {{"bcc@example.org"}, {"list@example.org"}, true, Taken::counted, "bcc@example.org"},
        {{}, {}, false, Taken::unknown, ""},
    };
    for (const Row& row : rows) {
        Saying saying = bounce_of(row.named);
        saying.among = row.among;
        const Finding found = attribute(saying, message_to(row.rcpts));
        CAPTURE(row.rcpts, row.named);
        CHECK(found.taken == row.taken);
        CHECK(found.rcpt == row.rcpt);
    }
}

TEST_CASE("what is no bounce and no complaint passes, of ours alone") {
    Saying saying = bounce_of({"b@example.org"});
    for (const WordKind kind : {WordKind::deferral, WordKind::delivery, WordKind::other}) {
        saying.kind = kind;
        CHECK(attribute(saying, message_to({"b@example.org"})).taken == Taken::passed);
        CHECK(attribute(saying, message_to({"c@example.org"})).taken == Taken::unknown);
    }
}

TEST_CASE("each counts once, bounces and complaints apart") {
    Once once(2);
    CHECK(once.add("t", WordKind::bounce, "b@example.org"));
    CHECK_FALSE(once.add("t", WordKind::bounce, "b@example.org"));
    CHECK(once.add("t", WordKind::complaint, "b@example.org"));
    CHECK_FALSE(once.add("t", WordKind::complaint, "b@example.org"));
    CHECK(once.add("t", WordKind::bounce, "c@example.org"));  // The first is forgotten.
    CHECK(once.add("t", WordKind::bounce, "b@example.org"));

    MappedMessage message = message_to({"b@example.org"});
    message.told = {{"bounce", "b@example.org"}};
    CHECK(was_told(message, WordKind::bounce, "b@example.org"));
    CHECK_FALSE(was_told(message, WordKind::complaint, "b@example.org"));
    CHECK_FALSE(was_told(message, WordKind::bounce, "c@example.org"));
}

TEST_CASE("a return path sends on a hundred mails beyond its recipients") {
    ForwardLimit limit(2);
    for (int i = 0; i < 103; ++i) CHECK(limit.take("t", 3));
    CHECK_FALSE(limit.take("t", 3));
    CHECK(limit.take("u", 1));
    CHECK_FALSE(limit.take("t", 3));
}

TEST_CASE("the worst of several is told") {
    CHECK(worse(Taken::counted, Taken::duplicate) == Taken::duplicate);
    CHECK(worse(Taken::overloaded, Taken::unreadable) == Taken::overloaded);
    CHECK(worse(Taken::unknown, Taken::passed) == Taken::unknown);
    CHECK(worse(Taken::counted, Taken::counted) == Taken::counted);
}

TEST_CASE("a Message-ID that we make is known") {
    CHECK(is_own_message_id("<01ARZ3NDEKTSV4RRFFQ69G5FAV@mx.example.net>", "mx.example.net"));
    CHECK_FALSE(is_own_message_id("<01ARZ3NDEKTSV4RRFFQ69G5FAV@example.org>", "mx.example.net"));
    CHECK_FALSE(is_own_message_id("<1@mx.example.net>", "mx.example.net"));
    CHECK_FALSE(is_own_message_id("<>", "mx.example.net"));
    CHECK_FALSE(is_own_message_id("", "mx.example.net"));
}
