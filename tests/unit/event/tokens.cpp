#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>

#include <sys/stat.h>
#include <nlohmann/json.hpp>

#include "proto/ref.hpp"
#include "relay/event/journal.hpp"
#include "relay/event/json.hpp"
#include "relay/event/recorder.hpp"
#include "relay/event/stream.hpp"
#include "relay/event/token_map.hpp"
#include "relay/event/trace.hpp"
#include "tests/catch.hpp"
#include "tests/unit/event/folder.hpp"

using namespace postern;
using namespace postern::relay::event;
using namespace std::chrono_literals;
using nlohmann::json;
using postern::test::Folder;
using postern::test::read_file;
using postern::test::write_file;

namespace {

using Time = std::chrono::system_clock::time_point;
const Time noon{std::chrono::milliseconds(1'772'442'900'120)};  // 2026-03-02T09:15:00.120Z
const std::string ref = proto::make_ref(1'772'442'900'000, {1, 2, 3});
const std::string token = "00112233445566778899aabbccddeeff";
const std::string other_token = "ffeeddccbbaa99887766554433221100";

Message message() {
    Message m;
    m.session = "s1";
    m.ref = ref;
    m.account = m.mail_from = "ann@example.net";
    m.customer = "shop";
    m.source = "192.0.2.7";
    m.message_id = "<m1@example.net>";
    m.token = token;
    m.rcpts = {"b@example.org", "c@example.com"};
    m.outcome = "accepted";
    return m;
}

Event event_of(Payload what, Time t = noon) {
    return {.t = t, .mono = {}, .seq = 7, .what = std::move(what)};
}

std::string token_line(Payload what, Time t = noon) {
    std::string out;
    append_token_line(out, event_of(std::move(what), t));
    return out;
}

std::string journal_line(Payload what) {
    std::string out;
    append_line(out, event_of(std::move(what)));
    return out;
}

/// Folders of a journal and a token map, with files of the given text.
struct Kept {
    Folder folder;
    Kept() {
        std::filesystem::create_directory(events());
        std::filesystem::create_directory(tokens());
    }
    [[nodiscard]] std::string events() const { return folder / "events"; }
    [[nodiscard]] std::string tokens() const { return folder / "trace"; }
    void event_file(const std::string& text) const {
        write_file(events() + "/2026-03-02.1.jsonl", text);
    }
    void token_file(const std::string& text, const std::string& date = "2026-03-02") const {
        write_file(tokens() + "/" + date + ".1.jsonl", text);
    }
    [[nodiscard]] auto traced(const std::string& by) const {
        return trace_token(events(), tokens(), by);
    }
};

}  // namespace

TEST_CASE("a token is 32 hex digits, in either case") {
    struct Row {
        std::string text;
        bool is_token;
    };
    const Row table[] = {
        {token, true},
        {"00112233445566778899AABBCCDDEEFF", true},
        {token.substr(1), false},
        {token + "0", false},
        {"", false},
        {"g0112233445566778899aabbccddeeff", false},
        {" 0112233445566778899aabbccddeeff", false},
        {ref, false},
        {"<m1@example.net>", false},
    };
    for (const Row& row : table) {
        CAPTURE(row.text);
        const auto parsed = parse_token(row.text);
        CHECK(parsed.has_value() == row.is_token);
        if (parsed) CHECK(*parsed == token);
    }
}

TEST_CASE("a line of the token map says what a report needs to know") {
    const auto line = token_line(message());
    REQUIRE(line.ends_with("}\n"));
    const auto mapped = json::parse(line);
    CHECK(mapped == json{{"t", "2026-03-02T09:15:00.120Z"},
                         {"event", "message"},
                         {"token", token},
                         {"ref", ref},
                         {"account", "ann@example.net"},
                         {"customer", "shop"},
                         {"source", "192.0.2.7"},
                         {"mail_from", "ann@example.net"},
                         {"message_id", "<m1@example.net>"},
                         {"rcpts", json::array({"b@example.org", "c@example.com"})},
                         {"outcome", "accepted"},
                         {"seq", 7}});
    auto refused = message();
    refused.token.clear();
    CHECK(token_line(refused).empty());
    CHECK(token_line(Release{.account = "ann@example.net"}).empty());
    CHECK(json::parse(journal_line(message()))["token"] == token);
    CHECK_FALSE(json::parse(journal_line(refused)).contains("token"));
}

TEST_CASE("a token leads to its message and to nobody else's") {
    const Kept kept;
    auto other = message();
    other.ref = proto::make_ref(1'772'442'900'000, {9});
    other.token = other_token;
    other.account = "eve@example.com";
    // Who knows somebody's token may write it anywhere in a mail of his own.
    other.message_id = "<" + token + "@example.com>";
    other.mail_from = token + "@example.com";
    kept.token_file(token_line(other) + "damaged " + token + "\n" + R"({"token":7})" + "\n" +
                    token_line(message()));
    kept.event_file(journal_line(other) + journal_line(message()) +
                    journal_line(Delivery{.ref = ref,
                                          .id = ref,
                                          .rcpt = "b@example.org",
                                          .upstream = "primary",
                                          .code = 250,
                                          .result = "delivered"}));
    const auto traced = kept.traced(token);
    REQUIRE(traced);
    CHECK((*traced)["ref"] == ref);
    CHECK((*traced)["account"] == "ann@example.net");
    CHECK((*traced)["token"] == token);
    CHECK((*traced)["session"] == "s1");  // As the journal has it.
    REQUIRE((*traced)["rcpts"].size() == 2);
    CHECK((*traced)["rcpts"][0]["state"] == "delivered");
    CHECK(*traced == *trace(kept.events(), ref));
    CHECK((*kept.traced(other_token))["account"] == "eve@example.com");
    CHECK_FALSE(kept.traced("01112233445566778899aabbccddeeff"));
    CHECK_FALSE(kept.traced(token.substr(0, 31)));
    CHECK_FALSE(kept.traced(ref));
    CHECK_FALSE(trace_token(kept.events(), kept.folder / "nowhere", token));
}

TEST_CASE("a token outlives the journal") {
    const Kept kept;
    kept.token_file(token_line(message()), "2026-03-02");
    kept.token_file("", "2026-05-30");
    const auto traced = kept.traced(token);
    REQUIRE(traced);
    CHECK((*traced)["account"] == "ann@example.net");
    CHECK((*traced)["customer"] == "shop");
    CHECK((*traced)["source"] == "192.0.2.7");
    CHECK((*traced)["t"] == "2026-03-02T09:15:00.120Z");
    REQUIRE((*traced)["rcpts"].size() == 2);
    CHECK((*traced)["rcpts"][1]["rcpt"] == "c@example.com");
}

TEST_CASE("a damaged line of the token map leads nowhere") {
    const Kept kept;
    for (const auto& wrong : {R"({"t":"x","event":"message","token":")" + token + "\"}\n",
                              R"({"t":"x","event":"message","ref":"","token":")" + token + "\"}\n",
                              R"({"t":"x","event":"login","ref":7,"token":")" + token + "\"}\n",
                              token_line(message()).substr(0, 80)}) {
        CAPTURE(wrong);
        kept.token_file(wrong);
        kept.event_file(journal_line(Release{.account = "ann@example.net"}));
        CHECK_FALSE(kept.traced(token));
    }
}

TEST_CASE("the recorder keeps the token map beside the journal") {
    const Folder folder;
    const auto now = std::chrono::system_clock::now();
    const auto open = [&](const std::string& name) {
        auto journal = Journal::open({.folder = folder / name}, now);
        REQUIRE(journal.has_value());
        return std::move(*journal);
    };
    Recorder recorder(open("events"), nullptr, {}, open("trace"));
    FanOut stream(1, {}, &recorder);
    stream.emit(Release{.account = "ann@example.net"});
    stream.emit(message());
    auto refused = message();
    refused.token.clear();
    refused.outcome = "refused";
    stream.emit(std::move(refused));
    REQUIRE(recorder.flush(10s));
    const auto files = journal_files(folder / "trace");
    REQUIRE(files.size() == 1);
    const auto text = read_file(files[0].path);
    CHECK(std::ranges::count(text, '\n') == 1);
    CHECK(find_token(folder / "trace", token));
    struct stat about{};
    REQUIRE(::stat(files[0].path.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0600);
    REQUIRE(::stat((folder / "trace").c_str(), &about) == 0);
    CHECK((about.st_mode & 0777U) == 0700);

    // Without room for it a line is lost and counted, and the journal goes on.
    recorder.set_tokens_keep_free(std::uint64_t{1} << 60U);
    auto late = message();
    late.token = other_token;
    stream.emit(std::move(late));
    REQUIRE(recorder.flush(10s));
    CHECK(recorder.tokens_dropped() == 1);
    CHECK(recorder.dropped() == 0);
    CHECK_FALSE(find_token(folder / "trace", other_token));
}

TEST_CASE("what is told of a recipient later stands in the map, and is no message") {
    const Kept kept;
    const auto bounced = token_line(Bounce{.ref = ref, .token = token, .rcpt = "b@example.org"});
    CHECK(json::parse(bounced) == json{{"t", "2026-03-02T09:15:00.120Z"},
                                       {"event", "bounce"},
                                       {"token", token},
                                       {"ref", ref},
                                       {"rcpt", "b@example.org"},
                                       {"seq", 7}});
    CHECK(token_line(Bounce{.ref = ref, .rcpt = "b@example.org"}).empty());
    kept.token_file(token_line(message()));
    kept.token_file(
        bounced + token_line(Complaint{.ref = ref, .token = token, .rcpt = "b@example.org"}),
        "2026-03-03");
    const auto found = find_token(kept.tokens(), token);
    REQUIRE(found);
    CHECK((*found)["event"] == "message");
}

TEST_CASE("a recipient that bounced is traced as bounced") {
    const Kept kept;
    kept.token_file(token_line(message()));
    kept.event_file(journal_line(message()) +
                    journal_line(Delivery{.ref = ref,
                                          .rcpt = "b@example.org",
                                          .upstream = "primary",
                                          .code = 250,
                                          .result = "delivered"}) +
                    journal_line(Bounce{.ref = ref,
                                        .rcpt = "b@example.org",
                                        .enhanced = "5.1.1",
                                        .text = "no such user",
                                        .upstream = "primary"}));
    const auto traced = trace_token(kept.events(), kept.tokens(), token);
    REQUIRE(traced);
    const auto& rcpts = (*traced)["rcpts"];
    REQUIRE(rcpts.size() == 2);
    CHECK(rcpts[0]["state"] == "bounced");
    CHECK(rcpts[0]["enhanced"] == "5.1.1");
    CHECK(rcpts[0]["upstream"] == "primary");
    CHECK(rcpts[1]["state"] == "accepted");
}
