#include "relay/delivery/notices.hpp"

#include "tests/catch.hpp"

using namespace postern;
using relay::Notice;

namespace {

relay::config::Upstream upstream(std::string name, std::string host) {
    relay::config::Upstream out;
    out.name = std::move(name);
    out.address.host = std::move(host);
    return out;
}

/// The text of a notice that `remote` refused a recipient.
std::string notice_of(const relay::config::Config& config, const std::string& remote) {
    proto::Envelope envelope;
    envelope.mail_from = proto::Address{"ann", "example.net"};
    envelope.recipients.push_back({.address = {"bob", "example.org"}, .notify = {}, .orcpt = {}});
    const relay::NoticeSource source{.ref = "REF",
                                     .account = "ann@example.net",
                                     .customer = "",
                                     .envelope = &envelope,
                                     .pieces = {"Subject: x\r\n\r\n"},
                                     .received = {}};
    Notice notice;
    notice.reply = {.code = 550, .enhanced = "5.1.1", .text = "no", .close_after = false};
    notice.remote = remote;
    const relay::NewEntry entry =
        relay::make_notice_entry(config, source, {notice}, "ID", "boundary", {});
    std::string text;
    for (const std::string_view piece : entry.pieces) text += piece;
    return text;
}

}  // namespace

TEST_CASE("a notification names the host that said the reply, not our name for the path") {
    relay::config::Config config;
    config.server.hostname = "relay.example";
    config.server.contact = "postmaster@example.net";
    config.upstream = {upstream("primary", "smtp.provider.example"),
                       upstream("fallback", "192.0.2.1"), upstream("standby", "2001:db8::1")};
    CHECK(notice_of(config, "primary").contains("Remote-MTA: dns; smtp.provider.example\r\n"));
    CHECK(notice_of(config, "primary").contains("smtp.provider.example said: 550 5.1.1 no"));
    CHECK(notice_of(config, "fallback").contains("Remote-MTA: dns; [192.0.2.1]\r\n"));
    CHECK(notice_of(config, "standby").contains("Remote-MTA: dns; [IPv6:2001:db8::1]\r\n"));
    CHECK(notice_of(config, "gone").contains("Remote-MTA: dns; gone\r\n"));
    CHECK_FALSE(notice_of(config, "").contains("Remote-MTA"));
}
