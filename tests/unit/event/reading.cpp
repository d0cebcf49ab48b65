#include <vector>

#include <sys/stat.h>

#include "proto/ref.hpp"
#include "relay/event/journal_lines.hpp"
#include "relay/event/journal_reader.hpp"
#include "relay/event/json.hpp"
#include "relay/event/trace.hpp"
#include "tests/catch.hpp"
#include "tests/unit/event/folder.hpp"

using namespace postern;
using namespace postern::relay::event;
using nlohmann::json;
using postern::test::Folder;
using postern::test::write_file;

namespace {

using Time = std::chrono::system_clock::time_point;
const Time noon{std::chrono::milliseconds(1'772'442'900'120)};  // 2026-03-02T09:15:00.120Z
const std::string ref = proto::make_ref(1'772'442'900'000, {1, 2, 3});
const std::string other_ref = proto::make_ref(1'772'442'900'000, {9});

std::string line(Payload what, Time t = noon) {
    std::string out;
    append_line(out, Event{.t = t, .mono = {}, .seq = 1, .what = std::move(what)});
    return out;
}

Message message() {
    Message m;
    m.session = "s1";
    m.ref = ref;
    m.account = m.mail_from = "ann@example.net";
    m.customer = "shop";
    m.source = "192.0.2.7";
    m.message_id = "<m1@example.net>";
    m.rcpts = {"b@example.org", "c@example.com"};
    m.outcome = "accepted";
    return m;
}

/// A journal of given files.
struct Kept {
    Folder folder;
    Kept() { (void)::mkdir((folder / "events").c_str(), 0700); }
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;
    void file(const std::string& name, const std::string& text) const {
        write_file(folder / "events/" + name, text);
    }
    [[nodiscard]] std::string path() const { return folder / "events"; }
    [[nodiscard]] std::vector<std::string> read(const EventQuery& query) const {
        std::vector<std::string> out;
        const auto result = read_events(path(), query, [&](std::string_view l) {
            out.emplace_back(l);
            return true;
        });
        REQUIRE(result.has_value());
        return out;
    }
};

json rcpt_of(const json& traced, const std::string& rcpt) {
    for (const auto& r : traced["rcpts"]) {
        if (r["rcpt"] == rcpt) return r;
    }
    return {};
}

Delivery delivery(const std::string& rcpt, const std::string& result, int code,
                  const std::string& enhanced) {
    Delivery d;
    d.ref = d.id = ref;
    d.rcpt = rcpt;
    d.upstream = "primary";
    d.result = result;
    d.code = code;
    d.enhanced = enhanced;
    return d;
}

}  // namespace

TEST_CASE("lines are selected by their fields, ANDed, repeated ones ORed") {
    const auto m = *parse_journal_line(line(message()));
    CHECK(matches({}, m));
    CHECK(matches({.accounts = {"ann@example.net"}, .events = {"message"}}, m));
    CHECK(matches({.accounts = {"ANN@Example.Net"}}, m));
    CHECK(matches({.accounts = {"bob@example.net", "ann@example.net"}}, m));
    CHECK(matches({.accounts = {"@example.net"}}, m));
    CHECK_FALSE(matches({.accounts = {"@ample.net"}}, m));
    CHECK_FALSE(matches({.accounts = {"ann@example.net"}, .events = {"login"}}, m));
    CHECK(matches({.rcpts = {"c@example.com"}}, m));
    CHECK(matches({.rcpts = {"@example.org"}}, m));
    CHECK_FALSE(matches({.rcpts = {"d@example.org"}}, m));
    CHECK(matches(
        {.customers = {"shop"}, .sources = {"192.0.2.7"}, .mail_from = {"ann@example.net"}}, m));
    CHECK(matches({.sources = {"192.0.2.0/24"}}, m));
    CHECK_FALSE(matches({.sources = {"192.0.3.0/24"}}, m));
    CHECK_FALSE(matches({.sources = {"2001:db8::/32"}}, m));
    CHECK_FALSE(matches({.upstreams = {"primary"}}, m));
    CHECK(matches({.refs = {ref}}, m));
    CHECK(matches({.since = noon, .until = noon}, m));
    CHECK_FALSE(matches({.since = noon + std::chrono::milliseconds(1)}, m));
    CHECK_FALSE(matches({.until = noon - std::chrono::milliseconds(1)}, m));
}

TEST_CASE("an IPv6 source is found by an address in it and by a network around it") {
    const json m = {
        {"t", "2026-03-02T12:00:00.000Z"}, {"event", "login"}, {"source", "2001:db8:0:1::/64"}};
    CHECK(matches({.sources = {"2001:db8:0:1::/64"}}, m));
    CHECK(matches({.sources = {"2001:db8:0:1::7"}}, m));
    CHECK(matches({.sources = {"2001:db8::/32"}}, m));
    CHECK_FALSE(matches({.sources = {"2001:db8:0:2::7"}}, m));
    CHECK_FALSE(matches({.sources = {"192.0.2.7"}}, m));
}

TEST_CASE("alerts and deeds of operators are found by whom they are about") {
    const json alert = {
        {"t", "2026-03-02T12:00:00.000Z"}, {"event", "alert"}, {"subject", "ann@example.net"}};
    CHECK(matches({.accounts = {"ann@example.net"}}, alert));
    CHECK_FALSE(matches({.accounts = {"bob@example.net"}}, alert));
    const json spray = {
        {"t", "2026-03-02T12:00:00.000Z"}, {"event", "alert"}, {"subject", "192.0.2.0/24"}};
    CHECK(matches({.sources = {"192.0.0.0/16"}}, spray));
    CHECK_FALSE(matches({.sources = {"192.0.2.7"}}, spray));
}

TEST_CASE("damaged lines are passed over and counted") {
    const Kept kept;
    kept.file("2026-03-02.1.jsonl", line(message()) + "{\"t\":\"2026\n" + "not json\n" + "[1,2]\n" +
                                        "{\"event\":\"x\"}\n" + std::string("\0\xff\n", 3) +
                                        line(Release{.account = "x"}) + "{\"torn\":");
    std::size_t lines = 0;
    const auto read = read_events(kept.path(), {}, [&](std::string_view) {
        ++lines;
        return true;
    });
    REQUIRE(read.has_value());
    CHECK(lines == 2);
    CHECK(read->lines == 2);
    CHECK(read->damaged == 6);
}

TEST_CASE("a line of any depth or length is met without harm") {
    CHECK_FALSE(parse_journal_line(std::string(100'000, '[')));
    std::string deep = R"({"t":"x","event":"y","z":)";
    for (int i = 0; i < 50'000; ++i) deep += R"({"a":)";
    CHECK_FALSE(parse_journal_line(deep));
    const Folder folder;
    write_file(folder / "long", std::string(longest_line + 1'000'000, 'x') + "\nshort\n");
    std::vector<std::string> got;
    const auto read = read_lines(folder / "long", {}, [&](std::string_view l) {
        got.emplace_back(l);
        return true;
    });
    REQUIRE(read.has_value());
    CHECK(got == std::vector<std::string>{"short"});
    CHECK(read->damaged == 1);
}

TEST_CASE("lines are whole however they lie in the file's blocks") {
    const Folder folder;
    std::string text;
    std::size_t expected = 0;
    for (std::size_t n = 1; text.size() < 1'000'000; n = n * 17 % 4'099 + 1, ++expected)
        text += std::string(n, 'x') + "\n";
    write_file(folder / "f", text);
    std::string back;
    const auto read = read_lines(folder / "f", {}, [&](std::string_view l) {
        back.append(l);
        back += '\n';
        return true;
    });
    REQUIRE(read.has_value());
    CHECK(back == text);
    CHECK_FALSE(read_lines(folder / "none", {}, [](std::string_view) { return true; }).has_value());
}

TEST_CASE("the latest so many come in their order, from as few files as it takes") {
    const Kept kept;
    const auto numbered = [](int from, int to, Time t) {
        std::string out;
        for (int i = from; i < to; ++i) out += line(Release{.account = std::to_string(i)}, t);
        return out;
    };
    kept.file("2026-03-01.1.jsonl", numbered(0, 5, noon - std::chrono::days(1)));
    kept.file("2026-03-02.1.jsonl", numbered(5, 8, noon));
    kept.file("2026-03-02.2.jsonl", numbered(8, 10, noon));
    const auto accounts = [&](const EventQuery& query) {
        std::string out;
        for (const auto& l : kept.read(query)) out += json::parse(l)["account"].get<std::string>();
        return out;
    };
    CHECK(accounts({}) == "0123456789");
    CHECK(accounts({.limit = 1}) == "9");
    CHECK(accounts({.limit = 4}) == "6789");
    CHECK(accounts({.limit = 7}) == "3456789");
    CHECK(accounts({.limit = 100}) == "0123456789");
    CHECK(accounts({.since = noon - std::chrono::hours(1)}) == "56789");
    CHECK(accounts({.until = noon - std::chrono::hours(1)}) == "01234");
    std::size_t n = 0;
    REQUIRE(read_events(kept.path(), {}, [&](std::string_view) { return ++n < 3; }).has_value());
    CHECK(n == 3);
    CHECK(read_events(kept.folder / "nowhere", {}, [](std::string_view) { return true; })->lines ==
          0);
}

TEST_CASE("a trace tells what became of each recipient") {
    const Kept kept;
    auto other = message();
    other.ref = other_ref;
    other.message_id = "<m2@example.net>";
    Delivery of_dsn = delivery("ann@example.net", "refused", 550, "5.1.1");
    of_dsn.id = other_ref;  // a DSN that tells of the message has a fate of its own
    kept.file("2026-03-02.1.jsonl",
              line(message()) + line(other) +
                  line(delivery("b@example.org", "delivered", 250, "2.0.0")) +
                  line(delivery("c@example.com", "deferred", 450, "4.2.0")) +
                  line(Queued{.ref = ref, .id = ref, .state = "deferred", .rcpts = 1}) +
                  line(Answered{.ref = ref, .outcome = "accepted", .code = 250, .queued = true}) +
                  line(of_dsn));
    for (const auto& id : {ref, std::string("<m1@example.net>"), std::string("m1@example.net")}) {
        const auto traced = trace(kept.path(), id);
        REQUIRE(traced);
        CHECK((*traced)["ref"] == ref);
        CHECK((*traced)["account"] == "ann@example.net");
        CHECK((*traced)["message_id"] == "<m1@example.net>");
        CHECK((*traced)["token"].is_null());
        CHECK((*traced)["queued"] == true);
        REQUIRE((*traced)["rcpts"].size() == 2);
        const auto b = rcpt_of(*traced, "b@example.org");
        CHECK(b["state"] == "delivered");
        CHECK(b["upstream"] == "primary");
        CHECK(b["code"] == 250);
        CHECK(b["enhanced"] == "2.0.0");
        CHECK(b["t"] == "2026-03-02T09:15:00.120Z");
        CHECK(rcpt_of(*traced, "c@example.com")["state"] == "queued");
        CHECK(rcpt_of(*traced, "c@example.com")["code"] == 450);
    }
    kept.file("2026-03-06.1.jsonl",
              line(Settled{.ref = ref, .id = ref, .rcpt = "c@example.com", .how = "expired"},
                   noon + std::chrono::days(4)));
    CHECK(rcpt_of(*trace(kept.path(), ref), "c@example.com")["state"] == "expired");
    CHECK_FALSE(trace(kept.path(), proto::make_ref(1, {})));
    CHECK_FALSE(trace(kept.path(), "<none@example.net>"));
    CHECK_FALSE(trace(kept.path(), ""));
    CHECK_FALSE(trace(kept.folder / "nowhere", ref));
}

TEST_CASE("a trace of what was refused says by what") {
    TraceFold at_mail(ref);
    Attempt attempt;
    attempt.ref = ref;
    attempt.account = "ann@example.net";
    attempt.mail_from = "eve@example.org";
    attempt.command = "MAIL";
    attempt.rule = "sender_ownership";
    attempt.code = 550;
    attempt.enhanced = "5.7.1";
    at_mail.add(json::parse(line(attempt)));
    const auto traced = at_mail.result();
    REQUIRE(traced);
    CHECK((*traced)["rule"] == "sender_ownership");
    CHECK((*traced)["rcpts"].empty());
    CHECK((*traced)["queued"] == false);
    CHECK((*traced)["message_id"].is_null());

    TraceFold at_data(ref);
    attempt.rcpt = "x@example.org";
    attempt.command = "RCPT";
    at_data.add(json::parse(line(attempt)));
    auto refused = message();
    refused.outcome = "refused";
    refused.code = 552;
    refused.enhanced = "5.3.4";
    at_data.add(json::parse(line(refused)));
    CHECK((*at_data.result())["event"] == "message");
    CHECK(rcpt_of(*at_data.result(), "x@example.org")["state"] == "refused");
    CHECK(rcpt_of(*at_data.result(), "b@example.org")["state"] == "refused");
    CHECK(rcpt_of(*at_data.result(), "b@example.org")["code"] == 552);

    TraceFold upstream(ref);
    upstream.add(json::parse(line(message())));
    upstream.add(json::parse(line(Answered{.ref = ref, .outcome = "refused", .code = 554})));
    CHECK(rcpt_of(*upstream.result(), "c@example.com")["state"] == "refused");
    CHECK_FALSE(TraceFold(ref).result());
}

TEST_CASE("a trace takes events of odd types without harm") {
    TraceFold fold(ref);
    for (const auto* text :
         {R"({"ref":7})", R"({"event":"message"})", R"({"event":5,"ref":"R"})",
          R"({"event":"message","ref":"R","rcpts":[1,null]})",
          R"({"event":"delivery","ref":"R","rcpt":{},"code":"x"})",
          R"({"event":"answered","ref":"R","queued":"yes"})",
          R"({"event":"delivery","ref":"R","rcpt":"a","code":99999999999999999999,"result":[]})"}) {
        std::string with_ref = text;
        if (const auto at = with_ref.find("\"R\""); at != std::string::npos)
            with_ref.replace(at, 3, '"' + ref + '"');
        fold.add(json::parse(with_ref));
    }
    REQUIRE(fold.result());
}

TEST_CASE("a refused message hides no accepted one of the same Message-ID") {
    const Kept kept;
    auto refused = message();
    refused.ref = other_ref;
    refused.outcome = "refused";
    kept.file("2026-03-02.1.jsonl", line(message()));
    kept.file("2026-03-03.1.jsonl", line(refused, noon + std::chrono::days(1)));
    CHECK((*trace(kept.path(), "<m1@example.net>"))["ref"] == ref);
    const Kept alone;
    alone.file("2026-03-03.1.jsonl", line(refused, noon + std::chrono::days(1)));
    CHECK((*trace(alone.path(), "<m1@example.net>"))["ref"] == other_ref);
}

TEST_CASE("a trace lists so many refused recipients and counts the others") {
    TraceFold fold(ref);
    Attempt attempt;
    attempt.ref = ref;
    attempt.command = "RCPT";
    attempt.code = 451;
    for (int i = 0; i < 1100; ++i) {
        attempt.rcpt = std::to_string(i) + "@example.org";
        fold.add(json::parse(line(attempt)));
    }
    const auto traced = fold.result();
    REQUIRE(traced);
    CHECK((*traced)["rcpts"].size() == 1000);
    CHECK((*traced)["refused_more"] == 100);
    // One that is listed is not counted again.
    attempt.rcpt = "7@example.org";
    fold.add(json::parse(line(attempt)));
    CHECK((*fold.result())["refused_more"] == 100);
}
