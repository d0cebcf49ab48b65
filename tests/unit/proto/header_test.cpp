#include "proto/header.hpp"

#include "tests/catch.hpp"

using namespace postern::proto;

namespace {

HeaderFacts scan(std::string_view text, std::size_t cut) {
    HeaderScanner scanner("smtp.example.net");
    for (std::size_t i = 0; i < text.size(); i += cut) scanner.feed(text.substr(i, cut));
    scanner.finish();
    return scanner.facts();
}

bool same(const HeaderFacts& a, const HeaderFacts& b) {
    return a.from_fields == b.from_fields && a.from_parsed == b.from_parsed && a.from == b.from &&
           a.sender == b.sender && a.has_date == b.has_date && a.message_id == b.message_id &&
           a.subject == b.subject && a.reply_to == b.reply_to &&
           a.list_unsubscribe == b.list_unsubscribe && a.received_fields == b.received_fields &&
           a.loop == b.loop && a.shape == b.shape && a.removals == b.removals &&
           a.header_bytes == b.header_bytes && a.overlong_line == b.overlong_line;
}

/// Scans whole; fails where a cut gives anything else.
HeaderFacts scan(std::string_view text) {
    const auto whole = scan(text, std::max<std::size_t>(text.size(), 1));
    const std::size_t step = text.size() > 2000 ? 997 : 1;
    for (std::size_t cut = 1; cut < text.size(); cut += step) {
        CAPTURE(text.substr(0, 200), cut);
        REQUIRE(same(scan(text, cut), whole));
    }
    return whole;
}

std::string without(std::string_view text, const HeaderFacts& facts) {
    std::string out;
    std::uint64_t at = 0;
    for (const auto& range : facts.removals) {
        REQUIRE(range.offset >= at);
        out += text.substr(at, range.offset - at);
        at = range.offset + range.length;
    }
    REQUIRE(at <= text.size());
    return out += text.substr(at);
}

std::string names(const std::vector<Address>& list) {
    std::string out;
    for (const auto& a : list) {
        if (!out.empty()) out += ' ';
        out += a.text();
    }
    return out;
}

}  // namespace

TEST_CASE("header: what the relay must know of an ordinary message") {
    const std::string text =
        "Received: from other.example by mx.example; Mon, 2 Mar 2026 09:15:00 +0000\r\n"
        "From: \"Ann, of Shop\" <ann@shop.example>,\r\n\tBob <bob@shop.example>\r\n"
        "sender: ann@shop.example\r\n"
        "REPLY-TO: Help <help@shop.example>\r\n"
        "To: c@example.org\r\n"
        "Subject: a long\r\n  story\r\n"
        "Date: Mon, 2 Mar 2026 09:15:00 +0000\r\n"
        "Message-ID:\r\n <1234@shop.example>\r\n"
        "List-Unsubscribe: <https://shop.example/u>\r\n"
        "\r\n"
        "From: not@header.example\r\nBcc: x@y.example\r\n";
    const auto f = scan(text);
    CHECK(f.from_fields == 1);
    CHECK(f.from_parsed);
    CHECK(names(f.from) == "ann@shop.example bob@shop.example");
    CHECK(names(f.sender) == "ann@shop.example");
    CHECK(names(f.reply_to) == "help@shop.example");
    CHECK(f.has_date);
    CHECK(f.message_id == "<1234@shop.example>");
    CHECK(f.subject == "a long  story");
    CHECK(f.list_unsubscribe);
    CHECK(f.received_fields == 1);
    CHECK_FALSE(f.loop);
    CHECK(f.shape == "received,from,sender,reply-to,to,subject,date,message-id,list-unsubscribe");
    CHECK(f.removals.empty());
    CHECK(f.header_bytes == text.find("\r\n\r\n") + 4);
    CHECK_FALSE(f.overlong_line);
}

TEST_CASE("header: Bcc and its like go whole, with folded lines, wherever they stand") {
    struct Row {
        std::string text;
        std::string rest;
    };
    const auto row = GENERATE(
        Row{"Bcc: a@b.example\r\nFrom: x@y.example\r\n\r\nz", "From: x@y.example\r\n\r\nz"},
        Row{"From: x@y.example\r\nBCC: a@b.example,\r\n\tc@d.example,\r\n e@f.example\r\n\r\nz",
            "From: x@y.example\r\n\r\nz"},
        Row{"From: x@y.example\r\nbcc : a@b.example\r\nSubject: s\r\n\r\n",
            "From: x@y.example\r\nSubject: s\r\n\r\n"},
        Row{"From: x@y.example\r\nBcc:\r\n\r\n", "From: x@y.example\r\n\r\n"},
        Row{"From: x@y.example\r\nBcc: last", "From: x@y.example\r\n"},
        Row{"From: x@y.example\r\nBcc: last\r\n \r\n\r\nBcc: body\r\n",
            "From: x@y.example\r\n\r\nBcc: body\r\n"},
        Row{"Resent-Bcc: a\r\nReturn-Path: <a>\r\nX-Abuse: b\r\nFeedback-ID: c\r\nFrom: "
            "x@y.example\r\n\r\n",
            "From: x@y.example\r\n\r\n"},
        Row{"From: x@y.example\r\nMessage-ID: \r\nBcc: a\r\nTo: b\r\n\r\n",
            "From: x@y.example\r\nTo: b\r\n\r\n"},
        Row{"From: x@y.example\r\nXBcc: a\r\nBcc-: a\r\nBccc: a\r\n\r\n",
            "From: x@y.example\r\nXBcc: a\r\nBcc-: a\r\nBccc: a\r\n\r\n"},
        Row{"From: x@y.example\r\nno field here\r\nBcc: a\r\n\r\n",
            "From: x@y.example\r\nno field here\r\n\r\n"});
    CAPTURE(row.text);
    CHECK(without(row.text, scan(row.text)) == row.rest);
}

TEST_CASE("header: neighbours are one removal, and removals are bounded") {
    const std::string joined = "From: x@y.example\r\nBcc: a\r\nX-Abuse: b\r\n\r\n";
    CHECK(scan(joined).removals ==
          std::vector<HeaderFacts::Range>{{.offset = 19, .length = 8 + 12}});
    std::string many = "From: x@y.example\r\n";
    for (int i = 0; i < 1001; ++i) many += "Bcc:a\r\nA:b\r\n";
    const auto f = scan(many + "\r\n");
    CHECK(f.removals.size() == 1000);
    CHECK(f.overlong_line);
}

TEST_CASE("header: where it ends") {
    CHECK(scan("").header_bytes == 0);
    CHECK(scan("\r\n").header_bytes == 2);
    CHECK(scan("\r\nbody").header_bytes == 2);
    CHECK(scan("A: b\r\n").header_bytes == 6);
    CHECK(scan("A: b").header_bytes == 4);
    CHECK(scan("A: b\r\n\r\n").header_bytes == 8);
    CHECK(scan("A: b\r\n\r\nbody\r\n\r\n").header_bytes == 8);
    CHECK(scan("A: b\r\n\r").header_bytes == 7);
    // Content that starts with no field is a body.
    for (const auto* text :
         {"just text\r\nFrom: a@b.example\r\n\r\n", " From: a@b.example\r\n\r\n", ": x\r\n\r\n",
          "From ann@shop.example Mon Mar  2\r\nFrom: a@b.example\r\n\r\n",
          "gr\xc3\xbc\xc3\x9f: x\r\n\r\n", "text", "\rFrom: a@b.example\r\n\r\n",
          "From\r\n: a@b.example\r\n\r\n"}) {
        CAPTURE(text);
        const auto f = scan(text);
        CHECK(f.header_bytes == 0);
        CHECK(f.from_fields == 0);
        CHECK(f.shape.empty());
    }
}

TEST_CASE("header: no From is overseen") {
    CHECK(scan("From: a@b.example\r\nfrom : c@d.example\r\n\r\n").from_fields == 2);
    CHECK(scan("From: a@b.example\r\ngarbage\r\nFrom: c@d.example\r\n\r\n").from_fields == 2);
    CHECK(
        scan("From: a@b.example\r\n\rFrom: c@d.example\r\nFrom: e@f.example\r\n\r\n").from_fields ==
        2);
    CHECK(scan("A: b\r\n \r\nFrom: c@d.example\r\n\r\n").from_fields == 1);
    const auto two =
        scan("From: a@b.example\r\nSender: a@b.example\r\nSender: c@d.example\r\n\r\n");
    CHECK(names(two.sender) == "a@b.example c@d.example");
    CHECK(two.from_parsed);
}

TEST_CASE("header: a line that looks like a field and is none is told") {
    const auto disguised = [](const std::string& lines) {
        HeaderScanner scanner("mx.example.net");
        scanner.feed("From: ann@example.net\r\n" + lines + "\r\n\r\nbody\r\n");
        scanner.finish();
        return scanner.facts().disguised_field;
    };
    CHECK(disguised("From\v: victim@bank.example"));
    CHECK(disguised("Sender\r\n : victim@bank.example"));
    CHECK(disguised("bcc"));
    CHECK_FALSE(disguised("From : ann@example.net"));
    CHECK_FALSE(disguised("X-Other\v: x"));
    CHECK_FALSE(disguised("some garbage"));
}

TEST_CASE("header: a section without end is refused") {
    HeaderScanner scanner("mx.example.net");
    for (int i = 0; i < 20'000; ++i) scanner.feed("X-Filler: " + std::string(60, 'x') + "\r\n");
    scanner.finish();
    CHECK(scanner.facts().overlong_line);
}

TEST_CASE("header: From and Sender that name nobody clearly are told") {
    for (const auto* field :
         {"From:", "From: ", "From: Ann", "From: <>", "From: ann", "From: undisclosed:;",
          "From: a@b.example c", "From: a@b.example\r\nSender: nobody",
          "From: a@b.example\r\nSender:", "From: a@b.example <c@d.example", "From: (a@b.example"}) {
        CAPTURE(field);
        CHECK_FALSE(scan(std::string(field) + "\r\n\r\n").from_parsed);
    }
    std::string many = "From: a@b.example";
    for (int i = 0; i < 100; ++i) many += ", a@b.example";
    CHECK_FALSE(scan(many + "\r\n\r\n").from_parsed);
    // What Reply-To says decides nothing.
    CHECK(scan("From: a@b.example\r\nReply-To: nonsense\r\n\r\n").from_parsed);
}

TEST_CASE("header: Received fields are counted and our own are known again") {
    const auto loop = [](const std::string& received) {
        return scan(received + "\r\nFrom: a@b.example\r\n\r\n").loop;
    };
    AddedFields added;
    added.hostname = "smtp.example.net";
    added.ref = "01ARYZ6S410000000000000000";
    CHECK(loop(added_fields(added) + "A: b"));
    added.client_ip = "2001:db8::1";
    CHECK(loop(added_fields(added) + "A: b"));
    CHECK(loop("received: FROM SMTP.example.NET\r\n BY smtp.example.net with ESMTPSA"));
    CHECK_FALSE(loop("Received: from smtp.example.net by mx.example.org with ESMTP"));
    CHECK_FALSE(loop("Received: from mx.example.org by smtp.example.net with ESMTP"));
    CHECK_FALSE(loop("Received: from smtp.example.net.evil by smtp.example.net"));
    CHECK_FALSE(loop("X-Received: from smtp.example.net by smtp.example.net with ESMTP"));
    std::string many;
    for (int i = 0; i < 101; ++i) many += "Received: from a by b\r\n";
    CHECK(scan(many + "\r\n").received_fields == 101);
}

TEST_CASE("header: Message-ID") {
    const auto id = [](const std::string& body) {
        return scan("Message-ID:" + body + "\r\n\r\n").message_id;
    };
    CHECK(id(" <a@b>") == "<a@b>");
    CHECK(id(" (comment) <a@b> tail") == "<a@b>");
    CHECK(id("no-brackets@b") == "no-brackets@b");
    CHECK(id("") == "");
    CHECK(id(" \r\n\t") == "");
    CHECK(id(" <a\x01@b>") == "<a?@b>");
    CHECK(id(" <" + std::string(5000, 'x') + "@b>").size() <= 998);
}

TEST_CASE("header: bounds") {
    const std::string big(70000, 'x');
    CHECK(scan("X: " + big + "\r\n\r\n").overlong_line);
    CHECK(scan(big + ": x\r\n\r\n").overlong_line);
    const auto from = scan("From: " + big + " <a@b.example>\r\n\r\n");
    CHECK(from.overlong_line);
    CHECK_FALSE(from.from_parsed);
    CHECK_FALSE(scan("X: " + big.substr(0, 65000) + "\r\n\r\n").overlong_line);
    std::string folded = "X:";
    for (int i = 0; i < 1000; ++i) folded += "\r\n " + big.substr(0, 70);
    CHECK(scan(folded + "\r\n\r\n").overlong_line);
    CHECK(scan("Subject: " + big.substr(0, 5000) + "\r\n\r\n").subject.size() == 998);
    std::string fields;
    for (int i = 0; i < 200; ++i) fields += "X-Field" + std::to_string(i) + ": y\r\n";
    const auto f = scan(fields + "\r\n");
    CHECK(f.shape.size() <= 512);
    CHECK(f.shape.starts_with("x-field0,x-field1,"));
}

TEST_CASE("header: the fields put on top") {
    AddedFields what;
    what.hostname = "smtp.example.net";
    what.ref = "01ARYZ6S410000000000000000";
    what.unix_seconds = 1772442900;
    CHECK(added_fields(what) ==
          "Received: from smtp.example.net by smtp.example.net with ESMTPSA\r\n"
          " id 01ARYZ6S410000000000000000; Mon, 02 Mar 2026 09:15:00 +0000\r\n");
    what.smtputf8 = true;
    what.date = true;
    what.message_id = true;
    what.client_ip = "192.0.2.7";
    CHECK(added_fields(what) ==
          "Received: from smtp.example.net ([192.0.2.7]) by smtp.example.net\r\n"
          " with UTF8SMTPSA id 01ARYZ6S410000000000000000;\r\n"
          " Mon, 02 Mar 2026 09:15:00 +0000\r\n"
          "Date: Mon, 02 Mar 2026 09:15:00 +0000\r\n"
          "Message-ID: <01ARYZ6S410000000000000000@smtp.example.net>\r\n");
    what.client_ip = "2001:db8::1";
    CHECK(added_fields(what).find("([IPv6:2001:db8::1])") != std::string::npos);
    what.hostname = std::string(60, 'h') + ".example.net";
    const auto folded = added_fields(what);
    CHECK(folded.starts_with("Received:\r\n from " + what.hostname + "\r\n"));
    CHECK(scan(folded + "\r\n").message_id.ends_with(".example.net>"));
}

TEST_CASE("header: whom abuse is reported to, and by which token") {
    const std::string token = "0123456789abcdef0123456789abcdef";
    struct Row {
        const char* contact;
        std::string token, pseudonym, added;  ///< `added`: behind all else.
    };
    const Row table[] = {
        {"abuse@example.net", token, "00112233aabbccdd",
         "X-Abuse: report to abuse@example.net; ref=" + token +
             "\r\nFeedback-ID: 00112233aabbccdd:::smtp.example.net\r\n"},
        {"postmaster@example.net", token, "",
         "X-Abuse: report to postmaster@example.net;\r\n ref=" + token + "\r\n"},
        {"abuse@example.net", "", "1", "Feedback-ID: 1:::smtp.example.net\r\n"},
        {"abuse@example.net", "", "", ""},
    };
    for (const Row& row : table) {
        AddedFields what;
        what.hostname = "smtp.example.net";
        what.ref = "01ARYZ6S410000000000000000";
        what.unix_seconds = 1772442900;
        what.date = true;
        what.message_id = true;
        const auto before = added_fields(what);
        what.abuse_contact = row.contact;
        what.token = row.token;
        what.pseudonym = row.pseudonym;
        CHECK(added_fields(what) == before + row.added);
        // The next relay of this kind takes them out and puts its own in their place.
        const std::string text = added_fields(what) + "From: a@b.example\r\n\r\n";
        CHECK(without(text, scan(text)) == before + "From: a@b.example\r\n\r\n");
    }
}

TEST_CASE("header: the word behind `with` says what the client did") {
    const auto with = [](bool ehlo, bool tls, bool auth, bool smtputf8) {
        AddedFields what;
        what.hostname = "a.example";
        what.ref = "1";
        what.ehlo = ehlo;
        what.tls = tls;
        what.auth = auth;
        what.smtputf8 = smtputf8;
        const std::string field = added_fields(what);
        const auto begin = field.find("with ") + 5;
        return field.substr(begin, field.find_first_of(" \r", begin) - begin);
    };
    CHECK(with(true, true, true, false) == "ESMTPSA");
    CHECK(with(true, true, false, false) == "ESMTPS");
    CHECK(with(true, false, false, false) == "ESMTP");
    CHECK(with(true, false, false, true) == "UTF8SMTP");
    CHECK(with(true, true, false, true) == "UTF8SMTPS");
    CHECK(with(false, true, false, false) == "SMTP");
}

TEST_CASE("header: dates") {
    CHECK(rfc5322_date(0) == "Thu, 01 Jan 1970 00:00:00 +0000");
    CHECK(rfc5322_date(951782399) == "Mon, 28 Feb 2000 23:59:59 +0000");
    CHECK(rfc5322_date(951782400) == "Tue, 29 Feb 2000 00:00:00 +0000");
    CHECK(rfc5322_date(-1) == "Thu, 01 Jan 1970 00:00:00 +0000");
    CHECK(rfc5322_date(std::int64_t{1} << 62U) == "Fri, 31 Dec 9999 23:59:59 +0000");
}
