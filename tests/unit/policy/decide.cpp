#include "policy/decide.hpp"

#include "tests/catch.hpp"

using namespace postern;
using namespace postern::policy;
using namespace std::chrono_literals;

namespace {

/// A world with one account, and the three steps over a store.
struct World {
    Settings settings;
    Facts facts;
    LimitStore store;
    Reservation held;
    std::vector<std::string> addresses{"bob@example.org"};
    std::vector<std::string> domains{"example.com"};
    proto::Address sender{"ann", "example.net"};
    proto::HeaderFacts header;
    SteadyTime now{std::chrono::hours(10)};

    World() {
        settings.contact = "help@example.net";
        facts.source = "192.0.2.7";
        facts.account = "ann@example.net";
        facts.owned = {.everything = false,
                       .account = "ann@example.net",
                       .addresses = addresses,
                       .domains = domains};
        facts.mail_from = &sender;
        header.from_fields = 1;
        header.from = {sender};
        facts.header = &header;
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    Verdict judge(Stage stage) {
        const auto asked = plan(stage, facts, settings);
        Answers answers;
        answers.limits = store.reserve(asked.touches, now, held);
        return decide(stage, facts, answers, settings);
    }
};

std::string said(const Verdict& v) {
    return std::to_string(v.reply.code) + " " + v.reply.enhanced;
}

const RuleSeen* seen(const Verdict& v, std::string_view rule) {
    for (const auto& r : v.rules) {
        if (r.rule == rule) return &r;
    }
    return nullptr;
}

}  // namespace

TEST_CASE("the envelope sender must be owned") {
    struct Row {
        proto::Address sender;
        bool owned;
    };
    const std::vector<Row> rows{
        {{"ann", "example.net"}, true},      {{"Ann", "EXAMPLE.net"}, true},
        {{"ann+news", "example.net"}, true}, {{"bob", "example.org"}, true},
        {{"bob+x", "example.org"}, true},    {{"anyone", "example.com"}, true},
        {{"x", "sub.example.com"}, false},   {{"eve", "example.net"}, false},
        {{"ann", "example.org"}, false},     {{"+ann", "example.net"}, false},
        {{"anna", "example.net"}, false},
    };
    for (const auto& row : rows) {
        World world;
        world.sender = row.sender;
        const auto verdict = world.judge(Stage::mail);
        INFO(row.sender.text());
        CHECK(verdict.accepted() == row.owned);
        if (row.owned) continue;
        CHECK(said(verdict) == "550 5.7.1");
        CHECK(verdict.rule == "sender_ownership");
        CHECK(verdict.outcome() == "refused");
        CHECK(world.held.empty());  // nothing was asked for a mail that is refused anyway
        REQUIRE(seen(verdict, "sender_ownership") != nullptr);
        CHECK(seen(verdict, "sender_ownership")->verdict == "refuse");
    }
    World star;
    star.facts.owned = {.everything = true, .account = {}, .addresses = {}, .domains = {}};
    star.sender = {"anyone", "anywhere.example"};
    CHECK(star.judge(Stage::mail).accepted());
}

TEST_CASE("the null reverse-path is judged by header From at the end of data") {
    World world;
    world.facts.mail_from = nullptr;
    CHECK(world.judge(Stage::mail).accepted());
    CHECK(world.judge(Stage::data).accepted());
    world.header.from = {{"eve", "evil.example"}};
    CHECK(world.judge(Stage::data).rule == "sender_ownership");
    world.settings.rules.set(Rule::header_from, Mode::off);
    CHECK(said(world.judge(Stage::data)) == "550 5.7.1");
    world.settings.rules.set(Rule::sender_ownership, Mode::off);
    CHECK(world.judge(Stage::data).accepted());
}

TEST_CASE("every mailbox of From and Sender must be owned") {
    World world;
    CHECK(world.judge(Stage::data).accepted());
    world.header.from.push_back({"eve", "evil.example"});
    CHECK(world.judge(Stage::data).rule == "header_from");
    CHECK(said(world.judge(Stage::data)) == "550 5.7.1");
    world.header.from.pop_back();
    world.header.sender = {{"eve", "evil.example"}};
    CHECK(said(world.judge(Stage::data)) == "550 5.7.1");
    world.header.sender = {{"bob", "example.org"}};
    CHECK(world.judge(Stage::data).accepted());
    world.header.from_parsed = false;
    CHECK(said(world.judge(Stage::data)) == "550 5.7.1");
    world.facts.owned.everything = true;
    CHECK(world.judge(Stage::data).accepted());
    world.facts.owned.everything = false;
    world.header.from_parsed = true;
    world.header.from.clear();  // an empty group
    CHECK(said(world.judge(Stage::data)) == "550 5.7.1");
}

TEST_CASE("what is no mail, or comes round again, is refused whatever the modes") {
    struct Row {
        int from_fields, received;
        bool loop, overlong;
        const char* reply;
    };
    const std::vector<Row> rows{
        {0, 0, false, false, "554 5.6.0"},   {2, 0, false, false, "554 5.6.0"},
        {1, 101, false, false, "554 5.4.6"}, {1, 1, true, false, "554 5.4.6"},
        {1, 0, false, true, "554 5.6.0"},
    };
    for (const auto& row : rows) {
        World world;
        for (const auto rule : all_rules) world.settings.rules.set(rule, Mode::off);
        world.header.from_fields = row.from_fields;
        world.header.received_fields = row.received;
        world.header.loop = row.loop;
        world.header.overlong_line = row.overlong;
        const auto verdict = world.judge(Stage::data);
        CHECK(said(verdict) == row.reply);
        CHECK(verdict.rule == "syntax");
    }
    World hundred;
    hundred.header.received_fields = 100;
    CHECK(hundred.judge(Stage::data).accepted());
}

TEST_CASE("too large is refused as declared and as counted") {
    World world;
    world.settings.max_size = 1'000;
    world.facts.declared_size = 1'000;
    CHECK(world.judge(Stage::mail).accepted());
    world.facts.declared_size = 1'001;
    CHECK(said(world.judge(Stage::mail)) == "552 5.3.4");
    world.facts.bytes = 1'001;
    CHECK(said(world.judge(Stage::data)) == "552 5.3.4");
    CHECK(world.judge(Stage::data).rule == "size");
}

TEST_CASE(
    "the sixty-first message of a minute waits a second, and not with the limit off or observed") {
    World world;
    for (int i = 0; i < 60; ++i) {
        REQUIRE(world.judge(Stage::mail).accepted());
        world.held.commit();
    }
    const auto verdict = world.judge(Stage::mail);
    CHECK(said(verdict) == "451 4.7.1");
    CHECK(verdict.seconds == 1);
    CHECK(verdict.outcome() == "throttled");
    CHECK(verdict.rule == "limits");
    CHECK(verdict.reply.text.find("try again in 1 s") != std::string::npos);

    world.facts.overrides.set(Rule::limits, Mode::observe);
    const auto observed = world.judge(Stage::mail);
    CHECK(observed.accepted());
    REQUIRE(seen(observed, "limits") != nullptr);
    CHECK(seen(observed, "limits")->verdict == "throttle");
    CHECK(seen(observed, "limits")->mode == "observe");

    world.facts.overrides.set(Rule::limits, Mode::off);
    CHECK(world.judge(Stage::mail).accepted());
    CHECK(seen(world.judge(Stage::mail), "limits") == nullptr);
}

TEST_CASE("recipients are charged one by one, and those that can never pass hear another code") {
    World world;
    world.settings.plans["small"] = {.messages = {}, .recipients = {{3, 60s}}};
    world.facts.plan = "small";
    for (; world.facts.recipients < 3; ++world.facts.recipients)
        REQUIRE(world.judge(Stage::rcpt).accepted());
    CHECK(said(world.judge(Stage::rcpt)) == "452 4.5.3");
    world.held.commit();
    world.facts.recipients = 0;  // the next message at once: it would pass later
    const auto later = world.judge(Stage::rcpt);
    CHECK(said(later) == "451 4.7.1");
    CHECK(later.seconds == 20);
    world.now += 20s;
    CHECK(world.judge(Stage::rcpt).accepted());
}

TEST_CASE("more recipients than a message may have are refused one by one") {
    World world;
    world.settings.max_recipients = 2;
    world.facts.recipients = 1;
    CHECK(world.judge(Stage::rcpt).accepted());
    world.facts.recipients = 2;
    const auto verdict = world.judge(Stage::rcpt);
    CHECK(said(verdict) == "452 4.5.3");
    CHECK(verdict.rule == "size");
}

TEST_CASE("a suppressed recipient is refused with the date and whom to ask, at no cost") {
    World world;
    const proto::Address bob{"bob", "example.org"};
    world.facts.rcpt = &bob;
    world.settings.plans["transactional"] = {.messages = {}, .recipients = {{1, 3600s}}};
    // The last second of a day.
    world.facts.suppressed_since =
        std::chrono::sys_days(std::chrono::November / 3 / 2026) - std::chrono::seconds(1);
    world.facts.suppressed_for = "5.1.1";
    CHECK(plan(Stage::rcpt, world.facts, world.settings).empty());
    const auto verdict = world.judge(Stage::rcpt);
    CHECK(said(verdict) == "550 5.1.1");
    CHECK(verdict.rule == "suppression");
    CHECK(verdict.reply.text ==
          "bob@example.org bounced before: suppressed since 2026-11-02; ask help@example.net");
    REQUIRE(seen(verdict, "suppression") != nullptr);
    CHECK(seen(verdict, "suppression")->verdict == "refuse");
    world.facts.suppressed_for = "";
    CHECK(world.judge(Stage::rcpt).reply.text ==
          "bob@example.org is not to be written to: suppressed since 2026-11-02; ask "
          "help@example.net");
    // One recipient an hour may pass, and none has.
    world.facts.suppressed_since.reset();
    const auto passed = world.judge(Stage::rcpt);
    CHECK(passed.accepted());
    REQUIRE(seen(passed, "suppression") != nullptr);
    CHECK(seen(passed, "suppression")->verdict == "accept");
}

TEST_CASE("suppression holds as far as its mode goes, by account too") {
    struct Row {
        Mode configured;
        std::optional<Mode> own;
        bool passes;
        const char* told;  // null: nothing
    };
    const Row rows[] = {{Mode::enforce, std::nullopt, false, "refuse"},
                        {Mode::observe, std::nullopt, true, "refuse"},
                        {Mode::off, std::nullopt, true, nullptr},
                        {Mode::enforce, Mode::off, true, nullptr},
                        {Mode::off, Mode::enforce, false, "refuse"},
                        {Mode::enforce, Mode::observe, true, "refuse"}};
    for (const Row& row : rows) {
        CAPTURE(static_cast<int>(row.configured), row.passes);
        World world;
        const proto::Address bob{"bob", "example.org"};
        world.facts.rcpt = &bob;
        world.facts.suppressed_since = std::chrono::system_clock::time_point(1'700'000'000s);
        world.settings.rules.set(Rule::suppression, row.configured);
        world.facts.overrides.set(Rule::suppression, row.own);
        const auto verdict = world.judge(Stage::rcpt);
        CHECK(verdict.accepted() == row.passes);
        const RuleSeen* const one = seen(verdict, "suppression");
        REQUIRE((one != nullptr) == (row.told != nullptr));
        if (one != nullptr) CHECK(one->verdict == row.told);
    }
}

TEST_CASE("an unknown plan and no plan are transactional, an account's own limits come first") {
    const Settings settings;
    CHECK(settings.limits_of("") == PlanLimits::transactional());
    CHECK(settings.limits_of("gold") == PlanLimits::transactional());
    World world;
    const PlanLimits own{.messages = {{1, 60s}}, .recipients = {}};
    world.facts.account_limits = &own;
    CHECK(world.judge(Stage::mail).accepted());
    world.held.commit();
    CHECK(world.judge(Stage::mail).seconds == 60);
}

TEST_CASE("a message that is refused at its end gives its tokens back") {
    World world;
    world.settings.plans["transactional"] = {.messages = {{1, 3600s}}, .recipients = {{1, 3600s}}};
    for (int i = 0; i < 5; ++i) {
        REQUIRE(world.judge(Stage::mail).accepted());
        REQUIRE(world.judge(Stage::rcpt).accepted());
        world.held.give_back();
    }
    REQUIRE(world.judge(Stage::mail).accepted());
    world.held.commit();
    CHECK(world.judge(Stage::mail).seconds == 3'600);
}

TEST_CASE("an observed rule is told and changes nothing") {
    World world;
    world.settings.rules.set(Rule::sender_ownership, Mode::observe);
    world.sender = {"eve", "evil.example"};
    const auto verdict = world.judge(Stage::mail);
    CHECK(verdict.accepted());
    REQUIRE(seen(verdict, "sender_ownership") != nullptr);
    CHECK(seen(verdict, "sender_ownership")->verdict == "refuse");
    REQUIRE(seen(verdict, "limits") != nullptr);
    world.facts.overrides.set(Rule::sender_ownership, Mode::enforce);
    CHECK_FALSE(world.judge(Stage::mail).accepted());
}

TEST_CASE("connections are bounded in all, by source and by account") {
    World world;
    world.settings.max_connections = 10;
    world.settings.max_connections_per_source = 3;
    world.settings.max_connections_per_account = 2;
    world.facts.connections = 10;
    world.facts.connections_of_source = 3;
    CHECK(world.judge(Stage::connect).accepted());
    world.facts.connections = 11;
    CHECK(said(world.judge(Stage::connect)) == "421 4.7.0");
    CHECK(world.judge(Stage::connect).reply.close_after);
    world.facts.connections = 10;
    world.facts.connections_of_source = 4;
    CHECK(said(world.judge(Stage::connect)) == "421 4.7.0");
    world.facts.connections_of_account = 2;
    CHECK(world.judge(Stage::auth).accepted());
    world.facts.connections_of_account = 3;
    CHECK(said(world.judge(Stage::auth)) == "421 4.7.0");
}

TEST_CASE("a source in penalty is refused at connect as far as the rule's mode goes") {
    World world;
    Answers answers;
    answers.guard_refuses = true;
    CHECK(decide(Stage::connect, world.facts, answers, world.settings).rule == "login_guard");
    world.settings.rules.set(Rule::login_guard, Mode::observe);
    const auto observed = decide(Stage::connect, world.facts, answers, world.settings);
    CHECK(observed.accepted());
    CHECK(seen(observed, "login_guard")->verdict == "refuse");
    world.settings.rules.set(Rule::login_guard, Mode::off);
    CHECK(decide(Stage::connect, world.facts, answers, world.settings).rules.empty());
}

TEST_CASE("a suspended account hears where to write to, and only the operator's words") {
    World world;
    world.facts.suspended = true;
    world.facts.suspended_text = "unpaid\r\n250 forged";
    const auto verdict = world.judge(Stage::auth);
    CHECK(said(verdict) == "525 5.7.13");
    CHECK(verdict.rule == "suspended");
    CHECK(verdict.reply.text.find("help@example.net") != std::string::npos);
    CHECK(verdict.reply.text.find('\n') == std::string::npos);
    CHECK(verdict.reply.text.find('\r') == std::string::npos);
}

TEST_CASE("a reply echoes an address only cleaned and short") {
    World world;
    world.sender = {std::string("x\r\n250 ok") + std::string(5'000, 'y'), "evil.example"};
    const auto verdict = world.judge(Stage::mail);
    CHECK(verdict.reply.text.size() < 250);
    CHECK(verdict.reply.text.find('\n') == std::string::npos);
}

TEST_CASE("a device writes to those on its list alone, whatever the modes say") {
    World w;
    const std::vector<std::string> list{"@example.com", "bob@example.org"};
    const auto to = [&](std::string local, std::string domain) {
        const proto::Address address{std::move(local), std::move(domain)};
        w.facts.rcpt = &address;
        return w.judge(Stage::rcpt);
    };
    CHECK(to("eve", "evil.example").accepted());
    w.facts.only_to = list;
    CHECK(to("bob", "example.org").accepted());
    CHECK(to("anybody", "example.com").accepted());
    for (const Mode mode : {Mode::enforce, Mode::observe, Mode::off}) {
        for (const Rule rule : all_rules) w.settings.rules.set(rule, mode);
        const auto refused = to("eve", "evil.example");
        CHECK(said(refused) == "550 5.7.1");
        CHECK(refused.reply.text.starts_with("eve@evil.example "));
        CHECK(refused.rule == "size");
        CHECK(refused.outcome() == "refused");
    }
    w.facts.rcpt = nullptr;
    CHECK(plan(Stage::rcpt, w.facts, w.settings).empty());
}

TEST_CASE("a device's plan stands beside the account's") {
    World w;
    w.facts.credential = "copier";
    w.facts.credential_plan = "device";
    for (int i = 0; i < 30; ++i) {
        REQUIRE(w.judge(Stage::mail).accepted());
        w.held.commit();
    }
    CHECK(said(w.judge(Stage::mail)) == "451 4.7.1");
    w.facts.credential = "phone";
    w.facts.credential_plan = "";
    CHECK(w.judge(Stage::mail).accepted());
}
