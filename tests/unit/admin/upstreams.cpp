#include <string>
#include <vector>

#include "fixture.hpp"

using namespace postern;
using namespace std::chrono_literals;
using relay::admin::UpstreamSaid;
using relay::admin::UpstreamVerb;
using relay::admin::UpstreamView;
using test::Fixture;

namespace {

struct Asked {
    std::string upstream;
    UpstreamVerb verb;
    std::optional<std::chrono::seconds> for_long;
    bool operator==(const Asked&) const = default;
};

/// An API beside a relay with two upstreams.
struct WithUpstreams : Fixture {
    std::vector<Asked> asked;
    WithUpstreams() {
        ports.upstreams = {.list =
                               [] {
                                   UpstreamView primary;
                                   primary.upstream = "primary";
                                   primary.role = "primary";
                                   primary.address = "smtp.example:587";
                                   primary.breaker = "closed";
                                   primary.connections = 3;
                                   primary.messages_today = 75;
                                   primary.share = 0.75;
                                   primary.latency_s = 0.25;
                                   UpstreamView standby;
                                   standby.upstream = "standby";
                                   standby.role = "primary";
                                   standby.paused = true;
                                   standby.promoted = true;
                                   standby.until = std::chrono::system_clock::time_point(
                                       std::chrono::seconds(1'700'000'000));
                                   return std::vector{primary, standby};
                               },
                           .change =
                               [this](const std::string& upstream, UpstreamVerb verb,
                                      std::optional<std::chrono::seconds> for_long) {
                                   asked.push_back({upstream, verb, for_long});
                                   if (upstream == "gone") return UpstreamSaid::unknown;
                                   return verb == UpstreamVerb::demote ? UpstreamSaid::nothing
                                                                       : UpstreamSaid::done;
                               }};
    }
};

}  // namespace

TEST_CASE("upstreams are listed with what they do") {
    const WithUpstreams with;
    const auto answer = with.call("GET", "/api/v1/upstream");
    REQUIRE(answer.status == 200);
    REQUIRE(answer.json["items"].size() == 2);
    CHECK(answer.json["next"].is_null());
    const auto& first = answer.json["items"][0];
    CHECK(first["upstream"] == "primary");
    CHECK(first["address"] == "smtp.example:587");
    CHECK(first["breaker"] == "closed");
    CHECK(first["paused"] == false);
    CHECK(first["until"].is_null());
    CHECK(first["connections"] == 3);
    CHECK(first["messages_today"] == 75);
    CHECK(first["share"] == 0.75);
    CHECK(first["latency_s"] == 0.25);
    const auto& second = answer.json["items"][1];
    CHECK(second["promoted"] == true);
    CHECK(second["until"] == "2023-11-14T22:13:20.000Z");
    CHECK(second["latency_s"].is_null());
    // In pages, too.
    const auto page = with.call("GET", "/api/v1/upstream?limit=1");
    CHECK(page.json["items"].size() == 1);
    CHECK(page.json["next"] == "primary");
    CHECK(with.call("GET", "/api/v1/upstream?cursor=primary").json["items"][0]["upstream"] ==
          "standby");
    CHECK(with.call("GET", "/api/v1/upstream?cursor=x").status == 400);
    CHECK(with.call("GET", "/api/v1/upstream?name=x").status == 400);
}

TEST_CASE("a change of an upstream is made, told and answered") {
    WithUpstreams with;
    const auto answer = with.call("POST", "/api/v1/upstream/standby/pause", R"({"for":"45m"})");
    REQUIRE(answer.status == 200);
    CHECK(answer.json["matched"] == 1);
    CHECK(answer.json["changed"] == 1);
    CHECK(answer.json["failed"] == 0);
    CHECK(with.asked == std::vector<Asked>{{"standby", UpstreamVerb::pause, 2700s}});
    const auto told = with.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 1);
    CHECK(told[0].what == "upstream_pause");
    CHECK(told[0].subject == "standby");
    CHECK(told[0].by == "uid:1000");
    CHECK(told[0].reason == "because");
    CHECK(told[0].fields == std::vector<std::pair<std::string, std::string>>{{"for_s", "2700"}});
    CHECK(with.call("POST", "/api/v1/upstream/primary/promote").status == 200);
    CHECK(with.asked.back() == Asked{"primary", UpstreamVerb::promote, std::nullopt});
    CHECK(with.call("POST", "/api/v1/upstream/primary/resume").status == 200);
}

TEST_CASE("what cannot be done to an upstream is refused, and not told as done") {
    WithUpstreams with;
    CHECK(with.call("POST", "/api/v1/upstream/gone/pause").status == 404);
    const auto conflict = with.call("POST", "/api/v1/upstream/primary/demote");
    CHECK(conflict.status == 409);
    CHECK(conflict.json["code"] == "conflict");
    for (const char* body :
         {R"({"for":"soon"})", R"({"for":"0s"})", R"({"for":"900d"})", R"({"until":"2h"})"}) {
        CAPTURE(body);
        CHECK(with.call("POST", "/api/v1/upstream/primary/pause", body).status == 400);
    }
    CHECK(with.call("POST", "/api/v1/upstream/primary/resume", R"({"for":"2h"})").status == 400);
    CHECK(with.call("POST", "/api/v1/upstream/primary/drop").status == 404);
    CHECK(with.call("GET", "/api/v1/upstream/primary/pause").status == 405);
    CHECK(with.call("DELETE", "/api/v1/upstream").status == 405);
    CHECK(with.events.of<relay::event::Admin>().empty());
    const Fixture stopped;
    CHECK(stopped.call("GET", "/api/v1/upstream").status == 503);
}
