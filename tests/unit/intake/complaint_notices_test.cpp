#include "relay/intake/complaint_notices.hpp"

#include <string>
#include <utility>

#include "relay/intake/forward.hpp"
#include "tests/catch.hpp"

namespace {

using namespace postern;
using namespace postern::relay::intake;
using namespace std::chrono_literals;

const ComplaintNotices::Time start{};

ToldComplaint complaint(std::string customer, std::string rcpt = "b@example.org") {
    return {.ref = "REF",
            .account = "ann@example.net",
            .customer = std::move(customer),
            .rcpt = std::move(rcpt),
            .message_id = "<m@example.net>",
            .sent = "2026-03-02T09:15:00.120Z",
            .kind = "abuse"};
}

relay::config::Config configured() {
    relay::config::Config config;
    config.server.hostname = "mx.example.net";
    config.server.contact = "postmaster@example.net";
    config.server.abuse_contact = "abuse@example.net";
    return config;
}

std::string text_of(const relay::NewEntry& entry) {
    std::string out;
    for (const auto piece : entry.pieces) out += piece;
    return out;
}

}  // namespace

TEST_CASE("the first complaint is told at once, those of the next hour together") {
    ComplaintNotices notices;
    const auto first = notices.add(complaint("shop"), start);
    REQUIRE(first);
    CHECK(first->complaints.size() == 1);
    CHECK_FALSE(notices.add(complaint("shop", "c@example.org"), start + 1min));
    CHECK_FALSE(notices.add(complaint("shop", "d@example.org"), start + 59min));
    CHECK(notices.add(complaint("other"), start + 1min));
    CHECK(notices.due(start + 59min).empty());
    REQUIRE(notices.next());
    CHECK(*notices.next() == start + 1h);
    const auto due = notices.due(start + 1h);
    REQUIRE(due.size() == 1);
    CHECK(due[0].customer == "shop");
    CHECK(due[0].complaints.size() == 2);
    // Its hour begins again, and ends by itself.
    CHECK_FALSE(notices.add(complaint("shop"), start + 61min));
    CHECK(notices.due(start + 2h + 1min).size() == 1);
    CHECK(notices.due(start + 4h).empty());
    CHECK(notices.add(complaint("shop"), start + 4h));
}

TEST_CASE("accounts without a customer are told of by themselves") {
    ComplaintNotices notices;
    CHECK(notices.add(complaint(""), start));
    CHECK_FALSE(notices.add(complaint(""), start));
    auto other = complaint("");
    other.account = "bob@example.net";
    CHECK(notices.add(std::move(other), start));
}

TEST_CASE("of many complaints some are listed and the others counted") {
    ComplaintNotices notices;
    CHECK(notices.add(complaint("shop"), start));
    for (int i = 0; i < 50; ++i) CHECK_FALSE(notices.add(complaint("shop"), start));
    const auto rest = notices.rest();
    REQUIRE(rest.size() == 1);
    CHECK(rest[0].complaints.size() == ComplaintNotices::most_listed);
    CHECK(rest[0].more == 30);
    CHECK(notices.rest().empty());
    CHECK_FALSE(notices.next());
}

TEST_CASE("the mail names what is known, comes from postmaster and answers nobody") {
    ComplaintNotices::Batch batch{.owner = "customer shop",
                                  .customer = "shop",
                                  .complaints = {complaint("shop", "b@example.org\r\nBcc: x@y")},
                                  .more = 0};
    const auto entry = make_complaint_mail(configured(), {"abuse", "shop.example"}, batch, "ID",
                                           relay::WallTime(std::chrono::seconds(1'772'442'900)));
    CHECK_FALSE(entry.envelope.mail_from);
    REQUIRE(entry.envelope.recipients.size() == 1);
    CHECK(entry.envelope.recipients[0].address.text() == "abuse@shop.example");
    CHECK(entry.envelope.recipients[0].notify->never);
    CHECK(entry.dsn);
    CHECK(entry.account.empty());
    const std::string text = text_of(entry);
    for (const auto* part :
         {"From: Mail Delivery System <postmaster@example.net>\r\n", "To: abuse@shop.example\r\n",
          "Auto-Submitted: auto-generated\r\n", "Message-ID: <ID@mx.example.net>\r\n", "REF",
          "ann@example.net", "<m@example.net>", "2026-03-02T09:15:00.120Z", "abuse@example.net"}) {
        CAPTURE(part);
        CHECK(text.find(part) != std::string::npos);
    }
    CHECK(text.find("\nBcc:") == std::string::npos);
    CHECK(text.find("X-Abuse") == std::string::npos);
}

TEST_CASE("what came to a return path goes on as it came, with our Received on top") {
    relay::event::MappedMessage message;
    message.ref = "REF";
    message.account = "ann@example.net";
    const auto entry = relay::intake::make_forward_entry(
        message, {"ann", "example.net"}, "Subject: x\n\nlone\rone\r\n", "mx.example.net", "ID",
        relay::WallTime(std::chrono::seconds(1'772'442'900)));
    CHECK_FALSE(entry.envelope.mail_from);
    REQUIRE(entry.envelope.recipients.size() == 1);
    CHECK(entry.envelope.recipients[0].address.text() == "ann@example.net");
    CHECK(entry.envelope.recipients[0].notify->never);
    CHECK(entry.ref == "REF");
    CHECK(entry.dsn);
    const std::string text = text_of(entry);
    CHECK(text.starts_with("Received: by mx.example.net with LMTP id ID;\r\n\t"));
    CHECK(text.ends_with("\r\nSubject: x\r\n\r\nlone\r\none\r\n"));
}

TEST_CASE("Received fields are counted in the header section alone") {
    CHECK(relay::intake::received_fields("Received: a\r\nreceived: b\n c\r\n\r\nReceived: d\r\n") ==
          2);
    CHECK(relay::intake::received_fields("") == 0);
}
