#include "tests/catch.hpp"
#include "tests/unit/config/surroundings.hpp"

using namespace postern;
using namespace postern::relay::config;
using namespace postern::test;
using proto::PathReply;

TEST_CASE("an upstream as it can be written") {
    const auto loaded = load(least + R"(weight = 3
rate = ["600/min", "50000/day"]
messages_per_connection = 5
source_address = "127.0.0.9"
path_replies = ["554 5.7.1 Not From You", "550", "451 busy"]
[[upstream]]
address = "b.example"
role = "standby"
warm_share = 0
warm_per_day = 20
warm_cap = 0.5
[[upstream]]
address = "c.example"
role = "standby"
[[upstream]]
address = "d.example"
name = "news"
default = false
)");
    REQUIRE(messages(loaded) == std::vector<std::string>());
    CHECK(loaded.config->notices == std::vector<std::string>());
    const auto& all = loaded.config->upstream;
    REQUIRE(all.size() == 4);
    CHECK(all[0].weight == 3);
    REQUIRE(all[0].rate.size() == 2);
    CHECK(all[0].rate[1].text() == "50000/day");
    CHECK(all[0].messages_per_connection == 5);
    CHECK(all[0].source_address == "127.0.0.9");
    CHECK(all[0].path_replies ==
          std::vector<PathReply>{{554, "5.7.1", "Not From You"}, {550, "", ""}, {451, "", "busy"}});
    CHECK(all[0].by_default);
    CHECK(all[1].name == "standby");
    CHECK(all[1].role == UpstreamRole::standby);
    CHECK(all[1].warm_share == 0.0);
    CHECK(all[1].warm_per_day == 20);
    CHECK(all[1].warm_cap == 0.5);
    CHECK(all[2].name == "standby2");
    CHECK(all[2].warm_share == 0.01);
    CHECK(all[2].warm_per_day == 200);
    CHECK(all[2].warm_cap == 0.1);
    CHECK_FALSE(all[3].by_default);
}

TEST_CASE("routes are kept in their order, their domains as A-labels") {
    const auto loaded = load(least + R"(default = false
[[route]]
sender_domains = ["B\u00fccher.example", "NEWS.example.net"]
upstreams = "primary"
[[route]]
customers = "acme"
plans = ["gold", "marketing"]
upstreams = ["primary"]
[[route]]
upstreams = ["primary"]
)");
    REQUIRE(messages(loaded) == std::vector<std::string>());
    const auto& routes = loaded.config->route;
    REQUIRE(routes.size() == 3);
    CHECK(routes[0].sender_domains ==
          std::vector<std::string>{"xn--bcher-kva.example", "news.example.net"});
    CHECK(routes[1].customers == std::vector<std::string>{"acme"});
    CHECK(routes[1].plans == std::vector<std::string>{"gold", "marketing"});
    CHECK(routes[2].upstreams == std::vector<std::string>{"primary"});
}
