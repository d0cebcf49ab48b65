#include "policy/login_watch.hpp"

#include <string>
#include <thread>
#include <vector>

#include "tests/catch.hpp"

using namespace postern::policy;
using namespace std::chrono_literals;

namespace {

const SteadyTime start{std::chrono::hours(10'000)};
constexpr std::string_view ann = "ann@example.net";

using Guard = LoginGuard::SuccessAnswer;

Guard known() {
    Guard guard;
    guard.known_pair = true;
    return guard;
}

Guard after(double of_source, double of_account, double of_pair = 0, bool pair = false) {
    Guard guard;
    guard.known_pair = pair;
    guard.counts.source_failures = of_source;
    guard.counts.account_failures = of_account;
    guard.counts.pair_failures = of_pair;
    return guard;
}

/// "network country" and so on: what is due.
std::string due(const LoginWatch::Alerts& alerts) {
    std::string out;
    const auto say = [&](bool is, const char* word) {
        if (is) out += (out.empty() ? "" : " ") + std::string(word);
    };
    say(alerts.after_failures, "failures");
    say(alerts.new_network, "network");
    say(alerts.new_country, "country");
    say(alerts.many_networks, "many");
    return out;
}

std::string login(LoginWatch& watch, std::string_view source, SteadyTime now, Place place = {},
                  std::string_view account = ann, Guard guard = {}) {
    return due(watch.on_login(
        {.account = account, .source = source, .place = std::move(place), .guard = guard}, now));
}

Place at(std::uint32_t asn, std::string country = "") {
    return {.asn = asn, .country = std::move(country)};
}

}  // namespace

TEST_CASE("the first login of an account is no news, the same network later neither") {
    LoginWatch watch;
    CHECK(login(watch, "192.0.2.7", start).empty());
    CHECK(login(watch, "192.0.2.7", start + 1h).empty());
    CHECK(login(watch, "192.0.2.200", start + 2h).empty());
    CHECK(login(watch, "198.51.100.9", start + 3h) == "network");
    CHECK(login(watch, "198.51.100.9", start + 4h).empty());
    CHECK(login(watch, "2001:db8:1:2::/64", start + 5h) == "network");
    CHECK(login(watch, "2001:db8:1:3::/64", start + 6h).empty());
    CHECK(login(watch, "2001:db8:2:3::/64", start + 7h) == "network");
    CHECK(login(watch, "203.0.113.1", start, {}, "bob@example.net").empty());
    CHECK(watch.accounts() == 2);
}

TEST_CASE("with a database a network is a provider, and countries count") {
    LoginWatch watch;
    CHECK(login(watch, "192.0.2.7", start, at(64500, "DE")).empty());
    CHECK(login(watch, "198.51.100.9", start + 1h, at(64500, "DE")).empty());
    CHECK(login(watch, "203.0.113.1", start + 2h, at(64501, "DE")) == "network");
    CHECK(login(watch, "203.0.113.77", start + 3h, at(64502, "FR")) == "country");
    CHECK(login(watch, "100.64.1.1", start + 4h, at(64503, "US")) == "network country");
    CHECK(login(watch, "100.64.1.1", start + 5h, at(64503, "US")).empty());
    CHECK(login(watch, "100.65.1.1", start + 6h, at(64504)) == "network");
}

TEST_CASE("a country is new only beside one that is known") {
    LoginWatch watch;
    CHECK(login(watch, "192.0.2.7", start).empty());
    CHECK(login(watch, "198.51.100.9", start + 1h, at(0, "FR")) == "network");
    CHECK(login(watch, "203.0.113.1", start + 2h, at(0, "DE")) == "network country");
}

TEST_CASE("what was used longer ago than known_for is new again") {
    LoginWatch watch({.known_for = std::chrono::days(2)}, {});
    CHECK(login(watch, "192.0.2.7", start).empty());
    CHECK(login(watch, "198.51.100.9", start + 40h) == "network");
    CHECK(login(watch, "192.0.2.7", start + 47h).empty());
    CHECK(login(watch, "192.0.2.7", start + 94h).empty());
    CHECK(login(watch, "198.51.100.9", start + 95h) == "network");
    watch.set({.known_for = std::chrono::days(20)});
    CHECK(login(watch, "192.0.2.7", start + 200h).empty());
    // All of it has been forgotten; that the account was there has not.
    CHECK(login(watch, "192.0.2.7", start + 2000h) == "network");
}

TEST_CASE("what is loaded at the start is known") {
    LoginWatch watch;
    watch.load(ann, "192.0.2.7", at(64500, "DE"), 1h, start);
    watch.load(ann, "198.51.100.9", at(64501, "DE"), std::chrono::days(29), start);
    watch.load("old@example.net", "192.0.2.7", {}, std::chrono::days(400), start);
    CHECK(login(watch, "192.0.2.99", start, at(64500, "DE")).empty());
    CHECK(login(watch, "198.51.100.10", start, at(64501, "DE")).empty());
    CHECK(login(watch, "203.0.113.1", start, at(64502, "FR")) == "network country");
    CHECK(login(watch, "192.0.2.7", start, {}, "old@example.net") == "network");
    CHECK(login(watch, "192.0.2.7", start, {}, "new@example.net").empty());
}

TEST_CASE("a database that comes later tells of what is known already") {
    LoginWatch watch;
    CHECK(login(watch, "192.0.2.7", start).empty());
    watch.load(ann, "192.0.2.7", at(64500, "DE"), 60s, start + 1min);
    CHECK(login(watch, "198.51.100.9", start + 2min, at(64500, "DE")).empty());
    CHECK(login(watch, "203.0.113.1", start + 3min, at(64501, "FR")) == "network country");
}

TEST_CASE("many failures before a success from a new source are told") {
    struct Row {
        Guard guard;
        const char* due;
    };
    const Row table[] = {
        {after(0, 0), ""},
        {after(4.9, 0), ""},
        {after(5.9, 0), "failures"},
        {after(0, 4.9), ""},
        {after(0, 5.9), "failures"},
        {known(), ""},
        {after(50, 50, 0, true), ""},  // The owner, while others guess.
        {after(0, 5, 3.9, true), ""},
        {after(0, 5, 4.8, true), "failures"},
    };
    for (const Row& row : table) {
        LoginWatch watch;
        CHECK(login(watch, "192.0.2.7", start, {}, ann, row.guard) == row.due);
    }
}

TEST_CASE("the guard's own counts lead there: five wrong passwords and the right one") {
    for (const bool known_before : {false, true}) {
        LoginGuard guard;
        LoginWatch watch;
        auto now = start;
        const auto succeed = [&] {
            auto attempt = guard.attempt("192.0.2.7", ann, {}, now);
            const Guard said = attempt.succeeded(now);
            return login(watch, "192.0.2.7", now, {}, ann, said);
        };
        if (known_before) CHECK(succeed().empty());
        for (std::uint64_t secret = 1; secret <= 5; ++secret) {
            auto attempt = guard.attempt("192.0.2.7", ann, {}, now);
            now += attempt.failed(secret, 0, now).delay + 1s;
        }
        CHECK(succeed() == "failures");
        CHECK(succeed().empty());  // What was told is over: the account has used this source.
    }
}

TEST_CASE("five new networks within ten minutes are many, a phone that roams is not") {
    LoginWatch watch;
    CHECK(login(watch, "192.0.2.7", start, at(1)).empty());
    // Wifi and mobile, in turn, all the time.
    auto now = start + 24h;
    CHECK(login(watch, "198.51.100.1", now, at(2)) == "network");
    for (int i = 0; i < 200; ++i, now += 10s) {
        const bool wifi = i % 2 == 0;
        CHECK(login(watch, wifi ? "192.0.2.7" : "198.51.100.1", now, at(wifi ? 1 : 2)).empty());
    }
    now += 24h;
    for (const std::uint32_t asn : {10U, 11U, 12U, 13U}) {
        CHECK(login(watch, "203.0." + std::to_string(asn) + ".1", now, at(asn)) == "network");
        now += 1min;
    }
    const auto fifth =
        watch.on_login({.account = ann, .source = "203.0.14.1", .place = at(14), .guard = {}}, now);
    CHECK(due(fifth) == "network many");
    CHECK(fifth.networks == 5);
    // The same again is not told again; another one is.
    CHECK(login(watch, "203.0.14.1", now + 1s, at(14)).empty());
    CHECK(login(watch, "203.0.15.1", now + 2s, at(15)) == "network many");
    // An hour later these are the account's own.
    CHECK(login(watch, "203.0.16.1", now + 1h, at(16)) == "network");
}

TEST_CASE("without a database many networks are far from each other") {
    LoginWatch watch;
    CHECK(login(watch, "192.0.2.7", start).empty());
    auto now = start + 24h;
    // One mobile provider: many /24 of one /16, many /48 of one /32.
    for (int i = 1; i <= 8; ++i, now += 10s) {
        CHECK(login(watch, "100.64." + std::to_string(i) + ".1", now) == "network");
        CHECK(login(watch, "2001:db8:" + std::to_string(i) + ":2::/64", now) == "network");
    }
    now += 24h;
    for (int i = 1; i <= 5; ++i, now += 10s) {
        const auto source = "10." + std::to_string(i) + ".1.1";
        CHECK(login(watch, source, now) == (i < 5 ? "network" : "network many"));
    }
}

TEST_CASE("new networks of a provider that was used before are not many") {
    LoginWatch watch;
    for (std::uint32_t asn = 1; asn <= 6; ++asn)
        watch.load(ann, "192.0." + std::to_string(asn) + ".1", at(asn), 48h, start);
    for (std::uint32_t asn = 1; asn <= 6; ++asn)
        CHECK(login(watch, "10." + std::to_string(asn) + ".1.1", start + 1s, at(asn)).empty());
}

TEST_CASE("networks that were known at the start are not new, however many at once") {
    LoginWatch watch;
    for (int i = 1; i <= 9; ++i)
        watch.load(ann, "10." + std::to_string(i) + ".1.1", {}, 48h, start);
    for (int i = 1; i <= 9; ++i)
        CHECK(login(watch, "10." + std::to_string(i) + ".1.1", start + 1s).empty());
}

TEST_CASE("an account that is everywhere has no new network") {
    LoginWatch watch;
    auto now = start;
    for (int i = 0; i < 32; ++i, now += 1h) {
        const auto source = "10." + std::to_string(i) + ".1.1";
        CHECK(login(watch, source, now) == (i == 0 ? "" : "network"));
    }
    CHECK(login(watch, "10.99.1.1", now).empty());
}

TEST_CASE("its memory is bounded, and forgets the account that logged in longest ago") {
    LoginWatch watch({}, {.max_accounts = 64});
    for (int i = 0; i < 10'000; ++i) {
        const auto account = "user" + std::to_string(i) + "@example.net";
        CHECK(login(watch, "192.0.2.7", start + std::chrono::seconds(i), {}, account).empty());
        (void)login(watch, "192.0.2.7", start + std::chrono::seconds(i));
    }
    CHECK(watch.accounts() <= 64 + 16);
    CHECK(login(watch, "198.51.100.9", start + 20'000s) == "network");
    CHECK(login(watch, "198.51.100.9", start + 20'000s, {}, "user0@example.net").empty());
}

TEST_CASE("many threads log in at once") {
    LoginWatch watch({}, {.max_accounts = 200});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&watch, t] {
            for (int i = 0; i < 2'000; ++i) {
                const auto account = "user" + std::to_string(i % 300) + "@example.net";
                const auto source = "10." + std::to_string(i % 50) + "." + std::to_string(t) + ".1";
                (void)login(watch, source, start + std::chrono::seconds(i),
                            at(static_cast<std::uint32_t>(i % 7)), account);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(watch.accounts() <= 200 + 16);
}
