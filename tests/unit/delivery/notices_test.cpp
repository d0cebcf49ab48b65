#include "relay/delivery/notices.hpp"

#include "bench.hpp"

using namespace postern;
using relay::EntryUpdate;
using relay::Notice;
using relay::Settled;
using relay::SpoolBatch;
using relay::SpoolError;
using test::Bench;

namespace {

std::vector<std::uint32_t> settled(const EntryUpdate& update) {
    std::vector<std::uint32_t> out;
    for (const auto& done : update.done) out.push_back(done.index);
    return out;
}

/// An entry that no path will ever take: the first recipient is owed a notice of it, the second
/// is not.
void never_taken(Bench& bench) {
    auto& loaded = bench.entry("01A");
    loaded.entry.attempts = 3;
    loaded.entry.envelope.recipients.push_back(
        {.address = {"eve", "example.org"}, .notify = proto::Notify{.never = true}, .orcpt = {}});
    loaded.open = {0, 1};
}

}  // namespace

TEST_CASE("without its notices, what was delivered is settled and what failed stays open") {
    EntryUpdate update;
    update.done = {{0, Settled::delivered},
                   {1, Settled::refused},
                   {2, Settled::expired},
                   {3, Settled::refused},
                   {4, Settled::delivered}};
    update.last_reply = "451 4.3.0 later";
    update.delay_notified = true;
    const std::vector<Notice> notices{{.recipient = 1,
                                       .action = proto::DsnAction::failed,
                                       .reply = {550, "5.1.1", "no such user", false},
                                       .remote = "primary",
                                       .reason = {}},
                                      {.recipient = 2,
                                       .action = proto::DsnAction::failed,
                                       .reply = {},
                                       .remote = {},
                                       .reason = {}},
                                      {.recipient = 4,
                                       .action = proto::DsnAction::relayed,
                                       .reply = {},
                                       .remote = {},
                                       .reason = {}}};
    const EntryUpdate alone = relay::without_notices(update, notices);
    CHECK(settled(alone) == std::vector<std::uint32_t>{0, 3, 4});
    CHECK(alone.last_reply == "550 5.1.1 no such user");
    CHECK(alone.delay_notified);

    const Notice late{.recipient = 0,
                      .action = proto::DsnAction::delayed,
                      .reply = {},
                      .remote = {},
                      .reason = {}};
    CHECK_FALSE(relay::without_notices(update, {late}).delay_notified);
}

TEST_CASE("an outcome is recorded alone where its notification is refused") {
    Bench bench;
    never_taken(bench);
    bench.spool.says = [](const SpoolBatch& batch) -> boost::system::error_code {
        if (batch.add.empty()) return {};
        return SpoolError::full;
    };
    bench.run(bench.delivery.run_entry(bench.pool, "01A"));
    REQUIRE(bench.spool.taken.size() == 1);
    const SpoolBatch& batch = bench.spool.taken[0];
    CHECK(batch.add.empty());
    REQUIRE(batch.update.size() == 1);
    CHECK(settled(batch.update[0]) == std::vector<std::uint32_t>{1});
    CHECK(batch.update[0].attempts == 3);
    CHECK(batch.update[0].next_attempt > std::chrono::system_clock::now());
    CHECK(bench.spool.put_backs.empty());
    CHECK(bench.events.of<relay::event::Dsn>().empty());
}

TEST_CASE("an outcome that the spool refuses is tried again before the entry is put back") {
    Bench bench;
    never_taken(bench);
    int refused = 0;
    bench.spool.says = [&](const SpoolBatch&) -> boost::system::error_code {
        if (refused++ < 3) return SpoolError::write;
        return {};
    };
    bench.run(bench.delivery.run_entry(bench.pool, "01A"));
    CHECK(bench.spool.taken.size() == 1);
    CHECK(bench.spool.put_backs.empty());

    // One that is gone by now is not waited for.
    bench.spool.taken.clear();
    bench.spool.says = [](const SpoolBatch&) -> boost::system::error_code {
        return SpoolError::not_found;
    };
    bench.run(bench.delivery.run_entry(bench.pool, "01A"));
    CHECK(bench.spool.taken.empty());
    CHECK(bench.spool.put_backs == std::vector<std::string>{"01A"});
}

TEST_CASE("who shuts down waits for no spool") {
    Bench bench;
    never_taken(bench);
    bench.spool.says = [&](const SpoolBatch&) -> boost::system::error_code {
        bench.pool.hurry(std::chrono::steady_clock::now());
        return SpoolError::write;
    };
    bench.run(bench.delivery.run_entry(bench.pool, "01A"));
    CHECK(bench.spool.put_backs == std::vector<std::string>{"01A"});
}
