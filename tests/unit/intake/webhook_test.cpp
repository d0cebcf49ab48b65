#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "relay/intake/webhook_map.hpp"
#include "tests/catch.hpp"

using namespace postern::relay::intake;

namespace {

std::string sample(const std::string& name) {
    std::ifstream file(std::string(POSTERN_SOURCE_DIR) + "/tests/unit/intake/samples/" + name);
    REQUIRE(file.is_open());
    return {std::istreambuf_iterator<char>(file), {}};
}

WebhookCall read(WebhookFormat format, std::string_view json, const WebhookMap& map = {}) {
    auto call = read_webhook(format, map, json);
    if (!call) FAIL(call.error());
    return std::move(*call);
}

std::string told(const Word& word) {
    CHECK(word.via == Via::webhook);
    return std::string(name(word.kind)) + " " + word.rcpt + " " + word.message_id + " [" +
           word.token + "] [" + word.enhanced + "] [" + word.text + "] " + word.detail;
}

std::vector<std::string> told(const WebhookCall& call) {
    std::vector<std::string> out;
    for (const Word& word : call.words) out.push_back(told(word));
    return out;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("what services send is read") {
    struct Row {
        const char* file;
        WebhookFormat format;
        Lines words;
        std::size_t unreadable;
    };
    const std::string token = "00112233445566778899aabbccddeeff";
    const auto row = GENERATE_COPY(
        Row{"ses_bounce.json",
            WebhookFormat::ses,
            {"bounce Bob@example.org <1@example.net> [" + token +
                 "] [5.1.1] [smtp; 550 5.1.1 <Bob@Example.org>... User unknown] ",
             "bounce carol@example.org <1@example.net> [" + token + "] [] [] "},
            0},
        Row{"ses_complaint.json",
            WebhookFormat::ses,
            {"complaint bob@example.org <1@example.net> [] [] [] abuse"},
            0},
        Row{"ses_delay.json",
            WebhookFormat::ses,
            {"deferral bob@example.org <1@example.net> [] [4.4.1] [smtp; 421 4.4.1 Unable to "
             "connect] "},
            0},
        Row{"ses_delivery.json",
            WebhookFormat::ses,
            {"delivery bob@example.org <1@example.net> [] [] [250 ok: Message 64111812 accepted] "},
            0},
        Row{"ses_envelope.json",
            WebhookFormat::ses,
            {"deferral bob@example.org <1@example.net> [] [5.2.2] [smtp; 552 5.2.2 mailbox full] "},
            0},
        Row{"mailgun_failed.json",
            WebhookFormat::mailgun,
            {"bounce bob@example.org <1@example.net> [] [5.1.1] [550 5.1.1 The email account does "
             "not exist] "},
            0},
        Row{"sendgrid.json",
            WebhookFormat::sendgrid,
            {"other p@example.org <1@example.net> [] [] [] ",
             "bounce bob@example.org <1@example.net> [] [5.1.1] [550 5.1.1 no such user] ",
             "deferral carol@example.org <1@example.net> [] [5.7.1] [550 5.7.1 listed] ",
             "deferral dave@example.org <1@example.net> [] [4.0.0] [451 try again later] ",
             "bounce eve@example.org <1@example.net> [] [5.0.0] [Bounced Address] ",
             "other fred@example.org <1@example.net> [] [] [Unsubscribed Address] ",
             "delivery gus@example.org <1@example.net> [] [] [250 OK] ",
             "complaint hal@example.org <1@example.net> [] [] [] abuse"},
            2},
        Row{"postmark_bounce.json",
            WebhookFormat::postmark,
            {"bounce bob@example.org <1@example.net> [] [5.1.1] [smtp;550 5.1.1 no such user] "},
            0},
        Row{"postmark_complaint.json",
            WebhookFormat::postmark,
            {"complaint bob@example.org <1@example.net> [" + token + "] [] [] abuse"},
            0});
    CAPTURE(row.file);
    const WebhookCall call = read(row.format, sample(row.file));
    CHECK(told(call) == row.words);
    CHECK(call.unreadable == row.unreadable);
    CHECK(call.confirm_url.empty());
}

TEST_CASE("mailgun: the signature is handed on") {
    const WebhookCall call = read(WebhookFormat::mailgun, sample("mailgun_failed.json"));
    CHECK(call.signature.timestamp == "1772449200");
    CHECK(call.signature.token == "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0");
    CHECK(call.signature.signature.size() == 64);
    const WebhookCall number =
        read(WebhookFormat::mailgun,
             R"({"signature":{"timestamp":17},"event-data":{"event":"opened"}})");
    CHECK(number.signature.timestamp == "17");
    CHECK(told(number) == Lines{"other   [] [] [] "});
}

TEST_CASE("sns: who asks to be confirmed is let through only where it is Amazon") {
    const WebhookCall call = read(WebhookFormat::ses, sample("ses_confirm.json"));
    CHECK(call.words.empty());
    CHECK(call.topic == "arn:aws:sns:eu-central-1:123456789012:bounces");
    CHECK(call.confirm_url.starts_with("https://sns.eu-central-1.amazonaws.com/?Action=Confirm"));

    const auto url =
        GENERATE(as<std::string>{}, "http://sns.eu-central-1.amazonaws.com/", "https://127.0.0.1/",
                 "https://sns.evil.example/.amazonaws.com", "https://sns.x@evil.example/",
                 "https://sns.evil.example?.amazonaws.com", "https://sns.evilamazonaws.com/",
                 "https://evil.amazonaws.com/", "https://sns.a.amazonaws.com:25/", "");
    CAPTURE(url);
    const std::string json = R"({"Type":"SubscriptionConfirmation","SubscribeURL":")" + url + "\"}";
    CHECK_FALSE(read_webhook(WebhookFormat::ses, {}, json).has_value());
}

TEST_CASE("what parts one kind of event from another") {
    struct Row {
        WebhookFormat format;
        const char* json;
        const char* kind;
    };
    const auto row = GENERATE(
        Row{WebhookFormat::ses,
            R"({"eventType":"Bounce","bounce":{"bounceType":"Undetermined","bouncedRecipients":[{"emailAddress":"b@x.example"}]},"mail":{"commonHeaders":{"messageId":"<1@a>"}}})",
            "deferral"},
        Row{WebhookFormat::ses,
            R"({"eventType":"Complaint","complaint":{"complaintSubType":"OnAccountSuppressionList","complainedRecipients":[{"emailAddress":"b@x.example"}]},"mail":{"commonHeaders":{"messageId":"<1@a>"}}})",
            "other"},
        Row{WebhookFormat::ses,
            R"({"eventType":"Complaint","complaint":{"complaintFeedbackType":"not-spam","complainedRecipients":[{"emailAddress":"b@x.example"}]},"mail":{"commonHeaders":{"messageId":"<1@a>"}}})",
            "other"},
        Row{WebhookFormat::ses,
            R"({"eventType":"Reject","reject":{"reason":"Bad content"},"mail":{"destination":["b@x.example"],"commonHeaders":{"messageId":"<1@a>"}}})",
            "bounce"},
        Row{WebhookFormat::ses, R"({"eventType":"Open","mail":{}})", "other"},
        Row{WebhookFormat::mailgun,
            R"({"event-data":{"event":"failed","severity":"temporary","recipient":"b@x.example","message":{"headers":{"message-id":"1@a"}}}})",
            "deferral"},
        Row{WebhookFormat::mailgun,
            R"({"event-data":{"event":"complained","recipient":"b@x.example","message":{"headers":{"message-id":"1@a"}}}})",
            "complaint"},
        Row{WebhookFormat::postmark,
            R"({"Type":"SoftBounce","Email":"b@x.example","Metadata":{"Message-ID":"1@a"}})",
            "deferral"},
        Row{WebhookFormat::postmark,
            R"({"TypeCode":1,"Email":"b@x.example","Headers":[{"Name":"Message-Id","Value":"<1@a>"}]})",
            "bounce"},
        Row{WebhookFormat::postmark,
            R"({"RecordType":"Bounce","Type":"AutoResponder","Email":"b@x.example","Metadata":{"Message-ID":"1@a"}})",
            "other"},
        Row{WebhookFormat::postmark,
            R"({"RecordType":"Delivery","Recipient":"b@x.example","Metadata":{"Message-ID":"1@a"}})",
            "delivery"});
    CAPTURE(row.json);
    const WebhookCall call = read(row.format, row.json);
    REQUIRE(call.words.size() == 1);
    CHECK(name(call.words[0].kind) == row.kind);
}

TEST_CASE("what is no call of the service is an error") {
    struct Row {
        WebhookFormat format;
        const char* json;
    };
    const auto row = GENERATE(
        Row{WebhookFormat::ses, ""}, Row{WebhookFormat::ses, "[]"}, Row{WebhookFormat::ses, "{}"},
        Row{WebhookFormat::ses, "{\"Type\":\"Other\"}"},
        Row{WebhookFormat::ses, "{\"Type\":\"Notification\",\"Message\":{}}"},
        Row{WebhookFormat::ses, "{\"Type\":\"Notification\",\"Message\":\"{broken\"}"},
        Row{WebhookFormat::mailgun, "{\"event-data\":[]}"}, Row{WebhookFormat::mailgun, "7"},
        Row{WebhookFormat::mailgun, "{\"event-data\":{}}"}, Row{WebhookFormat::sendgrid, "{}"},
        Row{WebhookFormat::postmark, "{}"}, Row{WebhookFormat::postmark, "[{}]"},
        Row{WebhookFormat::sendgrid, "[] []"}, Row{WebhookFormat::sendgrid, "[{\"a\":1,\"a\":2}]"},
        Row{WebhookFormat::sendgrid, "[\"\xff\"]"});
    CAPTURE(row.json);
    const auto call = read_webhook(row.format, {}, row.json);
    REQUIRE_FALSE(call.has_value());
    CHECK_FALSE(call.error().empty());
}

TEST_CASE("a new topic's greeting is no error") {
    const WebhookCall call =
        read(WebhookFormat::ses, R"({"Type":"Notification","Message":"Successfully validated"})");
    CHECK(call.words.empty());
    CHECK(call.unreadable == 0);
}

TEST_CASE("webhooks are bounded") {
    const auto deep = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
    CHECK(read_webhook(WebhookFormat::sendgrid, {}, deep(24)).has_value());
    CHECK_FALSE(read_webhook(WebhookFormat::sendgrid, {}, deep(25)).has_value());
    CHECK_FALSE(
        read_webhook(WebhookFormat::sendgrid, {}, deep(max_webhook_octets / 2)).has_value());
    CHECK_FALSE(read_webhook(WebhookFormat::sendgrid, {}, std::string(max_webhook_octets, '['))
                    .has_value());
    CHECK_FALSE(
        read_webhook(WebhookFormat::sendgrid, {}, "[]" + std::string(max_webhook_octets, ' '))
            .has_value());
    // One string inside of another is read with the same bounds.
    CHECK_FALSE(read_webhook(WebhookFormat::ses, {},
                             R"({"Type":"Notification","Message":"{\"a\":)" +
                                 std::string(500000, '[') + "\"}")
                    .has_value());
    std::string many = "[";
    for (int i = 0; i < 1200; ++i) {
        many += R"({"event":"bounce","email":"b@x.example","smtp-id":"<1@a>"},)";
    }
    many.back() = ']';
    const WebhookCall call = read(WebhookFormat::sendgrid, many);
    CHECK(call.words.size() == max_webhook_words);
    CHECK(call.unreadable == 200);
}

TEST_CASE("words of webhooks are clean") {
    const WebhookCall call = read(
        WebhookFormat::sendgrid,
        R"([{"event":"bounce","email":"b@X.Example","smtp-id":"<1\u0000\r\n@a>","reason":"550 a\u0007b\r\nc\u009b"},)"
        R"({"event":"bounce","email":"a@x.example, b@x.example","smtp-id":"<1@a>"},)"
        R"({"event":"bounce","email":"b\u0000@x.example","smtp-id":"<1@a>"}])");
    CHECK(told(call) == Lines{"bounce b@x.example <1? @a> [] [5.0.0] [550 a?b c?] "});
    CHECK(call.unreadable == 2);
}

TEST_CASE("a map of pointers reads any service") {
    WebhookMap map;
    REQUIRE(set(map, "events", "/items").empty());
    REQUIRE(set(map, "kind", "/what").empty());
    REQUIRE(set(map, "rcpt", "/mail/to").empty());
    REQUIRE(set(map, "message_id", "/mail/a~1b").empty());
    REQUIRE(set(map, "token", "/mail/headers/0").empty());
    REQUIRE(set(map, "text", "/why").empty());
    REQUIRE(validate(map).empty());
    const std::string json = R"({"items":[
        {"what":"Hard_Bounce","why":"550 5.1.1 no","mail":{"to":["a@x.example","b@x.example"],
         "a/b":"1@a","headers":["report to us; ref=00112233445566778899aabbccddeeff"]}},
        {"what":"spam","mail":{"to":"c@x.example","a/b":"<2@a>"}},
        {"what":"bounce","mail":{"a/b":"<3@a>"}},
        {"what":"click"}, 7]})";
    const WebhookCall call = read(WebhookFormat::custom, json, map);
    const std::string token = "[00112233445566778899aabbccddeeff]";
    CHECK(told(call) == Lines{"bounce a@x.example <1@a> " + token + " [5.1.1] [550 5.1.1 no] ",
                              "bounce b@x.example <1@a> " + token + " [5.1.1] [550 5.1.1 no] ",
                              "complaint c@x.example <2@a> [] [] [] abuse", "other   [] [] [] ",
                              "other   [] [] [] "});
    CHECK(call.unreadable == 1);

    REQUIRE(set(map, "kinds.click", "complaint").empty());
    REQUIRE(set(map, "kinds.hard_bounce", "deferral").empty());
    const WebhookCall named = read(WebhookFormat::custom, json, map);
    REQUIRE(named.words.size() == 5);
    CHECK(named.words[0].kind == WordKind::deferral);
    CHECK(named.words[2].kind == WordKind::other);  // "spam" is not named any more.
    CHECK_FALSE(read_webhook(WebhookFormat::custom, map, R"({"item":[]})").has_value());
}

TEST_CASE("a map without a pointer to a recipient means the only one") {
    WebhookMap map;
    map.kind = "/k";
    map.message_id = "/id";
    CHECK(told(read(WebhookFormat::custom, R"({"k":"bounce","id":"1@a"})", map)) ==
          Lines{"bounce  <1@a> [] [] [] "});
}

TEST_CASE("what is wrong with a map is told by its key") {
    WebhookMap map;
    CHECK_FALSE(set(map, "recipient", "/a").empty());
    CHECK(set(map, "kinds.x", "hard").starts_with("kinds.x"));
    CHECK(validate(map).empty());
    map.token = "token";
    CHECK(validate(map).starts_with("token"));
    map.token = "/a~2";
    CHECK(validate(map).starts_with("token"));
    map.token = "/a~0~1/0";
    CHECK(validate(map).empty());
}

TEST_CASE("a configuration's map is made as a whole or not at all") {
    const auto made = make_map({{"kind", "/k"}, {"token", "/t"}, {"kinds.x", "bounce"}});
    REQUIRE(made.has_value());
    CHECK(made->kind == "/k");
    CHECK(made->kinds.size() == 1);
    const auto unknown = make_map({{"kind", "/k"}, {"token", "/t"}, {"to", "/x"}});
    REQUIRE_FALSE(unknown.has_value());
    CHECK(unknown.error().starts_with("to is none of"));
    CHECK_FALSE(make_map({{"kind", "k"}}).has_value());
}

TEST_CASE("names of formats, kinds, ways and results") {
    CHECK(webhook_format("ses") == WebhookFormat::ses);
    CHECK(webhook_format("postmark") == WebhookFormat::postmark);
    CHECK_FALSE(webhook_format("custom").has_value());
    CHECK_FALSE(webhook_format("").has_value());
    CHECK(name(WebhookFormat::sendgrid) == "sendgrid");
    CHECK(name(WordKind::deferral) == "deferral");
    CHECK(name(Via::arf) == "arf");
    CHECK(name(Taken::overloaded) == "overloaded");
}
