#include "fixture.hpp"
#include "relay/admin/host_header.hpp"
#include "relay/event/token_map.hpp"

using namespace postern;
using namespace postern::relay::admin;
using test::Fixture;

TEST_CASE("the version is told") {
    const Fixture f;
    CHECK(
        f.call("GET", "/api/v1/version").json ==
        nlohmann::json{{"version", "1.2.3"}, {"commit", "abc"}, {"built", "2026-01-01T00:00:00Z"}});
    CHECK(f.call("POST", "/api/v1/version").status == 405);
}

TEST_CASE("a reload answers with what changed, or why it was refused") {
    Fixture f;
    CHECK(f.call("POST", "/api/v1/reload").json["code"] == "not_ready");
    f.ports.reload = [] { return ReloadOutcome{true, "", {"log.level"}}; };
    CHECK(f.call("POST", "/api/v1/reload").json["keys"] == nlohmann::json{"log.level"});
    f.ports.reload = [] { return ReloadOutcome{false, "server.listen needs a restart", {}}; };
    const auto refused = f.call("POST", "/api/v1/reload");
    CHECK(refused.status == 400);
    CHECK(refused.json["detail"] == "server.listen needs a restart");
    CHECK(f.call("GET", "/api/v1/reload").status == 405);
}

TEST_CASE("the port gives health and metrics alone, to those it trusts") {
    Fixture f;
    f.ports.metrics = [] { return std::string("postern_x 1\n"); };
    f.ports.unready = [] { return std::vector<std::string>(); };
    const Api api(f.ports);
    Request request;
    request.method = "GET";
    request.surface = Surface::port;
    for (const char* target : {"/healthz", "/readyz", "/metrics"}) {
        CAPTURE(target);
        REQUIRE(request.set_target(target));
        request.source_trusted = true;
        CHECK(api.handle(request).status == 200);
        request.source_trusted = false;
        CHECK(api.handle(request).status == 401);
    }
    request.source_trusted = true;
    for (const char* target : {"/", "/api/v1/account", "/api/v1/version", "/nothing"}) {
        REQUIRE(request.set_target(target));
        const auto answer = api.handle(request);
        CHECK(answer.status == 401);
        CHECK(answer.content_type == "application/problem+json");
    }
}

TEST_CASE("readiness names what is missing") {
    Fixture f;
    f.ports.unready = [] { return std::vector<std::string>{"spool not writable", "draining"}; };
    Request request;
    request.method = "GET";
    REQUIRE(request.set_target("/readyz"));
    const auto answer = Api(f.ports).handle(request);
    CHECK(answer.status == 503);
    CHECK(answer.body == "spool not writable\ndraining\n");
}

TEST_CASE("an exception ends its request alone") {
    Fixture f;
    f.ports.metrics = []() -> std::string { throw std::runtime_error("broken"); };
    Request request;
    request.method = "GET";
    REQUIRE(request.set_target("/metrics"));
    const auto answer = Api(f.ports).handle(request);
    CHECK(answer.status == 500);
    CHECK(answer.body.find("broken") == std::string::npos);
    REQUIRE(f.events.of<relay::event::Log>().size() == 1);
}

TEST_CASE("targets are decoded by segment") {
    Request r;
    REQUIRE(r.set_target("/api/v1/trace/a%2Fb%40c?x=1+2&x=%26&y"));
    CHECK(r.segments == std::vector<std::string>{"api", "v1", "trace", "a/b@c"});
    CHECK(r.query.count("x") == 2);
    CHECK(r.query.find("x")->second == "1 2");
    CHECK(r.query.find("y")->second.empty());
    for (const char* wrong :
         {"", "api", "http://x/", "/%", "/%4", "/%zz", "/%00", "/x?%gg=1", "*"}) {
        CAPTURE(wrong);
        CHECK_FALSE(r.set_target(wrong));
    }
    CHECK_FALSE(r.set_target("/" + std::string(10'000, 'a')));
}

TEST_CASE("Host must name this relay") {
    for (const char* ours : {"127.0.0.1", "127.0.0.1:8025", "[::1]:8025", "localhost:8025",
                             "LOCALHOST", "smtp.example.net", "SMTP.example.net:8025"}) {
        CAPTURE(ours);
        CHECK(is_our_host(ours, "smtp.example.net"));
    }
    for (const char* other : {"", "evil.example", "smtp.example.net.evil.example:8025",
                              "127.0.0.1.evil.example", "a b", "localhost:99999"}) {
        CAPTURE(other);
        CHECK_FALSE(is_our_host(other, "smtp.example.net"));
    }
}

TEST_CASE("the journal is read by selectors, in pages, and a message is traced") {
    Fixture f;
    CHECK(f.call("GET", "/api/v1/trace/01J00000000000000000000001").status == 404);
    const auto now = std::chrono::system_clock::now();
    {
        auto journal = relay::event::Journal::open({.folder = f.ports.journal}, now);
        REQUIRE(journal.has_value());
        std::string lines;
        for (std::uint64_t seq = 1; seq <= 5; ++seq) {
            relay::event::Admin admin;
            admin.what = seq % 2 == 0 ? "even" : "odd";
            relay::event::append_line(
                lines, {now + std::chrono::milliseconds(seq), {}, seq, std::move(admin)});
        }
        relay::event::Message message;
        message.ref = "01J00000000000000000000001";
        message.account = "ann@example.net";
        message.rcpts = {"b@example.org"};
        message.outcome = "accepted";
        relay::event::append_line(lines, {now, {}, 6, std::move(message)});
        REQUIRE(journal->append(lines, now));
    }
    const auto page = f.call("GET", "/api/v1/events?event=admin&limit=2");
    REQUIRE(page.json["items"].size() == 2);
    REQUIRE(page.json["next"].is_string());
    const auto rest = f.call("GET", "/api/v1/events?event=admin&limit=10&cursor=" +
                                        page.json["next"].get<std::string>());
    CHECK(rest.json["items"].size() == 3);
    CHECK(rest.json["next"].is_null());
    CHECK(f.call("GET", "/api/v1/events?event=admin&latest=1").json["items"][0]["seq"] == 5);
    CHECK(f.call("GET", "/api/v1/events?ref=01J00000000000000000000001").json["items"].size() == 1);
    CHECK(f.call("GET", "/api/v1/events?cursor=x").status == 400);
    CHECK(f.call("GET", "/api/v1/events?bogus=x").status == 400);
    CHECK(f.call("GET", "/api/v1/events?event=tls_handshake").status == 400);  // only counted
    const auto misspelt = f.call("GET", "/api/v1/events?event=admn");
    CHECK(misspelt.status == 400);
    CHECK(misspelt.json.dump().find("did you mean admin?") != std::string::npos);
    const auto traced = f.call("GET", "/api/v1/trace/01j00000000000000000000001");
    CHECK(traced.status == 200);
    CHECK(traced.json["account"] == "ann@example.net");
    f.ports.journal.clear();
    CHECK(f.call("GET", "/api/v1/events").json["code"] == "not_ready");
}

TEST_CASE("a token leads to its message as long as it is kept") {
    Fixture f;
    const std::string token = "0123456789abcdef0123456789abcdef";
    const std::string upper = "0123456789ABCDEF0123456789ABCDEF";
    const auto status = [&f](const std::string& id) {
        return f.call("GET", "/api/v1/trace/" + id).status;
    };
    CHECK(status(token) == 404);
    f.ports.tokens = f.folder.path() + "/trace";
    CHECK(status(token) == 404);
    const auto sent = std::chrono::system_clock::now() - std::chrono::hours(3);
    auto map = relay::event::Journal::open({.folder = f.ports.tokens}, sent);
    REQUIRE(map.has_value());
    relay::event::Message message;
    message.ref = "01J00000000000000000000001";
    message.account = "ann@example.net";
    message.token = token;
    message.rcpts = {"b@example.org"};
    message.outcome = "accepted";
    std::string line;
    relay::event::append_token_line(line, {sent, {}, 6, std::move(message)});
    REQUIRE(map->append(line, sent));

    for (const auto& id : {token, upper}) {
        const auto traced = f.call("GET", "/api/v1/trace/" + id);
        CHECK(traced.status == 200);
        CHECK(traced.json["token"] == token);
        CHECK(traced.json["account"] == "ann@example.net");
    }
    CHECK(status("1123456789abcdef0123456789abcdef") == 404);
    CHECK(status(token.substr(1)) == 404);
    f.ports.trace_retention = [] { return std::chrono::hours(4); };
    CHECK(status(token) == 200);
    f.ports.trace_retention = [] { return std::chrono::hours(2); };
    CHECK(status(token) == 404);
}
