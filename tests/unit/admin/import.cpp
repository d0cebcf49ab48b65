#include "fixture.hpp"
#include "proto/base64.hpp"
#include "relay/admin/imports.hpp"

using namespace postern;
using test::Fixture;

namespace {

constexpr const char* target = "/api/v1/account/import";

std::string body(nlohmann::json fields, std::string_view data) {
    fields["data"] = proto::base64_encode(data);
    return fields.dump();
}

std::string lines(const nlohmann::json& answer) {
    std::string out;
    for (const auto& one : answer.value("lines", nlohmann::json::array()))
        out += std::to_string(one["line"].get<int>()) + " " + one["what"].get<std::string>() + ";";
    return out;
}

}  // namespace

TEST_CASE("a file is imported in one request or in parts") {
    Fixture f;
    f.ports.imports = std::make_shared<relay::admin::ImportDesk>();
    const auto one = f.call(
        "POST", target,
        body({{"format", "dovecot"}, {"domain", "example.net"}}, "ann:{PLAIN}pencil\nbob:*\n"));
    REQUIRE(one.status == 200);
    CHECK(one.json["matched"] == 2);
    CHECK(one.json["changed"] == 2);
    CHECK(one.json["cleartext"] == 1);
    CHECK(one.json["locked"] == 1);

    auto part =
        f.call("POST", target, body({{"format", "csv"}, {"more", true}}, "account,hash\ncarl@exa"));
    REQUIRE(part.status == 200);
    const std::string id = part.json["import"];
    CHECK(f.call("GET", "/api/v1/account/carl@example.net").status == 404);
    part = f.call("POST", target, body({{"import", id}, {"more", true}}, "mple.net,*\ndora@"));
    REQUIRE(part.status == 200);
    CHECK(part.json["accounts"] == 1);
    // One at a time.
    CHECK(f.call("POST", target, body({{"format", "csv"}}, "")).status == 409);
    CHECK(f.call("POST", target, body({{"import", "0"}}, "")).status == 404);
    part = f.call("POST", target, body({{"import", id}}, "example.net,*\n"));
    REQUIRE(part.status == 200);
    CHECK(part.json["changed"] == 2);
    CHECK(f.call("GET", "/api/v1/account/dora@example.net").status == 200);
    CHECK(f.call("POST", target, body({{"import", id}}, "")).status == 404);

    const auto told = f.events.of<relay::event::Admin>();
    REQUIRE(told.size() == 2);
    CHECK(told[0].what == "account_import");
    for (const auto& [name, value] : told[0].fields) CHECK_FALSE(value.contains("pencil"));
}

TEST_CASE("one that was broken off makes room after a minute") {
    Fixture f;
    auto now = std::chrono::system_clock::now();
    f.ports.now = [&] { return now; };
    const relay::admin::Api api(f.ports);
    const auto send = [&](const std::string& text) {
        relay::admin::Request request;
        request.method = "POST";
        REQUIRE(request.set_target(target));
        request.body = text;
        return api.handle(request).status;
    };
    CHECK(send(body({{"format", "dovecot"}, {"more", true}}, "a@example.net:*\n")) == 200);
    CHECK(send(body({{"format", "dovecot"}}, "")) == 409);
    now += std::chrono::seconds(61);
    CHECK(send(body({{"format", "dovecot"}}, "b@example.net:*\n")) == 200);
    CHECK(f.accounts->find("b@example.net").has_value());
    CHECK_FALSE(f.accounts->find("a@example.net").has_value());
}

TEST_CASE("where a line is wrong nothing is imported, and every such line is named") {
    Fixture f;
    REQUIRE(f.call("POST", "/api/v1/account", R"({"account":"ann@example.net","no_password":true})")
                .status == 200);
    const std::string file =
        "account,hash,plan\n"
        "ann@example.net,*,\n"
        "bob@example.net,{SSHA}x,\n"
        "carl@example.net,*,none\n"
        "dora@example.net,*,gold\n"
        "dora@example.net,*,gold\n";
    for (const bool dry : {true, false}) {
        const auto wrong =
            f.call("POST", target, body({{"format", "csv"}, {"dry_run", dry}}, file));
        CHECK(wrong.status == 400);
        CHECK(wrong.json["code"] == "invalid");
        CHECK(lines(wrong.json) ==
              "2 ann@example.net is there already;3 {SSHA} is no scheme that is taken;"
              "4 there is no plan none;6 dora@example.net is on line 5 already;");
        CHECK(*f.accounts->count() == 1);
    }
    const std::string good = "account,hash,plan\ndora@example.net,*,gold\n";
    const auto dry = f.call("POST", target, body({{"format", "csv"}, {"dry_run", true}}, good));
    CHECK(dry.status == 200);
    CHECK(dry.json["matched"] == 1);
    CHECK(dry.json["changed"] == 0);
    CHECK(*f.accounts->count() == 1);
    // Nobody has released the mail of one that was removed.
    f.spool.add("E1", "dora@example.net", relay::EntryState::frozen);
    f.spool.now_frozen.insert("dora@example.net");
    CHECK(lines(f.call("POST", target, body({{"format", "csv"}}, good)).json) ==
          "2 mail of a removed account dora@example.net is frozen;");
    f.spool.entries.clear();
    CHECK(f.call("POST", target, body({{"format", "csv"}}, good)).status == 200);
    CHECK(f.events.of<relay::event::Admin>().size() == 2);
}

TEST_CASE("what is wrong with the request itself") {
    const Fixture f;
    const struct {
        std::string text;
        int status;
        const char* field;
    } table[] = {
        {"{}", 400, "data"},
        {R"({"data":"%%"})", 400, "data"},
        {body({}, ""), 400, "format"},
        {body({{"format", "passwd"}}, ""), 400, "format"},
        {body({{"format", "csv"}, {"domain", "no domain"}}, ""), 400, "domain"},
        {body({{"format", "csv"}, {"colour", "red"}}, ""), 400, "colour"},
        {body({{"import", "x"}, {"format", "csv"}}, ""), 400, "format"},
    };
    for (const auto& [text, status, field] : table) {
        INFO(text);
        const auto said = f.call("POST", target, text);
        CHECK(said.status == status);
        CHECK(said.json.value("field", "") == field);
    }
    CHECK(f.call("GET", target).status == 405);
    CHECK(f.call("POST", "/api/v1/backup", R"({"to":"/x"})").status == 503);
}
