// What an operator sees of the guard and does to it, and what it keeps over a restart.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/catch.hpp"
#include "tests/unit/policy/guard.hpp"

using namespace postern::policy;
using namespace std::chrono_literals;
using namespace postern::test;
using Gate = LoginGuard::Gate;
using Kind = LoginGuard::Kind;

namespace {

const SteadyTime start = guard_start;
const std::string ann = "ann@example.net";
const std::string office = "192.0.2.7";
const std::string attacker = "198.51.100.9";

/// Fails until its weight is at the bar where sources are refused.
void hammer(LoginGuard& guard, const std::string& source, SteadyTime now) {
    for (std::uint64_t n = 0; n < 12; ++n) (void)fail(guard, source, user(n), n, now);
}

std::vector<LoginGuard::Standing> all(const LoginGuard& guard, SteadyTime now,
                                      std::size_t page_size = 1'000) {
    std::vector<LoginGuard::Standing> out;
    std::string cursor;
    do {
        auto page = guard.list(cursor, page_size, now);
        REQUIRE(page);
        REQUIRE(page->items.size() <= page_size);
        out.insert(out.end(), page->items.begin(), page->items.end());
        cursor = page->next;
    } while (!cursor.empty());
    return out;
}

std::optional<LoginGuard::Standing> find(const LoginGuard& guard, std::string_view subject,
                                         SteadyTime now) {
    for (const auto& one : all(guard, now)) {
        if (one.subject == subject) return one;
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("sources, accounts, pairs and networks in penalty are listed with what they wait") {
    LoginGuard guard;
    CHECK(all(guard, start).empty());
    succeed(guard, office, ann, start);
    for (std::uint64_t n = 0; n < 6; ++n) (void)fail(guard, office, ann, n, start);
    hammer(guard, attacker, start);
    for (std::uint64_t n = 0; n < 40; ++n)
        (void)fail(guard, "203.0.113." + std::to_string(n), "bob@example.net", n, start);

    const auto source = find(guard, attacker, start);
    REQUIRE(source);
    CHECK(source->kind == Kind::source);
    CHECK(source->refused);
    CHECK(source->failures > 20);
    CHECK(source->delay == 20s);
    CHECK(source->until.value() >= start + 10min);
    const auto pair = find(guard, "ann@example.net 192.0.2.7", start);
    REQUIRE(pair);
    CHECK(pair->kind == Kind::pair);
    CHECK(pair->delay > 1s);
    CHECK_FALSE(pair->refused);
    const auto account = find(guard, "bob@example.net", start);
    REQUIRE(account);
    CHECK(account->kind == Kind::account);
    CHECK(account->failures > 10);
    const auto network = find(guard, "203.0.113.0/24", start);
    REQUIRE(network);
    CHECK(network->kind == Kind::source);
    CHECK(network->delay == 20s);
    CHECK_FALSE(find(guard, office, start));  // Nothing of strangers failed there.

    const auto penalties = guard.penalties(start);
    CHECK(penalties.sources == 2);
    CHECK(penalties.pairs == 1);
    CHECK(penalties.accounts >= 1);
    CHECK(all(guard, start + 3h).empty());
    CHECK(find(guard, attacker, start + 5min)->until.value() <= start + 1h);
}

TEST_CASE("a list comes in pages, each subject once") {
    LoginGuard guard;
    for (std::uint64_t s = 0; s < 100; ++s) {
        for (std::uint64_t n = 0; n < 2; ++n)
            (void)fail(guard, far_source(s), user(s * 10 + n), n, start);
    }
    for (const std::size_t size : {1U, 7U, 99U, 100U, 101U}) {
        std::set<std::string> subjects;
        const auto items = all(guard, start, size);
        for (const auto& one : items) subjects.insert(one.subject);
        CHECK(items.size() == 100);
        CHECK(subjects.size() == 100);
    }
    for (const char* cursor : {"x", "0:", "9:1", "0:zz", "0:1 ", "0:11111111111111111"})
        CHECK_FALSE(guard.list(cursor, 10, start));
}

TEST_CASE("forget drops what is counted against a subject") {
    LoginGuard guard;
    succeed(guard, office, ann, start);
    for (std::uint64_t n = 0; n < 6; ++n) (void)fail(guard, office, ann, n, start);
    hammer(guard, attacker, start);
    for (std::uint64_t n = 0; n < 40; ++n)
        (void)fail(guard, "203.0.113." + std::to_string(n), "bob@example.net", n, start);
    for (const char* subject :
         {"198.51.100.9", "ann@example.net 192.0.2.7", "BOB@example.net", "203.0.113.0/24"}) {
        INFO(subject);
        CHECK(guard.forget(subject));
        CHECK_FALSE(guard.forget(subject));
    }
    CHECK_FALSE(guard.on_connect(attacker, start).refuse);
    CHECK(fail(guard, office, ann, 99, start).delay == 0s);
    CHECK(fail(guard, "203.0.113.250", "zoe@example.net", 99, start).delay == 0s);
    CHECK(guard.known_pair(office, ann, start));
    for (const char* subject : {"", "192.0.2.99", "nobody@example.net", "2001:db8::/48", "x\ny"})
        CHECK_FALSE(guard.forget(subject));
}

TEST_CASE("allow exempts a subject until it is forgotten") {
    LoginGuard guard;
    hammer(guard, attacker, start);
    REQUIRE(guard.on_connect(attacker, start).refuse);
    REQUIRE(guard.allow(attacker) == LoginGuard::Allow::done);
    hammer(guard, attacker, start);
    CHECK_FALSE(guard.on_connect(attacker, start).refuse);
    CHECK(gate(guard, attacker, ann, start).kind == Gate::Kind::go);
    auto now = start + 1min;
    CHECK(fail(guard, attacker, ann, 1, now).delay == 0s);
    const auto listed = find(guard, attacker, now);
    REQUIRE(listed);
    CHECK(listed->allowed);
    CHECK(listed->failures == 0);
    CHECK(guard.forget(attacker));
    hammer(guard, attacker, now);
    CHECK(guard.on_connect(attacker, now).refuse);
}

TEST_CASE("a network, an account and a pair can be allowed as well") {
    LoginGuard guard;
    REQUIRE(guard.allow("198.51.100.0/24") == LoginGuard::Allow::done);
    hammer(guard, attacker, start);
    CHECK_FALSE(guard.on_connect(attacker, start).refuse);

    REQUIRE(guard.allow("Bob@example.net") == LoginGuard::Allow::done);
    for (std::uint64_t n = 0; n < 40; ++n)
        (void)fail(guard, far_source(n), "bob@example.net", n, start);
    CHECK(fail(guard, "203.0.113.1", "bob@example.net", 99, start).delay == 0s);

    REQUIRE(guard.allow("ann@example.net 203.0.113.77") == LoginGuard::Allow::done);
    hammer(guard, "203.0.113.77", start);
    CHECK_FALSE(guard.on_connect("203.0.113.77", start).refuse);
    auto first = guard.attempt("203.0.113.77", ann, {}, start);
    auto second = guard.attempt("203.0.113.77", ann, {}, start);
    CHECK(first.ask(start).kind == Gate::Kind::go);
    CHECK(second.ask(start).kind == Gate::Kind::go);
    CHECK(gate(guard, "203.0.113.77", user(1), start).kind != Gate::Kind::go);

    CHECK(guard.allow("") == LoginGuard::Allow::malformed);
    CHECK(guard.allow("a\rb") == LoginGuard::Allow::malformed);
    LoginGuard small(LoginGuard::Settings{}, {.max_allowed = 2});
    CHECK(small.allow("192.0.2.1") == LoginGuard::Allow::done);
    CHECK(small.allow("192.0.2.2") == LoginGuard::Allow::done);
    CHECK(small.allow("192.0.2.2") == LoginGuard::Allow::done);
    CHECK(small.allow("192.0.2.3") == LoginGuard::Allow::too_many);
}

TEST_CASE("penalties go on after a restart, less the time between") {
    LoginGuard before(LoginGuard::Settings{}, {}, 111);
    succeed(before, office, ann, start);
    for (std::uint64_t n = 0; n < 6; ++n) (void)fail(before, office, ann, n, start, 0, "phone");
    hammer(before, attacker, start);
    for (std::uint64_t n = 0; n < 40; ++n)
        (void)fail(before, "203.0.113." + std::to_string(n), "bob@example.net", n, start);
    REQUIRE(before.allow("2001:db8:1::/48") == LoginGuard::Allow::done);
    const std::string saved = before.save(start + 1s);
    CHECK(saved.size() < 20'000);

    // The steady clock of the next process begins anew, and its seed is another.
    const SteadyTime boot{std::chrono::hours(1)};
    const auto restarted = [&](std::chrono::milliseconds elapsed) {
        auto guard =
            std::make_unique<LoginGuard>(LoginGuard::Settings{}, LoginGuard::Bounds{}, 222);
        REQUIRE(guard->load(saved, elapsed, boot));
        guard->load_known(office, ann, 1h, boot);
        return guard;
    };
    const auto after = restarted(5s);
    CHECK(after->on_connect(attacker, boot).refuse);
    CHECK(fail(*after, "203.0.113.201", user(7), 1, boot).counts.spraying == "203.0.113.0/24");
    CHECK(fail(*after, "10.9.9.9", "bob@example.net", 1, boot).withhold);
    CHECK(fail(*after, office, ann, 99, boot, 0, "phone").delay > 4s);
    succeed(*after, office, ann, boot, "phone");
    CHECK(fail(*after, office, ann, 98, boot, 0, "phone").delay == 0s);
    CHECK(find(*after, "2001:db8:1::/48", boot)->allowed);
    CHECK(after->on_connect(attacker, boot + 9min).refuse);
    CHECK_FALSE(after->on_connect(attacker, boot + 1h).refuse);

    // A clock that was set back makes nothing longer than it was.
    const auto back = restarted(-1h * 24 * 365);
    CHECK(back->on_connect(attacker, boot).refuse);
    CHECK_FALSE(back->on_connect(attacker, boot + 1h).refuse);
    const auto later = restarted(1h);
    CHECK_FALSE(later->on_connect(attacker, boot).refuse);
    CHECK(fail(*later, "10.9.9.9", "bob@example.net", 1, boot).delay == 0s);
    const auto much_later = restarted(24h * 100'000);
    CHECK(all(*much_later, boot).size() == 1);  // what is allowed
}

TEST_CASE("a damaged snapshot is refused whole, and changes nothing") {
    LoginGuard before;
    hammer(before, attacker, start);
    (void)before.allow("192.0.2.1");
    const std::string saved = before.save(start);
    for (std::size_t size = 0; size < saved.size(); ++size) {
        LoginGuard guard;
        CHECK_FALSE(guard.load(saved.substr(0, size), 0s, start));
        CHECK(all(guard, start).empty());
    }
    LoginGuard guard;
    CHECK_FALSE(guard.load(saved + "x", 0s, start));
    CHECK_FALSE(guard.load(std::string(1'000, '\xff'), 0s, start));
    // Whatever octet is wrong: taken or not, it is no crash, and no penalty beyond our own.
    for (std::size_t at = 0; at < saved.size(); ++at) {
        for (const char value : {'\0', '\x7f', '\xff'}) {
            std::string changed = saved;
            changed[at] = value;
            LoginGuard into;
            if (!into.load(changed, 0s, start)) continue;
            for (const auto& one : all(into, start)) {
                CHECK(one.failures <= 60);
                CHECK(one.until.value_or(start) <= start + 2h);
            }
        }
    }
}

TEST_CASE("what is kept is bounded, the worst first") {
    LoginGuard guard;
    for (std::uint64_t n = 0; n < 120'000; ++n)
        (void)fail(
            guard,
            "2001:db8:" + std::to_string(n % 9'000) + ":" + std::to_string(n / 9'000) + "::/64",
            user(n), 1, start);
    hammer(guard, attacker, start);
    const std::string saved = guard.save(start);
    CHECK(saved.size() < 6'000'000);
    LoginGuard next;
    REQUIRE(next.load(saved, 1s, start));
    CHECK(next.on_connect(attacker, start).refuse);
    CHECK(next.stats().sources <= 100'000);
}
