#include "fixture.hpp"

using namespace postern;
using test::Fixture;

TEST_CASE("an account is made with a password that is made, told once") {
    const Fixture f;
    const auto added = f.call("POST", "/api/v1/account", R"({"account":"Ann@Example.net"})");
    REQUIRE(added.status == 200);
    CHECK(added.json["account"] == "ann@example.net");
    CHECK(added.json["changed"] == 1);
    CHECK(added.json["plan"] == "transactional");
    CHECK(added.json["state"] == "active");
    CHECK(added.json["owns"] == nlohmann::json{"ann@example.net"});
    CHECK(added.json["customer"].is_null());
    CHECK(added.json["password"].get<std::string>().size() >= 16);
    CHECK(added.json["limits"]["messages"][0] == "60/min");

    const auto shown = f.call("GET", "/api/v1/account/ann%40example.net");
    CHECK(shown.status == 200);
    CHECK_FALSE(shown.json.contains("password"));
    CHECK(shown.json["credentials"].size() == 1);

    const auto told = f.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 1);
    CHECK(told[0].what == "account_add");
    CHECK(told[0].subject == "ann@example.net");
    CHECK(told[0].by == "uid:1000");
    CHECK(told[0].reason == "because");
    for (const auto& [name, value] : told[0].fields)
        CHECK(value != added.json["password"].get<std::string>());
}

TEST_CASE("what is wrong with an account's fields is told with code and field") {
    const Fixture f;
    REQUIRE(f.call("POST", "/api/v1/account", R"({"account":"ann@example.net","no_password":true})")
                .status == 200);
    struct Wrong {
        const char *method, *target, *body;
        int status;
        const char *code, *field;
    };
    const Wrong table[] = {
        {"POST", "/api/v1/account", "[]", 400, "invalid", ""},
        {"POST", "/api/v1/account", "{", 400, "invalid", ""},
        {"POST", "/api/v1/account", "{}", 400, "invalid", "account"},
        {"POST", "/api/v1/account", R"({"account":7})", 400, "invalid", "account"},
        {"POST", "/api/v1/account", R"({"account":"x"})", 400, "invalid", "account"},
        {"POST", "/api/v1/account", R"({"account":"ann@example.net"})", 409, "conflict", "account"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","owns":"no domain!"})", 400,
         "invalid", "owns"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","owns":[1]})", 400, "invalid",
         "owns"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","password":""})", 400, "invalid",
         "password"},
        {"POST", "/api/v1/account",
         R"({"account":"b@example.net","password":"x","no_password":true})", 400, "invalid",
         "password"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","plan":"none"})", 400, "invalid",
         "plan"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","customer":"a b"})", 400,
         "invalid", "customer"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","rules":{"content":"off"}})", 400,
         "invalid", "rules"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","rules":{"limits":"on"}})", 400,
         "invalid", "rules"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","rules":[]})", 400, "invalid",
         "rules"},
        {"POST", "/api/v1/account", R"({"account":"b@example.net","acount":1})", 400, "invalid",
         "acount"},
        {"PATCH", "/api/v1/account/none@example.net", "{}", 404, "not_found", ""},
        {"GET", "/api/v1/account/none@example.net", "", 404, "not_found", ""},
        {"DELETE", "/api/v1/account/none@example.net", "", 404, "not_found", ""},
        {"POST", "/api/v1/account/none@example.net/suspend", "", 404, "not_found", ""},
        {"POST", "/api/v1/account/ann@example.net/release", "", 409, "conflict", "account"},
        {"POST", "/api/v1/account/ann@example.net/dance", "", 404, "not_found", ""},
        {"POST", "/api/v1/account/ann@example.net/credential",
         R"({"credential":"laptop","kind":"certificate"})", 400, "invalid", "certificate"},
        {"POST", "/api/v1/account/ann@example.net/credential",
         R"({"credential":"laptop","kind":"certificate","certificate":"no PEM"})", 400, "invalid",
         "certificate"},
        {"POST", "/api/v1/account/ann@example.net/credential",
         R"({"credential":"laptop","certificate":"x"})", 400, "invalid", "certificate"},
        {"POST", "/api/v1/account/ann@example.net/credential",
         R"({"credential":"laptop","kind":"wax"})", 400, "invalid", "kind"},
        {"PUT", "/api/v1/account/ann@example.net", "", 405, "invalid", ""},
        {"GET", "/api/v1/account?limit=0", "", 400, "invalid", "limit"},
        {"GET", "/api/v1/account?limit=1001", "", 400, "invalid", "limit"},
        {"GET", "/api/v1/account?state=sad", "", 400, "invalid", "state"},
        {"GET", "/api/v1/account?bogus=1", "", 400, "invalid", "bogus"},
    };
    for (const Wrong& wrong : table) {
        CAPTURE(wrong.method, wrong.target, wrong.body);
        const auto answer = f.call(wrong.method, wrong.target, wrong.body);
        CHECK(answer.status == wrong.status);
        CHECK(answer.json.value("code", "") == wrong.code);
        CHECK(answer.json.value("field", "") == wrong.field);
        CHECK(answer.json.value("status", 0) == wrong.status);
    }
    CHECK(f.events.of<relay::event::Admin>().size() == 1);
}

TEST_CASE("an account is changed, suspended, released and removed") {
    const Fixture f;
    REQUIRE(f.call("POST", "/api/v1/account", R"({"account":"ann@example.net","password":"one"})")
                .status == 200);
    const auto set = f.call(
        "PATCH", "/api/v1/account/ann@example.net",
        R"({"customer":"shop","plan":"gold","owns":["shop.example","*"],"rules":{"limits":"observe"}})");
    REQUIRE(set.status == 200);
    CHECK(set.json["customer"] == "shop");
    CHECK(set.json["plan"] == "gold");
    CHECK(set.json["rules"]["limits"] == "observe");

    const auto passwd = f.call("POST", "/api/v1/account/ann@example.net/passwd");
    CHECK(passwd.json.contains("password"));
    CHECK_FALSE(f.call("POST", "/api/v1/account/ann@example.net/passwd", R"({"password":"two"})")
                    .json.contains("password"));
    CHECK(f.events.of<relay::event::Password>().size() == 2);

    const auto suspended =
        f.call("POST", "/api/v1/account/ann@example.net/suspend", R"({"text":"call us"})");
    REQUIRE(suspended.status == 200);
    CHECK(suspended.json["state"] == "suspended");
    CHECK(suspended.json["suspended"]["text"] == "call us");
    CHECK(suspended.json["suspended"]["by"] == "uid:1000");
    CHECK(suspended.json["suspended"]["reasons"] == nlohmann::json{"because"});
    CHECK(f.call("GET", "/api/v1/account?state=suspended").json["items"].size() == 1);

    const auto released = f.call("POST", "/api/v1/account/ann@example.net/release");
    CHECK(released.json["suspended"].is_null());
    CHECK(f.events.of<relay::event::Release>().size() == 1);
    CHECK(f.spool.frozen == std::vector<std::pair<std::string, bool>>{{"ann@example.net", true},
                                                                      {"ann@example.net", false}});

    CHECK(f.call("DELETE", "/api/v1/account/ann@example.net").json["changed"] == 1);
    CHECK(f.call("GET", "/api/v1/account").json["items"].empty());
}

TEST_CASE("a suspension that the spool cannot record is told as our failure") {
    Fixture f;
    REQUIRE(f.call("POST", "/api/v1/account", R"({"account":"ann@example.net","no_password":true})")
                .status == 200);
    f.spool.fails = make_error_code(relay::SpoolError::full);
    CHECK(f.call("POST", "/api/v1/account/ann@example.net/suspend").json["code"] == "internal");
    CHECK(f.call("GET", "/api/v1/account/ann@example.net").json["state"] == "suspended");
}

TEST_CASE("a release that comes while a suspension is recorded has the last word") {
    Fixture f;
    REQUIRE(f.call("POST", "/api/v1/account", R"({"account":"ann@example.net","no_password":true})")
                .status == 200);
    f.spool.meanwhile = [&] {
        CHECK(f.call("POST", "/api/v1/account/ann@example.net/release").status == 200);
    };
    CHECK(f.call("POST", "/api/v1/account/ann@example.net/suspend").status == 200);
    CHECK(f.call("GET", "/api/v1/account/ann@example.net").json["state"] == "active");
    CHECK(f.spool.frozen_accounts().empty());
}

TEST_CASE("no account takes a name with frozen mail of one that was removed") {
    Fixture f;
    const std::string ann = R"({"account":"Ann@example.net","no_password":true})";
    REQUIRE(f.call("POST", "/api/v1/account", ann).status == 200);
    REQUIRE(f.call("POST", "/api/v1/account/ann@example.net/suspend").status == 200);
    f.spool.add("01A", "ann@example.net", relay::EntryState::frozen);
    f.spool.add("01B", "bob@example.net");
    // As long as the account is there, that is what the answer says.
    CHECK(f.call("POST", "/api/v1/account", ann).json["detail"] == "the account is there already");
    REQUIRE(f.call("DELETE", "/api/v1/account/ann@example.net").status == 200);

    const auto refused = f.call("POST", "/api/v1/account", ann);
    CHECK(refused.status == 409);
    CHECK(refused.json["code"] == "conflict");
    CHECK(refused.json["field"] == "account");
    const std::string detail = refused.json["detail"];
    CHECK(detail.starts_with("1 message "));
    CHECK(detail.ends_with("postern queue drop --account ann@example.net"));
    CHECK(f.call("GET", "/api/v1/account/ann@example.net").status == 404);

    REQUIRE(f.call("POST", "/api/v1/queue/drop", R"({"account":["ann@example.net"]})")
                .json["changed"] == 1);
    CHECK(f.call("POST", "/api/v1/account", ann).status == 200);
}

TEST_CASE("mail that is frozen without a suspension is released, once") {
    Fixture f;
    REQUIRE(f.call("POST", "/api/v1/account", R"({"account":"ann@example.net","no_password":true})")
                .status == 200);
    f.spool.now_frozen.insert("ann@example.net");
    CHECK(f.call("POST", "/api/v1/account/ann@example.net/release").status == 200);
    CHECK(f.spool.frozen_accounts().empty());
    CHECK(f.events.of<relay::event::Release>().size() == 1);
    CHECK(f.call("POST", "/api/v1/account/ann@example.net/release").status == 409);
}

TEST_CASE("a list comes in pages to its end") {
    const Fixture f;
    for (int i = 0; i < 7; ++i) {
        const std::string body =
            R"({"no_password":true,"account":"a)" + std::to_string(i) + R"(@example.net"})";
        REQUIRE(f.call("POST", "/api/v1/account", body).status == 200);
    }
    std::vector<std::string> names;
    std::string target = "/api/v1/account?limit=3";
    for (int pages = 0; pages < 10; ++pages) {
        const auto page = f.call("GET", target);
        REQUIRE(page.status == 200);
        for (const auto& item : page.json["items"]) names.push_back(item["account"]);
        if (page.json["next"].is_null()) break;
        target = "/api/v1/account?limit=3&cursor=" + page.json["next"].get<std::string>();
    }
    CHECK(names.size() == 7);
    CHECK(std::ranges::is_sorted(names));
}

TEST_CASE("without a store the answer is not_ready") {
    Fixture f;
    f.ports.accounts = nullptr;
    const auto answer = f.call("GET", "/api/v1/account");
    CHECK(answer.status == 503);
    CHECK(answer.json["code"] == "not_ready");
}
