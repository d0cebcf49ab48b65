#include "fixture.hpp"
#include "relay/dkim/key_store.hpp"

using namespace postern;
using namespace std::chrono_literals;
using test::Fixture;

namespace {

struct Keys : Fixture {
    Keys() {
        ports.dkim = &store;
        ports.dkim_algorithms = [this] { return algorithms; };
        ports.now = [this] { return now; };
    }
    std::unique_ptr<relay::FileSystem> files = relay::posix_file_system();
    relay::dkim::KeyStore store{*files, folder.path() + "/dkim",
                                [](const std::string&, const std::string&) {}};
    std::vector<proto::DkimAlgorithm> algorithms{proto::DkimAlgorithm::rsa,
                                                 proto::DkimAlgorithm::ed25519};
    std::chrono::system_clock::time_point now{1'700'000'000s};
};

}  // namespace

TEST_CASE("keys are made, and shown with the documented fields") {
    Keys k;
    CHECK(k.call("GET", "/api/v1/dkim").json["items"].empty());
    const auto made = k.call("POST", "/api/v1/dkim/Example.net/new");
    REQUIRE(made.status == 200);
    CHECK(made.json["matched"] == 2);
    CHECK(made.json["changed"] == 2);
    CHECK(made.json["failed"] == 0);
    const auto listed = k.call("GET", "/api/v1/dkim");
    REQUIRE(listed.json["items"].size() == 2);
    CHECK(listed.json["next"].is_null());
    const auto& key = listed.json["items"][1];
    CHECK(key["domain"] == "example.net");
    CHECK(key["selector"] == "e20231114221320");
    CHECK(key["algorithm"] == "ed25519");
    CHECK(key["state"] == "active");
    CHECK(key["created"] == "2023-11-14T22:13:20.000Z");
    CHECK(key["name"] == "e20231114221320._domainkey.example.net");
    CHECK(key["value"].get<std::string>().starts_with("v=DKIM1; k=ed25519; p="));
    for (const char* const method : {"GET", "POST"})
        CHECK(k.call(method, "/api/v1/dkim/example.net/dns").json == listed.json);
    CHECK(k.call("GET", "/api/v1/dkim/example.net").json == listed.json);
    CHECK(made.json["keys"] == listed.json["items"]);
}

TEST_CASE("new keys wait for rotate, and every change is told") {
    Keys k;
    k.algorithms = {proto::DkimAlgorithm::ed25519};
    CHECK(k.call("POST", "/api/v1/dkim/a.example/rotate").status == 404);
    REQUIRE(k.call("POST", "/api/v1/dkim/a.example/new").status == 200);
    CHECK(k.call("POST", "/api/v1/dkim/a.example/rotate").status == 409);
    k.now += 1s;
    const auto second = k.call("POST", "/api/v1/dkim/a.example/new");
    CHECK(second.json["keys"][0]["state"] == "new");
    CHECK(k.call("POST", "/api/v1/dkim/a.example/new").status == 409);
    const auto rotated = k.call("POST", "/api/v1/dkim/a.example/rotate");
    REQUIRE(rotated.status == 200);
    CHECK(rotated.json["keys"][0]["state"] == "retired");
    CHECK(rotated.json["keys"][1]["state"] == "active");
    const auto removed = k.call("DELETE", "/api/v1/dkim/A.example");
    CHECK(removed.json["changed"] == 2);
    CHECK(k.call("DELETE", "/api/v1/dkim/a.example").status == 404);
    const auto told = k.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 4);
    CHECK(told[0].what == "dkim_new");
    CHECK(told[0].subject == "a.example");
    CHECK(told[0].fields[0].second == "e20231114221320=active");
    CHECK(told[2].what == "dkim_rotate");
    CHECK(told[2].fields[0].second == "e20231114221320=retired e20231114221321=active");
    CHECK(told[3].what == "dkim_remove");
    CHECK(told[3].by == "uid:1000");
    CHECK(told[3].reason == "because");
}

TEST_CASE("what is refused, and by which code") {
    Keys k;
    CHECK(k.call("POST", "/api/v1/dkim/no%20domain/new").json["field"] == "domain");
    CHECK(k.call("POST", "/api/v1/dkim/..%2Fx/new").status == 400);
    CHECK(k.call("GET", "/api/v1/dkim/a.example").status == 404);
    CHECK(k.call("GET", "/api/v1/dkim?domain=a.example").status == 200);
    CHECK(k.call("GET", "/api/v1/dkim?domain=a%20b").status == 400);
    CHECK(k.call("GET", "/api/v1/dkim?selector=x").status == 400);
    CHECK(k.call("PUT", "/api/v1/dkim").status == 405);
    CHECK(k.call("GET", "/api/v1/dkim/a.example/new").status == 405);
    CHECK(k.call("POST", "/api/v1/dkim/a.example/publish").status == 404);
    k.algorithms.clear();
    CHECK(k.call("POST", "/api/v1/dkim/a.example/new").status == 400);
    k.ports.dkim = nullptr;
    CHECK(k.call("GET", "/api/v1/dkim").status == 503);
    CHECK(k.events.of<relay::event::Admin>().empty());
}

TEST_CASE("a list of many keys comes in pages") {
    Keys k;
    k.algorithms = {proto::DkimAlgorithm::ed25519};
    for (const char* const domain : {"b.example", "a.example", "c.example"})
        REQUIRE(k.call("POST", std::string("/api/v1/dkim/") + domain + "/new").status == 200);
    const auto first = k.call("GET", "/api/v1/dkim?limit=2");
    REQUIRE(first.json["items"].size() == 2);
    REQUIRE(first.json["next"] == "b.example/e20231114221320");
    const auto second = k.call("GET", "/api/v1/dkim?limit=2&cursor=b.example%2Fe20231114221320");
    REQUIRE(second.json["items"].size() == 1);
    CHECK(second.json["items"][0]["domain"] == "c.example");
    CHECK(second.json["next"].is_null());
}

TEST_CASE("a damaged list of keys is an error of its own") {
    Keys k;
    REQUIRE(k.call("POST", "/api/v1/dkim/a.example/new").status == 200);
    std::filesystem::resize_file(k.folder.path() + "/dkim/a.example/keys", 10);
    CHECK(k.call("GET", "/api/v1/dkim/a.example").json["code"] == "internal");
    CHECK(k.call("DELETE", "/api/v1/dkim/a.example").status == 200);
}
