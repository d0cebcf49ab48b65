#include "relay/upstream/choice.hpp"

#include <map>

#include "relay/event/stream.hpp"
#include "tests/catch.hpp"

using namespace std::chrono_literals;
using namespace postern::relay;
using config::UpstreamRole;

namespace {

using Names = std::vector<std::string>;

const SteadyTime steady{1h};
const WallTime noon{std::chrono::sys_days(std::chrono::year(2026) / 3 / 2) + 12h};

/// Paths as a configuration makes them, and chance as the test has it.
struct World {
    event::NullStream events;
    std::shared_ptr<Traffic> traffic = std::make_shared<Traffic>(noon - 12h);
    PathSet set;
    double chance = 0;

    PathPtr add(const std::string& name, UpstreamRole role, std::uint32_t weight = 1) {
        PathSettings settings;
        settings.upstream.name = name;
        settings.upstream.role = role;
        settings.upstream.weight = weight;
        settings.traffic = traffic;
        return add(std::move(settings));
    }
    PathPtr add(PathSettings settings) {
        return set.paths.emplace_back(std::make_shared<Path>(std::move(settings), events));
    }
    [[nodiscard]] Ways ways(const Wish& wish = {}) const {
        return choose(set, wish, {steady, noon}, [this] { return chance; });
    }
    [[nodiscard]] Names names(const Wish& wish = {}) const {
        Names out;
        for (const PathPtr& path : ways(wish).paths) out.push_back(path->name());
        return out;
    }
};

/// A standby that is owed mail: much of the day's is through, none of it by there.
PathPtr behind(World& world, std::uint64_t mails = 1000) {
    PathPtr standby = world.add("standby", UpstreamRole::standby);
    for (std::uint64_t i = 0; i < mails; ++i) world.traffic->count("primary", noon);
    return standby;
}

PathRoute route(config::Route rule, std::vector<PathPtr> paths) {
    return {.rule = std::move(rule), .paths = std::move(paths)};
}

Names routed(const PathSet& set, const Sender& sender) {
    Names out;
    for (const PathPtr& path : set.routed(sender).paths) out.push_back(path->name());
    return out;
}

Sender sender(std::string domain, std::string customer = "", std::string plan = "") {
    return {.domain = std::move(domain),
            .account = "ann@a.example",
            .customer = std::move(customer),
            .plan = std::move(plan)};
}

}  // namespace

TEST_CASE("roles come one after the other, whatever chance says") {
    World world;
    world.add("standby", UpstreamRole::standby);
    world.add("fallback", UpstreamRole::fallback);
    world.add("primary", UpstreamRole::primary);
    for (const double chance : {0.0, 0.5, 0.999}) {
        world.chance = chance;
        CHECK(world.names() == Names{"primary", "fallback", "standby"});
    }
}

TEST_CASE("within a role the weight decides who is first, and the others follow") {
    World world;
    world.add("a", UpstreamRole::primary, 1);
    world.add("b", UpstreamRole::primary, 2);
    world.add("c", UpstreamRole::primary, 1);
    std::map<std::string, int> first;
    for (int i = 0; i < 400; ++i) {
        world.chance = i / 400.0;
        const Names names = world.names();
        REQUIRE(names.size() == 3);
        ++first[names.front()];
    }
    CHECK(first["a"] == 100);
    CHECK(first["b"] == 200);
    CHECK(first["c"] == 100);
    world.chance = 0;
    CHECK(world.names() == Names{"a", "b", "c"});
    world.chance = 0.99;
    CHECK(world.names() == Names{"c", "b", "a"});
}

TEST_CASE("mail stays with the path that it was tried on, within its role") {
    World world;
    world.add("a", UpstreamRole::primary);
    world.add("b", UpstreamRole::primary);
    world.add("fallback", UpstreamRole::fallback);
    CHECK(world.names({.needs = {}, .warms_as = {}, .before = "b"}) == Names{"b", "a", "fallback"});
    CHECK(world.names({.needs = {}, .warms_as = {}, .before = "fallback"}) ==
          Names{"a", "b", "fallback"});
    CHECK(world.names({.needs = {}, .warms_as = {}, .before = "gone"}) ==
          Names{"a", "b", "fallback"});
}

TEST_CASE("what is paused takes no mail, what is promoted is a primary, and both end") {
    World world;
    const PathPtr primary = world.add("primary", UpstreamRole::primary);
    world.add("fallback", UpstreamRole::fallback);
    const PathPtr standby = world.add("standby", UpstreamRole::standby);
    primary->memory().pause(steady + 1s);
    CHECK(world.names() == Names{"fallback", "standby"});
    CHECK_FALSE(primary->takes_mail(steady));
    CHECK(primary->takes_mail(steady + 1s));
    standby->memory().promote({});
    CHECK(world.names() == Names{"standby", "fallback"});
    CHECK(primary->memory().resume(steady));
    world.chance = 0.99;
    CHECK(world.names() == Names{"standby", "primary", "fallback"});
    CHECK(standby->memory().demote(steady));
    CHECK(world.names() == Names{"primary", "fallback", "standby"});
}

TEST_CASE("a standby that is behind gets a mail, and the next path stands behind it") {
    World world;
    world.add("primary", UpstreamRole::primary);
    world.add("fallback", UpstreamRole::fallback);
    const PathPtr standby = behind(world);
    {
        const Ways ways = world.ways({.needs = {}, .warms_as = "acme", .before = {}});
        REQUIRE(ways.warm.has_value());
        CHECK(ways.paths.front() == standby);
        CHECK(ways.warms(standby));
        CHECK_FALSE(ways.warms(ways.paths[1]));
        CHECK(ways.paths.size() == 3);
        CHECK(ways.paths[1]->name() == "primary");
    }
    SECTION("not with mail that warms nobody") {
        CHECK_FALSE(world.ways({}).warm.has_value());
    }
    SECTION("not once it has been promoted, and not while it is paused") {
        standby->memory().promote({});
        CHECK_FALSE(world.ways({.needs = {}, .warms_as = "acme", .before = {}}).warm.has_value());
        standby->memory().pause({});
        CHECK_FALSE(world.ways({.needs = {}, .warms_as = "acme", .before = {}}).warm.has_value());
    }
    SECTION("outside its share where nobody else takes mail") {
        world.set.paths[0]->trip(steady, "auth", "535 no");
        world.set.paths[1]->memory().pause({});
        const Ways ways = world.ways({.needs = {}, .warms_as = "acme", .before = {}});
        CHECK_FALSE(ways.warm.has_value());
        REQUIRE(ways.paths.size() == 1);
        CHECK(ways.paths.front() == standby);
    }
    SECTION("after one that it did not take it has a rest, longer each time") {
        auto first = world.ways({.needs = {}, .warms_as = "acme", .before = {}});
        first.warm->failed(steady);
        const auto again = [&](SteadyTime now) {
            return choose(world.set, {.needs = {}, .warms_as = "acme", .before = {}}, {now, noon},
                          [] { return 0.0; });
        };
        CHECK_FALSE(again(steady + 29s).warm.has_value());
        auto second = again(steady + 30s);
        REQUIRE(second.warm.has_value());
        second.warm->failed(steady + 30s);
        CHECK_FALSE(again(steady + 89s).warm.has_value());
        auto third = again(steady + 90s);
        REQUIRE(third.warm.has_value());
        third.warm->delivered();
        CHECK(again(steady + 90s).warm.has_value());
    }
}

TEST_CASE("a standby at its rate is passed over") {
    World world;
    world.add("primary", UpstreamRole::primary);
    PathSettings settings;
    settings.upstream.name = "standby";
    settings.upstream.role = UpstreamRole::standby;
    settings.upstream.rate = {{.amount = 1, .period = 60s}};
    settings.traffic = world.traffic;
    const PathPtr standby = world.add(std::move(settings));
    for (int i = 0; i < 1000; ++i) world.traffic->count("primary", noon);
    CHECK(world.ways({.needs = {}, .warms_as = "acme", .before = {}}).warm.has_value());
    CHECK(standby->memory().take(steady));
    CHECK(standby->room(steady) == 0);
    CHECK_FALSE(world.ways({.needs = {}, .warms_as = "acme", .before = {}}).warm.has_value());
}

TEST_CASE("the first route that fits is the mail's, and what none fits takes the others") {
    World world;
    const PathPtr primary = world.add("primary", UpstreamRole::primary);
    PathSettings settings;
    settings.upstream.name = "news";
    settings.upstream.by_default = false;
    const PathPtr news = world.add(std::move(settings));
    const PathPtr standby = world.add("standby", UpstreamRole::standby);
    CHECK(routed(world.set, sender("a.example")) == Names{"primary", "standby"});
    world.set.routes = {
        route({.sender_domains = {"news.example"}, .customers = {"acme"}}, {news}),
        route({.sender_domains = {"news.example"}}, {primary}),
        route({.plans = {"marketing", "trial"}}, {news, standby}),
    };
    CHECK(routed(world.set, sender("news.example", "acme")) == Names{"news"});
    CHECK(routed(world.set, sender("news.example", "other")) == Names{"primary"});
    CHECK(routed(world.set, sender("a.example", "acme", "trial")) == Names{"news", "standby"});
    CHECK(routed(world.set, sender("sub.news.example", "acme")) == Names{"primary", "standby"});
    CHECK(routed(world.set, sender("a.example", "", "gold")) == Names{"primary", "standby"});
    CHECK(world.set.routed(sender("news.example")).routes.empty());
}
