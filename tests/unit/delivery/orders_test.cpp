// What an operator said of an entry, as delivery keeps to it.
#include "bench.hpp"
#include "relay/delivery/drop.hpp"

using namespace postern::relay;
using namespace postern::test;

namespace {

PathPtr open(Bench& bench, const std::string& name) {
    PathSettings settings;
    settings.upstream.name = name;
    settings.hostname = "relay.example";
    settings.upstream.address = {"127.0.0.1", 1};  // Nobody is there.
    settings.upstream.tls = config::UpstreamTls::none;
    return std::make_shared<Path>(std::move(settings), bench.events);
}

PathPtr away(Bench& bench, const std::string& name) {
    auto path = open(bench, name);
    path->trip(std::chrono::steady_clock::now(), "greeting", "away");
    return path;
}

}  // namespace

TEST_CASE("an entry that was held after it was taken is put back") {
    Bench bench;
    bench.entry("one").held = true;
    bench.run(bench.delivery.run_entry(bench.pool, "one"));
    CHECK(bench.spool.put_backs == std::vector<std::string>{"one"});
    CHECK(bench.spool.taken.empty());
}

TEST_CASE("a rerouted entry waits for its way, and ages meanwhile") {
    Bench bench;
    // An attempt at the first would be recorded: nobody is there.
    bench.paths->paths = {open(bench, "first"), away(bench, "second")};
    auto& entry = bench.entry("one");
    entry.rerouted = true;
    entry.entry.upstream = "second";
    const auto began = std::chrono::system_clock::now();
    bench.run(bench.delivery.run_entry(bench.pool, "one"));
    CHECK(bench.spool.put_backs == std::vector<std::string>{"one"});
    CHECK(bench.spool.put_back_until >= began + std::chrono::minutes(1));
    CHECK(bench.spool.taken.empty());

    auto& old = bench.entry("two", std::chrono::hours(24 * 5));
    old.rerouted = true;
    old.entry.upstream = "second";
    bench.run(bench.delivery.run_entry(bench.pool, "two"));
    REQUIRE(bench.spool.taken.size() == 1);
    REQUIRE(bench.spool.taken[0].update.size() == 1);
    REQUIRE(bench.spool.taken[0].update[0].done.size() == 1);
    CHECK(bench.spool.taken[0].update[0].done[0].how == Settled::expired);
}

TEST_CASE("what is in doubt stays so, and with its path, whatever a later attempt hears") {
    Bench bench;
    bench.paths->paths = {open(bench, "first"), open(bench, "second")};
    auto& entry = bench.entry("one");
    entry.entry.state = EntryState::in_doubt;
    entry.entry.upstream = "first";
    entry.entry.attempts = 1;
    bench.run(bench.delivery.run_entry(bench.pool, "one"));
    REQUIRE(bench.spool.taken.size() == 1);
    REQUIRE(bench.spool.taken[0].update.size() == 1);
    const EntryUpdate& update = bench.spool.taken[0].update[0];
    CHECK(update.attempts == 2);
    CHECK(update.state == EntryState::in_doubt);
    CHECK(update.upstream == "first");
}

TEST_CASE("what waits for our own rate is not given up untried") {
    Bench bench;
    const PathPtr path = open(bench, "first");
    const auto now = std::chrono::steady_clock::now();
    path->memory().set_rate(
        {postern::policy::Window{.amount = 1, .period = std::chrono::hours(1)}});
    REQUIRE(path->memory().take(now));
    bench.paths->paths = {path};
    bench.entry("one", std::chrono::hours(24 * 5));
    bench.run(bench.delivery.run_entry(bench.pool, "one"));
    // That it waits is told, and no more.
    REQUIRE(bench.spool.taken.size() == 1);
    CHECK(bench.spool.taken[0].update[0].done.empty());
    CHECK(bench.spool.taken[0].update[0].delay_notified);
}

TEST_CASE("nobody tells of the age of what is held") {
    Bench bench;
    bench.paths->paths = {away(bench, "first")};
    bench.entry("one", std::chrono::hours(24 * 5)).held = true;
    std::string next = "unset";
    bench.run([](Bench& b, std::string& to) -> awaitable<void> {
        to = co_await b.delivery.age_waiting({});
    }(bench, next));
    CHECK(next.empty());
    CHECK(bench.spool.taken.empty());
}

TEST_CASE(
    "entries are dropped with a notice each, up to a limit, and the spool's failure ends it") {
    Bench bench;
    for (const char* id : {"one", "three", "two"}) bench.entry(id);
    EntryChange what{
        .kind = EntryChange::Kind::drop, .reason = "why", .now = {}, .limit = 2, .stop = {}};
    std::vector<std::string> gone;
    const auto files = posix_file_system();
    dkim::KeyStore keys(*files, "/nonexistent/dkim", nullptr);
    dkim::Signer signer(keys, bench.events);
    const auto drop = [&] {
        return drop_with_notice(bench.spool, bench.delivery.notices(), *bench.config, bench.events,
                                signer, {}, what,
                                [&](const EntryInfo& info) { gone.push_back(info.id); });
    };
    const auto some = drop();
    CHECK(some.matched == 2);
    CHECK(some.changed == 2);
    CHECK(some.failed == 0);
    CHECK(gone == std::vector<std::string>{"one", "three"});
    REQUIRE(bench.spool.taken.size() == 1);  // one sync for both
    const SpoolBatch& batch = bench.spool.taken[0];
    CHECK(batch.add.size() == 2);
    REQUIRE(batch.update.size() == 2);
    for (const EntryUpdate& update : batch.update) {
        CHECK(update.done[0].how == Settled::dropped);
        CHECK(update.last_reply == "dropped: why");
    }

    what.limit = 0;
    bench.spool.says = [](const SpoolBatch&) { return make_error_code(SpoolError::write); };
    const auto failed = drop();
    CHECK(failed.error == SpoolError::write);
    CHECK(failed.matched == 3);
    CHECK(failed.changed == 0);
    CHECK(failed.failed == 3);

    // One that is gone by now keeps nobody else back.
    gone.clear();
    bench.spool.says = [](const SpoolBatch& all) -> boost::system::error_code {
        if (all.update.size() > 1 || all.update[0].id == "three") return SpoolError::not_found;
        return {};
    };
    const auto others = drop();
    CHECK_FALSE(others.error);
    CHECK(others.changed == 2);
    CHECK(others.failed == 1);
    CHECK(gone == std::vector<std::string>{"one", "two"});

    bench.spool.says = {};
    what.stop = [] { return true; };
    CHECK(drop().error == SpoolError::busy);
    CHECK(gone.size() == 3);
}
