#include "fixture.hpp"

using namespace postern;
using test::Fixture;

namespace {

constexpr const char* place = "/api/v1/account/ann%40example.net/credential";

struct Office : Fixture {
    Office() {
        ports.device_listeners = [] { return std::vector<std::string>{"printers", "scanners"}; };
        const auto plans = ports.limits_of;
        ports.limits_of = [plans](const std::string& plan) -> std::optional<policy::PlanLimits> {
            if (plan == "device") return policy::PlanLimits::device();
            return plans(plan);
        };
        REQUIRE(call("POST", "/api/v1/account", R"({"account":"ann@example.net"})").status == 200);
        events.all.clear();
    }
};

}  // namespace

TEST_CASE("a device is made, listed and revoked, and has no password") {
    const Office f;
    const auto added = f.call("POST", place, R"({"credential":"Copier","kind":"device",
        "source":"192.0.2.8","listener":"printers","rcpts":["@Example.net","bob@example.org"]})");
    REQUIRE(added.status == 200);
    CHECK(added.json["changed"] == 1);
    CHECK(added.json["credential"] == "copier");
    CHECK(added.json["kind"] == "device");
    CHECK(added.json["source"] == "192.0.2.8/32");
    CHECK(added.json["listener"] == "printers");
    CHECK(added.json["rcpts"] == nlohmann::json{"@example.net", "bob@example.org"});
    CHECK(added.json["plan"] == "device");
    CHECK(added.json["login"].is_null());
    CHECK(added.json["last_used"].is_null());
    CHECK_FALSE(added.json.contains("password"));
    const auto told = f.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 1);
    CHECK(told[0].what == "credential_add");

    const auto listed = f.call("GET", place);
    REQUIRE(listed.json["items"].size() == 2);
    CHECK(listed.json["items"][1]["listener"] == "printers");
    CHECK(listed.json["items"][0]["source"].is_null());
    CHECK(listed.json["items"][0]["rcpts"].empty());
    CHECK(f.accounts->find_device("printers", "192.0.2.8"));
    CHECK(f.call("DELETE", std::string(place) + "/copier").status == 200);
    CHECK_FALSE(f.accounts->find_device("printers", "192.0.2.8"));
}

TEST_CASE("what is wrong with a device is told with code and field") {
    const Office f;
    REQUIRE(f.call("POST", place, R"({"credential":"copier","kind":"device","source":"192.0.2.8",
        "listener":"printers","plan":"gold"})")
                .json["plan"] == "gold");
    struct Wrong {
        const char* body;
        int status;
        const char *code, *field;
    };
    const Wrong table[] = {
        {R"("kind":"device","listener":"printers")", 400, "invalid", "source"},
        {R"("kind":"device","source":"192.0.2.9")", 400, "invalid", "listener"},
        {R"("kind":"device","source":"192.0.2.9/24","listener":"printers")", 400, "invalid",
         "source"},
        {R"("kind":"device","source":"0.0.0.0/0","listener":"printers")", 400, "invalid", "source"},
        {R"("kind":"device","source":7,"listener":"printers")", 400, "invalid", "source"},
        {R"("kind":"device","source":"192.0.2.9","listener":"587")", 400, "invalid", "listener"},
        {R"("kind":"device","source":"192.0.2.9","listener":"printers","rcpts":["x"])", 400,
         "invalid", "rcpts"},
        {R"("kind":"device","source":"192.0.2.9","listener":"printers","plan":"none")", 400,
         "invalid", "plan"},
        {R"("kind":"device","source":"192.0.2.9","listener":"printers","password":"x")", 400,
         "invalid", "password"},
        {R"("kind":"device","source":"192.0.2.8/32","listener":"printers")", 409, "conflict",
         "source"},
        {R"("kind":"password","source":"192.0.2.9")", 400, "invalid", "source"},
        {R"("source":"192.0.2.9","listener":"printers")", 400, "invalid", "source"},
        {R"("kind":"wax")", 400, "invalid", "kind"},
    };
    for (const Wrong& wrong : table) {
        INFO(wrong.body);
        const auto answer =
            f.call("POST", place, std::string(R"({"credential":"new",)") + wrong.body + "}");
        CHECK(answer.status == wrong.status);
        CHECK(answer.json["code"] == wrong.code);
        CHECK(answer.json["field"] == wrong.field);
    }
    CHECK(f.call("GET", place).json["items"].size() == 2);
}

TEST_CASE("without a listener for devices there is none to bind to") {
    Office f;
    f.ports.device_listeners = [] { return std::vector<std::string>(); };
    const auto answer = f.call("POST", place, R"({"credential":"copier","kind":"device",
        "source":"192.0.2.8","listener":"printers"})");
    CHECK(answer.status == 400);
    CHECK(answer.json["field"] == "listener");
    CHECK(answer.json["detail"].get<std::string>().contains("starttls devices"));
}
