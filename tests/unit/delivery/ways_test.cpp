#include "relay/delivery/ways.hpp"

#include "tests/catch.hpp"

using namespace postern::relay;
using postern::proto::Address;
using postern::proto::Envelope;

TEST_CASE("mail is routed by its envelope's sender, and without one by its account") {
    Envelope envelope;
    envelope.mail_from = Address{"Ann",
                                 "B\xc3\xbc"
                                 "cher.EXAMPLE"};
    const Sender written = sender_of(envelope, "ann@a.example", "acme", "gold");
    CHECK(written.domain == "xn--bcher-kva.example");
    CHECK(written.account == "ann@a.example");
    CHECK(written.customer == "acme");
    CHECK(written.plan == "gold");
    CHECK(written.good_standing);
    envelope.mail_from.reset();
    CHECK(sender_of(envelope, "ann@a.example", "", "").domain == "a.example");
    CHECK(sender_of(envelope, "", "", "").domain.empty());
}

TEST_CASE("mail warms a standby as its customer's, or its account's, or not at all") {
    Envelope envelope;
    Sender sender = sender_of(envelope, "ann@a.example", "acme", "");
    CHECK(warms_as(sender) == "acme");
    sender.customer.clear();
    CHECK(warms_as(sender) == "ann@a.example");
    sender.good_standing = false;
    CHECK(warms_as(sender).empty());
}
