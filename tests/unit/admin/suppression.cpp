#include "relay/suppression/lists.hpp"

#include "fixture.hpp"

using namespace postern;
using namespace std::chrono_literals;
using test::Fixture;

namespace {

/// The customer shop with Ann, and Bea on her own.
struct WithLists : Fixture {
    WithLists() {
        ports.suppression = &lists;
        ports.now = [this] { return now; };
        REQUIRE(call("POST", "/api/v1/customer", R"({"customer":"shop"})").status == 200);
        REQUIRE(call("POST", "/api/v1/account",
                     R"({"account":"ann@example.net","customer":"shop","no_password":true})")
                    .status == 200);
        REQUIRE(
            call("POST", "/api/v1/account", R"({"account":"bea@example.net","no_password":true})")
                .status == 200);
    }
    [[nodiscard]] std::size_t count(const std::string& query) const {
        return call("GET", "/api/v1/suppression" + query).json["items"].size();
    }
    std::chrono::system_clock::time_point now{1'700'000'000s};
    relay::suppression::Lists lists{
        *accounts,
        relay::suppression::Lists::Ports{
            .suppress_for = [] { return std::chrono::milliseconds(24h); }},
        7};
    const relay::suppression::Owner shop{.customer = "shop", .account = "ann@example.net"};
    const relay::suppression::Owner bea{.customer = {}, .account = "bea@example.net"};
};

}  // namespace

TEST_CASE("a bounce is listed with the documented fields") {
    WithLists f;
    f.lists.bounced(f.shop, "Bob@example.org", "5.1.1", "01REF", f.now);
    const auto listed = f.call("GET", "/api/v1/suppression");
    REQUIRE(listed.status == 200);
    REQUIRE(listed.json["items"].size() == 1);
    CHECK(listed.json["next"].is_null());
    const auto& item = listed.json["items"][0];
    CHECK(item.size() == 7);
    CHECK(item["customer"] == "shop");
    CHECK(item["account"].is_null());
    CHECK(item["rcpt"] == "bob@example.org");
    CHECK(item["since"] == "2023-11-14T22:13:20.000Z");
    CHECK(item["until"] == "2023-11-15T22:13:20.000Z");
    CHECK(item["enhanced"] == "5.1.1");
    CHECK(item["ref"] == "01REF");
}

TEST_CASE("a recipient is added by hand and removed, and both are told") {
    WithLists f;
    const auto added = f.call("POST", "/api/v1/suppression",
                              R"({"account":"Bea@example.net","rcpt":"Bob@Example.org"})");
    REQUIRE(added.status == 200);
    CHECK(added.json["matched"] == 1);
    CHECK(added.json["account"] == "bea@example.net");
    CHECK(added.json["customer"].is_null());
    CHECK(added.json["rcpt"] == "bob@example.org");
    CHECK(added.json["until"].is_null());
    CHECK(added.json["enhanced"].is_null());
    CHECK(f.lists.find(f.bea, "bob@example.org", f.now + 24h * 365));
    CHECK_FALSE(f.lists.find(f.shop, "bob@example.org", f.now));
    const std::string one = "/api/v1/suppression/bea@example.net/bob%40EXAMPLE.org";
    const auto removed = f.call("DELETE", one);
    CHECK(removed.status == 200);
    CHECK(removed.json["changed"] == 1);
    CHECK(f.call("DELETE", one).status == 404);
    CHECK_FALSE(f.lists.find(f.bea, "bob@example.org", f.now));
    std::vector<std::string> told;
    for (const auto& admin : f.events.of<relay::event::Admin>()) {
        if (!admin.what.starts_with("suppression")) continue;
        told.push_back(admin.what + " " + admin.subject);
        CHECK(admin.reason == "because");
        CHECK(admin.fields ==
              std::vector<std::pair<std::string, std::string>>{{"rcpt", "bob@example.org"}});
    }
    CHECK(told == std::vector<std::string>{"suppression_add bea@example.net",
                                           "suppression_remove bea@example.net"});
}

TEST_CASE("an account of a customer means the customer's list, but for the whole of it") {
    WithLists f;
    REQUIRE(f.call("POST", "/api/v1/suppression",
                   R"({"account":"ann@example.net","rcpt":"bob@example.org"})")
                .json["customer"] == "shop");
    f.lists.bounced(f.bea, "eve@example.org", "5.1.1", "01REF", f.now);
    struct Row {
        const char* query;
        std::size_t count;
    };
    const Row rows[] = {{"", 2},
                        {"?customer=shop", 1},
                        {"?account=ann@example.net", 1},
                        {"?account=bea@example.net", 1},
                        {"?account=ann@example.net&account=bea@example.net", 2},
                        {"?account=bea@example.net&customer=shop", 0},
                        {"?customer=none", 0},
                        {"?rcpt=Eve@example.org", 1},
                        {"?rcpt=@example.org", 2},
                        {"?rcpt=@example.net", 0}};
    for (const Row& row : rows) {
        CAPTURE(row.query);
        CHECK(f.count(row.query) == row.count);
    }
    CHECK(f.call("DELETE", "/api/v1/suppression/ann@example.net?all=true").status == 409);
    CHECK(f.count("?customer=shop") == 1);
    CHECK(f.call("DELETE", "/api/v1/suppression/ann@example.net/bob@example.org").status == 200);
    CHECK(f.count("?customer=shop") == 0);
    CHECK(f.call("DELETE", "/api/v1/suppression/bea@example.net?all=true").json["changed"] == 1);
    CHECK(f.count("") == 0);
}

TEST_CASE("pages go on where the one before ended") {
    WithLists f;
    for (int i = 0; i < 5; ++i)
        f.lists.bounced(f.bea, "u" + std::to_string(i) + "@example.org", "5.1.1", "", f.now);
    std::set<std::string> seen;
    std::string cursor;
    int pages = 0;
    do {
        const auto page = f.call(
            "GET", "/api/v1/suppression?limit=2" + (cursor.empty() ? "" : "&cursor=" + cursor));
        for (const auto& item : page.json["items"]) seen.insert(item["rcpt"].get<std::string>());
        cursor = page.json["next"].is_null() ? "" : page.json["next"].get<std::string>();
        ++pages;
    } while (!cursor.empty() && pages < 10);
    CHECK(pages == 3);
    CHECK(seen.size() == 5);
}

TEST_CASE("a customer that is removed leaves nobody suppressed") {
    WithLists f;
    REQUIRE(f.call("POST", "/api/v1/customer", R"({"customer":"brief"})").status == 200);
    REQUIRE(
        f.call("POST", "/api/v1/suppression", R"({"customer":"brief","rcpt":"bob@example.org"})")
            .status == 200);
    const relay::suppression::Owner brief{.customer = "brief", .account = {}};
    CHECK(f.lists.find(brief, "bob@example.org", f.now));
    REQUIRE(f.call("DELETE", "/api/v1/customer/brief").status == 200);
    CHECK_FALSE(f.lists.find(brief, "bob@example.org", f.now));
    CHECK(f.count("") == 0);
}

TEST_CASE("what is wrong about a list is said") {
    WithLists f;
    struct Row {
        const char* method;
        const char* target;
        const char* body;
        int status;
    };
    const Row rows[] = {
        {"POST", "", R"({"customer":"shop"})", 400},
        {"POST", "", R"({"customer":"shop","rcpt":"bob"})", 400},
        {"POST", "", R"({"rcpt":"bob@example.org"})", 400},
        {"POST", "", R"({"customer":"shop","account":"a@b.example","rcpt":"b@example.org"})", 400},
        {"POST", "", R"({"customer":"none","rcpt":"bob@example.org"})", 404},
        {"POST", "", R"({"account":"no@example.net","rcpt":"bob@example.org"})", 404},
        {"POST", "", R"({"customer":"shop","rcpt":"bob@example.org","for":"1d"})", 400},
        {"GET", "?account=no@example.net", "", 404},
        {"GET", "?domain=example.org", "", 400},
        {"GET", "/shop", "", 405},
        {"DELETE", "/shop", "", 400},
        {"DELETE", "/none?all=true", "", 404},
        {"DELETE", "/shop/bob", "", 400},
        {"DELETE", "/shop/bob@example.org/x", "", 404},
        {"PATCH", "", "", 405},
    };
    for (const Row& row : rows) {
        CAPTURE(row.method, row.target, row.body);
        CHECK(
            f.call(row.method, std::string("/api/v1/suppression") + row.target, row.body).status ==
            row.status);
    }
    f.ports.suppression = nullptr;
    CHECK(f.call("GET", "/api/v1/suppression").status == 503);
}
