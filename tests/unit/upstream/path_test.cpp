#include "relay/upstream/path_set.hpp"

#include <thread>

#include "relay/event/stream.hpp"
#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;

namespace {

/// Keeps what paths tell.
class Heard final : public event::Stream {
  public:
    void emit(event::Payload what) noexcept override {
        if (const auto* upstream = std::get_if<event::Upstream>(&what))
            states.push_back(upstream->state);
        if (const auto* alert = std::get_if<event::AlertRaised>(&what))
            alerts.emplace_back(alert->kind, alert->resolved);
    }
    std::vector<std::string> states;
    std::vector<std::pair<std::string, bool>> alerts;
};

PathPtr make_path(event::Stream& events, const std::string& name, std::uint32_t concurrency = 2) {
    PathSettings settings;
    settings.upstream.name = name;
    settings.upstream.concurrency = concurrency;
    return std::make_shared<Path>(std::move(settings), events);
}

postern::proto::UpstreamOffer offering(bool eight_bit, bool utf8, std::uint64_t size) {
    postern::proto::UpstreamOffer offer;
    offer.esmtp = true;
    offer.eight_bit_mime = eight_bit;
    offer.smtputf8 = utf8;
    offer.max_size = size;
    return offer;
}

const SteadyTime now{1h};

}  // namespace

TEST_CASE("a path gives as many slots as it has connections, and takes them back") {
    Heard events;
    const PathPtr path = make_path(events, "primary");
    auto first = Path::try_slot(path, now);
    auto second = Path::try_slot(path, now);
    CHECK(first);
    CHECK(second);
    CHECK_FALSE(Path::try_slot(path, now));
    first = {};
    CHECK(path->connections() == 1);
    CHECK(Path::try_slot(path, now));
}

TEST_CASE("slots hold under several threads") {
    Heard events;
    const PathPtr path = make_path(events, "primary", 7);
    std::atomic<int> most{0};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 2000; ++i) {
                const auto slot = Path::try_slot(path, now);
                int seen = path->connections();
                int before = most.load();
                while (seen > before && !most.compare_exchange_weak(before, seen)) {
                }
            }
        });
    }
    threads.clear();
    CHECK(most.load() <= 7);
    CHECK(path->connections() == 0);
}

TEST_CASE("who waits hears of a free slot") {
    Heard events;
    const PathPtr path = make_path(events, "primary", 1);
    int woken = 0;
    path->on_free = [&] { ++woken; };
    auto slot = Path::try_slot(path, now);
    slot = {};
    CHECK(woken == 0);
    slot = Path::try_slot(path, now);
    path->waiting.fetch_add(1);
    slot = {};
    CHECK(woken == 1);
}

TEST_CASE("an open breaker is told once, and its end too") {
    Heard events;
    const PathPtr path = make_path(events, "primary");
    path->trip(now, "auth", "535 5.7.8 no");
    path->trip(now, "auth", "535 5.7.8 no");
    CHECK_FALSE(path->takes_mail(now));
    CHECK_FALSE(path->claim_probe(now + 4s));
    CHECK(path->claim_probe(now + 5s));
    CHECK_FALSE(path->claim_probe(now + 5s));  // somebody makes it already
    path->probed(now + 5s, true, "");
    CHECK(events.states == std::vector<std::string>{"open", "half_open"});
    CHECK(events.alerts == std::vector<std::pair<std::string, bool>>{{"upstream_down", false},
                                                                     {"upstream_down", true}});
}

TEST_CASE("candidates are what takes mail now and offers what the message needs") {
    Heard events;
    PathSet set;
    set.paths = {make_path(events, "primary"), make_path(events, "fallback")};
    const auto names = [&](const PathSet::Needs& needs) {
        std::vector<std::string> out;
        for (const PathPtr& path : set.candidates(needs, now)) out.push_back(path->name());
        return out;
    };
    using Names = std::vector<std::string>;
    CHECK(names({}) == Names{"primary", "fallback"});
    CHECK(names({.size = 1U << 30U, .eight_bit_mime = true, .smtputf8 = true}) ==
          Names{"primary", "fallback"});
    set.paths[0]->met(offering(false, true, 1000));
    CHECK(names({.size = 10, .eight_bit_mime = true}) == Names{"fallback"});
    CHECK(names({.size = 1001}) == Names{"fallback"});
    CHECK(names({.size = 1000, .smtputf8 = true}) == Names{"primary", "fallback"});
    CHECK(set.largest_size() == 0);
    set.paths[1]->met(offering(false, false, 2000));
    CHECK(set.largest_size() == 2000);
    CHECK_FALSE(set.any_offers({.eight_bit_mime = true}));
    CHECK(set.any_offers({.smtputf8 = true}));
    set.paths[0]->trip(now, "greeting", "554");
    CHECK(names({}) == Names{"fallback"});
    CHECK_FALSE(set.all_open(now));
    set.paths[1]->trip(now, "greeting", "554");
    CHECK(set.all_open(now));
    CHECK(set.find("fallback") == set.paths[1]);
    CHECK(set.find("third") == nullptr);
}

TEST_CASE(
    "an upstream that asks for less has fewer connections, and the first to come back is told") {
    Heard events;
    int woken = 0;  // Slots that go at the end tell of it, too.
    const PathPtr path = make_path(events, "primary", 8);
    std::vector<Path::Slot> slots;
    for (int i = 0; i < 8; ++i) slots.push_back(Path::try_slot(path, now));
    path->asked_for_less(now);
    CHECK(path->bears() == 4);
    CHECK(path->room(now) == 4);
    slots.resize(4);
    CHECK_FALSE(Path::try_slot(path, now));
    CHECK(path->takes_mail(now));
    path->on_free = [&] { ++woken; };
    path->waiting.fetch_add(1);
    for (int i = 0; i < 4; ++i) path->succeeded(now + 5s);
    CHECK(path->bears() == 5);
    CHECK(woken == 1);
    CHECK(Path::try_slot(path, now + 5s));
}

TEST_CASE("a paused path gives no slot and says why") {
    Heard events;
    const PathPtr path = make_path(events, "primary");
    path->memory().pause({});
    CHECK_FALSE(Path::try_slot(path, now));
    CHECK(path->limit(now) == 0);
    CHECK(path->trouble(now) == "primary: paused by an operator");
    CHECK(path->memory().resume(now));
    CHECK(Path::try_slot(path, now));
    path->trip(now, "auth", "535 5.7.8 no");
    CHECK(path->trouble(now) == "primary: 535 5.7.8 no");
}

TEST_CASE("what is known of a path by its name outlives its settings") {
    Heard events;
    const PathPtr before = make_path(events, "primary");
    before->memory().promote({});
    before->took_mail(0.5);
    PathSettings settings = before->settings();
    settings.upstream.concurrency = 5;
    settings.upstream.role = config::UpstreamRole::standby;
    const auto after = std::make_shared<Path>(std::move(settings), events);
    CHECK(after->role(now) == config::UpstreamRole::primary);
    CHECK(after->memory().latency() == 0.5);
    CHECK(after->traffic().today("primary", std::chrono::system_clock::now()).by_upstream == 1);
    CHECK(before->memory().demote(now));
    CHECK(after->role(now) == config::UpstreamRole::standby);
}
