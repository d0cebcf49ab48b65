#include "fixture.hpp"
#include "proto/base64.hpp"
#include "relay/admin/json.hpp"

using namespace postern;
using test::Fixture;

namespace {

const std::string one = "01J00000000000000000000001";
const std::string two = "01J00000000000000000000002";
const std::string three = "01J00000000000000000000003";

struct Queue : Fixture {
    Queue() {
        spool.add(one, "ann@example.net");
        spool.add(two, "bob@example.net");
        spool.add(three, "ann@example.net", relay::EntryState::active);
    }
};

}  // namespace

TEST_CASE("the queue is listed with the documented fields, in pages") {
    const Queue q;
    const auto all = q.call("GET", "/api/v1/queue");
    REQUIRE(all.json["items"].size() == 3);
    CHECK(all.json["next"].is_null());
    const auto& e = all.json["items"][0];
    for (const char* field :
         {"id", "ref", "state", "account", "customer", "mail_from", "rcpts", "bytes", "created",
          "attempts", "next_attempt", "upstream", "rerouted", "source", "last_reply", "reason"}) {
        CAPTURE(field);
        CHECK(e.contains(field));
    }
    CHECK(e["created"] == "2023-11-14T22:13:20.000Z");
    CHECK(all.json["items"][2]["next_attempt"].is_null());
    const auto page = q.call("GET", "/api/v1/queue?limit=2");
    CHECK(page.json["next"] == two);
    CHECK(q.call("GET", "/api/v1/queue?limit=2&cursor=" + two).json["items"].size() == 1);
    CHECK(q.call("GET", "/api/v1/queue?account=ann@example.net&state=deferred")
              .json["items"]
              .size() == 1);
    CHECK(q.call("GET", "/api/v1/queue?until=2020-01-01T00:00:00Z").json["items"].empty());
    CHECK(q.call("GET", "/api/v1/queue?since=1h").json["items"].empty());
}

TEST_CASE("wrong selectors are errors, for a selector passed over selects too much") {
    const Queue q;
    for (const char* target :
         {"/api/v1/queue?acount=x", "/api/v1/queue?state=odd", "/api/v1/queue?since=yesterday",
          "/api/v1/queue?source=nowhere", "/api/v1/queue?cursor=x", "/api/v1/queue?limit=x"}) {
        CAPTURE(target);
        CHECK(q.call("GET", target).status == 400);
    }
    CHECK(q.call("POST", "/api/v1/queue/drop", R"({"acount":"x"})").status == 400);
    CHECK(q.call("POST", "/api/v1/queue/drop", R"({"account":{"x":1}})").status == 400);
    CHECK(q.call("POST", "/api/v1/queue/drop", "{}").status == 400);
    CHECK(q.call("POST", "/api/v1/queue/drop", "").status == 400);
    CHECK(q.spool.entries.size() == 3);
}

TEST_CASE("one entry is shown, also as a person types its reference") {
    const Queue q;
    CHECK(q.call("GET", "/api/v1/queue/" + one).json["id"] == one);
    CHECK(q.call("GET", "/api/v1/queue/oij00000000000000000000001").json["id"] == one);
    CHECK(q.call("GET", "/api/v1/queue/none").status == 404);
}

TEST_CASE("entries are retried by selectors and by id") {
    const Queue q;
    const auto by_account =
        q.call("POST", "/api/v1/queue/retry", R"({"account":"ann@example.net"})");
    CHECK(by_account.json == nlohmann::json{{"matched", 2},
                                            {"changed", 1},
                                            {"failed", 1},
                                            {"failures", {{{"id", three}, {"why", "busy"}}}}});
    CHECK(q.call("POST", "/api/v1/queue/" + two + "/retry").json["changed"] == 1);
    CHECK(q.call("POST", "/api/v1/queue/none/retry").status == 404);
    CHECK(q.call("POST", "/api/v1/queue/retry", R"({"all":true,"limit":1})").json["matched"] == 1);
    CHECK(q.call("GET", "/api/v1/queue/retry").status == 405);
    CHECK(q.events.of<relay::event::Admin>().size() == 3);
}

TEST_CASE("what is dropped is told by recipient") {
    Queue q;
    const auto dropped = q.call("POST", "/api/v1/queue/drop", R"({"id":[")" + one + R"("]})");
    CHECK(dropped.json == nlohmann::json{{"matched", 1}, {"changed", 1}, {"failed", 0}});
    const auto settled = q.events.of<relay::event::Settled>();
    REQUIRE(settled.size() == 2);
    CHECK(settled[0].how == "dropped");
    CHECK(settled[0].reason == "because");
    CHECK(q.spool.entries.size() == 2);

    CHECK(q.call("POST", "/api/v1/queue/drop", R"({"all":true,"dsn":true})").status == 503);
    q.ports.drop_with_dsn = [&](const relay::EntrySelector&, const relay::EntryChange&,
                                const std::function<void(const relay::EntryInfo&)>&) {
        return relay::ChangeOutcome{};
    };
    CHECK(q.call("POST", "/api/v1/queue/drop", R"({"all":true,"dsn":true})").status == 200);
    q.spool.fails = make_error_code(relay::SpoolError::write);
    CHECK(q.call("POST", "/api/v1/queue/drop", R"({"all":true})").json["code"] == "internal");
}

TEST_CASE("entries are held, released and rerouted by selectors and by id") {
    Queue q;
    q.ports.upstream_names = [] { return std::vector<std::string>{"primary", "second"}; };
    const auto held =
        q.call("POST", "/api/v1/queue/hold", R"({"account":"ann@example.net","limit":5})");
    CHECK(held.json["matched"] == 2);
    CHECK(held.json["changed"] == 1);
    CHECK(held.json["failed"] == 1);
    CHECK(held.json["failures"] == nlohmann::json::array({{{"id", three}, {"why", "busy"}}}));
    REQUIRE(q.spool.asked.size() == 1);
    CHECK(q.spool.asked[0].kind == relay::EntryChange::Kind::hold);
    CHECK(q.spool.asked[0].reason == "because");
    CHECK(q.spool.asked[0].limit == 5);

    CHECK(q.call("POST", "/api/v1/queue/" + one + "/release").json["changed"] == 1);
    CHECK(q.call("POST", "/api/v1/queue/reroute", R"({"all":true,"to":"second"})").status == 200);
    CHECK(q.spool.asked.back().upstream == "second");

    struct Wrong {
        const char* target;
        const char* body;
        int status;
    };
    const auto before = q.spool.asked.size();
    for (const Wrong& w :
         {Wrong{"/api/v1/queue/reroute", R"({"all":true})", 400},
          Wrong{"/api/v1/queue/reroute", R"({"all":true,"to":"secnod"})", 400},
          Wrong{"/api/v1/queue/hold", R"({"all":true,"to":"second"})", 400},
          Wrong{"/api/v1/queue/hold", "{}", 400}, Wrong{"/api/v1/queue/release", "", 400},
          Wrong{"/api/v1/queue/release", R"({"all":true,"dsn":true})", 400},
          Wrong{"/api/v1/queue/hold", R"({"source":"nowhere"})", 400},
          Wrong{"/api/v1/queue/none/hold/more", "", 404}}) {
        CAPTURE(w.target, w.body);
        CHECK(q.call("POST", w.target, w.body).status == w.status);
    }
    CHECK(q.spool.asked.size() == before);
    CHECK(q.call("POST", "/api/v1/queue/reroute", R"({"all":true,"to":"secnod"})").json["detail"] ==
          "no such upstream; did you mean second?");
    CHECK(q.call("POST", "/api/v1/queue/none/hold").status == 404);
    CHECK(q.call("GET", "/api/v1/queue/hold").status == 405);

    const auto told = q.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 3);
    CHECK(told[0].what == "queue_hold");
    CHECK(told[0].reason == "because");
    CHECK(told[1].subject == one);
    CHECK(told[2].what == "queue_reroute");
    CHECK(told[2].fields.front() == std::pair<std::string, std::string>("to", "second"));
}

TEST_CASE("a change that ends early says how far it came") {
    Queue q;
    q.spool.fails = make_error_code(relay::SpoolError::write);
    const auto failed = q.call("POST", "/api/v1/queue/hold", R"({"all":true})");
    CHECK(failed.json["code"] == "internal");
    CHECK(q.events.of<relay::event::Admin>().size() == 1);
}

TEST_CASE("a message is handed out in parts, and each is told") {
    Queue q;
    std::string message;
    while (message.size() < (9U << 20U)) message += "line " + std::to_string(message.size());
    q.spool.octets = message;
    const std::string target = "/api/v1/queue/" + one + "/export";
    std::string got;
    nlohmann::json part = q.call("POST", target).json;
    for (int parts = 1;; ++parts) {
        REQUIRE(parts <= 3);
        CHECK(part["id"] == one);
        CHECK(part["bytes"] == message.size());
        got += *proto::base64_decode(part["data"].get<std::string>());
        if (part["next"].is_null()) break;
        part = q.call("POST", target, nlohmann::json{{"offset", part["next"]}}.dump()).json;
    }
    CHECK(got == message);
    const auto told = q.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 3);
    CHECK(told[2].what == "queue_export");
    CHECK(told[2].subject == one);
    CHECK(told[2].fields.back() ==
          std::pair<std::string, std::string>("offset", std::to_string(8U << 20U)));

    CHECK(q.call("POST", target, R"({"offset":99999999})").status == 400);
    CHECK(q.call("POST", target, R"({"offset":"x"})").status == 400);
    CHECK(q.call("POST", "/api/v1/queue/none/export").status == 404);
    CHECK(q.call("GET", target).status == 405);
    q.spool.entries[1].state = relay::EntryState::damaged;
    CHECK(q.call("POST", "/api/v1/queue/" + two + "/export").status == 409);
    q.spool.octets.clear();
    CHECK(q.call("POST", target).json["data"] == "");
}

TEST_CASE("without a spool the queue is not_ready") {
    Queue q;
    q.ports.spool = nullptr;
    CHECK(q.call("GET", "/api/v1/queue").json["code"] == "not_ready");
}

TEST_CASE("times are RFC 3339 or an age") {
    using relay::admin::parse_time;
    const std::chrono::system_clock::time_point now{std::chrono::seconds(1'700'000'000)};
    CHECK(parse_time("2023-11-14T22:13:20Z", now) == now);
    CHECK(parse_time("2023-11-14t23:13:20.250+01:00", now) == now + std::chrono::milliseconds(250));
    CHECK(parse_time("2h", now) == now - std::chrono::hours(2));
    CHECK(parse_time("7d", now) == now - std::chrono::hours(24 * 7));
    for (const char* wrong :
         {"", "h", "2", "-2h", "2w", "2023-11-14", "2023-13-14T22:13:20Z", "2023-11-14T25:13:20Z",
          "2023-11-14T22:13:20", "2023-11-14T22:13:20+0100", "20x3-11-14T22:13:20Z"}) {
        CAPTURE(wrong);
        CHECK_FALSE(parse_time(wrong, now));
    }
}
