#include "relay/guard/attack_alerts.hpp"

#include <string>
#include <variant>
#include <vector>

#include "relay/event/alerts.hpp"
#include "tests/catch.hpp"

using namespace postern;
using namespace std::chrono_literals;
using relay::AttackAlerts;
using relay::event::AlertRaised;

namespace {

const policy::SteadyTime start{1'000h};

/// A stream that lets alerts pass as the real one does.
class Told final : public relay::event::Stream {
  public:
    void emit(relay::event::Payload what) noexcept override {
        auto* const alert = std::get_if<AlertRaised>(&what);
        if (alert != nullptr && book.admit(*alert, wall)) alerts.push_back(std::move(*alert));
    }
    relay::event::AlertBook book;
    std::chrono::system_clock::time_point wall{1'800'000'000s};
    std::vector<AlertRaised> alerts;
};

void fail(policy::LoginGuard& guard, AttackAlerts& attacks, const std::string& source,
          const std::string& account, std::uint64_t secret, policy::SteadyTime now) {
    auto attempt = guard.attempt(source, account, {}, now);
    attacks.saw(attempt.failed(secret, 0, now).counts);
}

std::string field(const AlertRaised& alert, std::string_view name) {
    for (const auto& [key, value] : alert.fields) {
        if (key == name) return value;
    }
    return "";
}

}  // namespace

TEST_CASE("an attack on an account is told once, and when it is over") {
    Told told;
    AttackAlerts attacks(told);
    policy::LoginGuard guard;
    for (std::uint64_t n = 0; n < 100; ++n)
        fail(guard, attacks, "10.0." + std::to_string(n) + ".1", "ann@example.net", n, start);
    REQUIRE(told.alerts.size() == 1);
    CHECK(told.alerts[0].kind == "account_attacked");
    CHECK(told.alerts[0].subject == "ann@example.net");
    CHECK(told.alerts[0].severity == "warning");
    CHECK(field(told.alerts[0], "failures") == "6");
    CHECK_FALSE(field(told.alerts[0], "sources").empty());

    attacks.sweep(guard, start + 1min);
    CHECK(told.alerts.size() == 1);
    attacks.sweep(guard, start + 3h);
    attacks.sweep(guard, start + 4h);
    REQUIRE(told.alerts.size() == 2);
    CHECK(told.alerts[1].state == "resolved");
    CHECK(told.alerts[1].count == 95);
    CHECK(field(told.alerts[1], "failures") == "100");
    CHECK(told.book.firing().empty());
}

TEST_CASE("a source that sprays is told, and a network in its stead where neighbours join") {
    Told told;
    AttackAlerts attacks(told);
    policy::LoginGuard guard;
    for (std::uint64_t n = 0; n < 5; ++n)
        fail(guard, attacks, "203.0.113.9", "user" + std::to_string(n), n, start);
    REQUIRE(told.alerts.size() == 1);
    CHECK(told.alerts[0].kind == "source_spraying");
    CHECK(told.alerts[0].subject == "203.0.113.9");
    CHECK(field(told.alerts[0], "accounts") == "4");
    for (std::uint64_t n = 0; n < 60; ++n)
        fail(guard, attacks, "203.0.113." + std::to_string(n), "other" + std::to_string(n), n,
             start);
    REQUIRE(told.alerts.size() == 2);
    CHECK(told.alerts[1].subject == "203.0.113.0/24");
    attacks.sweep(guard, start + 5h);
    CHECK(told.alerts.size() == 4);
    CHECK(told.book.firing().empty());
}

TEST_CASE("mistakes are no attack, and no more are followed than the bound") {
    Told told;
    AttackAlerts attacks(told, 3);
    policy::LoginGuard guard;
    for (std::uint64_t n = 0; n < 4; ++n)
        fail(guard, attacks, "192.0.2.7", "ann@example.net", n, start);
    for (int n = 0; n < 50; ++n) fail(guard, attacks, "192.0.2.8", "bob@example.net", 7, start);
    CHECK(told.alerts.empty());
    for (int account = 0; account < 5; ++account) {
        for (std::uint64_t n = 0; n < 8; ++n) {
            fail(guard, attacks, "10." + std::to_string(account) + "." + std::to_string(n) + ".1",
                 "user" + std::to_string(account), n, start);
        }
    }
    CHECK(told.alerts.size() == 5);
    attacks.sweep(guard, start + 3h);
    CHECK(told.alerts.size() == 8);
}
