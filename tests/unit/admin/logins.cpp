#include <string>

#include "fixture.hpp"
#include "policy/login_guard.hpp"

using namespace postern;
using namespace std::chrono_literals;
using test::Fixture;

namespace {

struct Logins : Fixture {
    Logins() {
        ports.guard = &guard;
        ports.keep_guard = [this] { ++kept; };
        ports.now = [] { return std::chrono::system_clock::time_point(1'700'000'000s); };
        ports.steady = [this] { return steady; };
    }
    void hammer(const std::string& source) {
        for (std::uint64_t n = 0; n < 12; ++n) {
            auto attempt = guard.attempt(source, "user" + std::to_string(n), {}, steady);
            (void)attempt.failed(n, 0, steady);
        }
    }
    policy::LoginGuard guard;
    std::chrono::steady_clock::time_point steady{1'000h};
    int kept = 0;
};

}  // namespace

TEST_CASE("who is in penalty is listed with the documented fields, in pages") {
    Logins l;
    CHECK(l.call("GET", "/api/v1/login").json["items"].empty());
    l.hammer("198.51.100.9");
    l.hammer("2001:db8:0:1::/64");
    const auto all = l.call("GET", "/api/v1/login");
    REQUIRE(all.json["items"].size() == 2);
    CHECK(all.json["next"].is_null());
    const auto& one = all.json["items"][0];
    CHECK(one["kind"] == "source");
    CHECK(one["subject"] == "198.51.100.9");
    CHECK(one["failures"] == 24.0);
    CHECK(one["delay_s"] == 20.0);
    CHECK(one["refused"] == true);
    CHECK(one["allowed"] == false);
    CHECK(one["until"].get<std::string>().starts_with("2023-11-14T22:"));
    const auto page = l.call("GET", "/api/v1/login?limit=1");
    REQUIRE(page.json["next"].is_string());
    const auto next =
        l.call("GET", "/api/v1/login?limit=1&cursor=" + page.json["next"].get<std::string>());
    CHECK(next.json["items"][0]["subject"] == "2001:db8:0:1::/64");
    CHECK(l.call("GET", "/api/v1/login?cursor=x").status == 400);
    CHECK(l.call("GET", "/api/v1/login?subject=x").status == 400);
}

TEST_CASE("forget and allow change one subject, are told, and are kept at once") {
    Logins l;
    l.hammer("198.51.100.9");
    const auto forgotten = l.call("POST", "/api/v1/login/198.51.100.9/forget");
    CHECK(forgotten.status == 200);
    CHECK(forgotten.json["changed"] == 1);
    CHECK(l.kept == 1);
    CHECK(l.call("POST", "/api/v1/login/198.51.100.9/forget").status == 404);
    CHECK(l.kept == 1);
    for (const char* subject :
         {"198.51.100.0%2F24", "ann@example.net", "ann%40example.net%20192.0.2.7"}) {
        CAPTURE(subject);
        CHECK(l.call("POST", "/api/v1/login/" + std::string(subject) + "/allow").status == 200);
    }
    const auto all = l.call("GET", "/api/v1/login");
    REQUIRE(all.json["items"].size() == 3);
    CHECK(all.json["items"][0]["kind"] == "source");
    CHECK(all.json["items"][0]["subject"] == "198.51.100.0/24");
    CHECK(all.json["items"][1]["kind"] == "account");
    CHECK(all.json["items"][2]["kind"] == "pair");
    CHECK(all.json["items"][2]["subject"] == "ann@example.net 192.0.2.7");
    CHECK(all.json["items"][2]["allowed"] == true);
    CHECK(all.json["items"][2]["until"].is_null());

    const auto told = l.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 4);
    CHECK(told[0].what == "login_forget");
    CHECK(told[0].subject == "198.51.100.9");
    CHECK(told[0].reason == "because");
    CHECK(told[3].what == "login_allow");
    CHECK(told[3].by == "uid:1000");
}

TEST_CASE(
    "what is no subject, no path and no method is refused, and a stopped relay has no guard") {
    Logins l;
    CHECK(l.call("POST", "/api/v1/login/a%0Ab/allow").status == 400);
    CHECK(l.call("POST", "/api/v1/login/a%0Ab/forget").status == 404);
    CHECK(l.call("POST", "/api/v1/login/192.0.2.1/frobnicate").status == 404);
    CHECK(l.call("POST", "/api/v1/login/192.0.2.1").status == 404);
    CHECK(l.call("GET", "/api/v1/login/192.0.2.1/forget").status == 405);
    CHECK(l.call("DELETE", "/api/v1/login").status == 405);
    for (int n = 0; n < 1'000; ++n)
        (void)l.guard.allow("10.0." + std::to_string(n / 250) + "." + std::to_string(n % 250));
    CHECK(l.call("POST", "/api/v1/login/192.0.2.1/allow").status == 409);
    l.ports.guard = nullptr;
    CHECK(l.call("GET", "/api/v1/login").json["code"] == "not_ready");
}
