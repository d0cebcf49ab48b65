// Attempts of what is queued: the other caller of the upstream code.

#include <utility>

#include <fmt/format.h>

#include "relay/delivery/commit.hpp"
#include "relay/delivery/delivery.hpp"
#include "relay/delivery/retry.hpp"
#include "relay/net/offload.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using Fate = Tally::Fate;
using How = AttemptResult::How;

/// How soon an entry comes again that found no free way.
constexpr std::chrono::seconds no_way_pause{15};
/// How soon an entry comes again whose attempt ended by an exception.
constexpr std::chrono::minutes after_exception{1};
/// An upstream session of a spooled message is bounded by the time-outs of its stages; this is
/// beyond all of them.
constexpr std::chrono::hours attempt_bound{2};

std::uint64_t size_of(const NewEntry& entry) {
    std::uint64_t n = 0;
    for (const std::string_view piece : entry.pieces) n += piece.size();
    return n;
}

NoticeSource source_of(const LoadedEntry& loaded) {
    return {.ref = loaded.entry.ref,
            .account = loaded.entry.account,
            .customer = loaded.entry.customer,
            .envelope = &loaded.entry.envelope,
            .pieces = loaded.entry.pieces,
            .received = loaded.entry.created};
}

}  // namespace

awaitable<void> Delivery::run_entry(UpstreamPool& pool, std::string id) {
    if (pool.hurried()) {
        spool_.put_back(id, std::chrono::system_clock::now());
        co_return;
    }
    try {
        co_await load_and_attempt(pool, id);
    } catch (...) {
        // A bug, or no memory. What stays active comes again only after a restart.
        spool_.put_back(id, std::chrono::system_clock::now() + after_exception);
        throw;
    }
}

awaitable<void> Delivery::load_and_attempt(UpstreamPool& pool, std::string id) {
    auto read = co_await net::offload(offload_, [&] { return spool_.load(id); });
    if (!read) {
        // Damage was told by the spool itself; an entry that is gone was dropped meanwhile.
        if (read.error() != SpoolError::damaged && read.error() != SpoolError::not_found) {
            events_.log(event::Level::error, "spool",
                        fmt::format("{} cannot be read: {}", id, read.error().message()));
            spool_.put_back(id, std::chrono::system_clock::now() + no_way_pause);
        }
        co_return;
    }
    // An attempt may outlive us: it keeps the entry alive.
    co_await attempt_entry(pool, std::make_shared<LoadedEntry>(std::move(*read)));
}

awaitable<void> Delivery::attempt_entry(UpstreamPool& pool, std::shared_ptr<LoadedEntry> shared) {
    LoadedEntry& loaded = *shared;
    const auto config = ports_.config();
    const auto paths = ports_.paths();
    NewEntry& entry = loaded.entry;
    Tally tally(entry.envelope.recipients.size(), &loaded.open);
    const PathSet::Needs needs{.size = size_of(entry),
                               .eight_bit_mime = entry.envelope.body == proto::Body::eight_bit_mime,
                               .smtputf8 = entry.envelope.smtputf8};
    auto ways = paths->candidates(needs, clock::now());
    if (entry.state == EntryState::in_doubt) {
        std::erase_if(ways, [&](const PathPtr& path) { return path->name() != entry.upstream; });
    }
    bool attempted = false;
    for (const PathPtr& path : ways) {
        if (pool.hurried()) break;
        Outgoing outgoing{.ref = entry.ref,
                          .envelope = &entry.envelope,
                          .recipients = tally.open(),
                          .pieces = entry.pieces,
                          .size = needs.size,
                          .keep = shared};
        const AttemptPtr attempt =
            pool.start(path, std::move(outgoing), false, clock::now() + no_way_pause);
        if (!co_await attempt->wait_until(clock::now() + attempt_bound)) {
            attempt->abandon();
            if (attempt->dot_sent()) {
                tally.lost(path->name());
                attempted = true;
            }
            break;
        }
        const AttemptResult result = attempt->take_result();
        if (result.how == How::unfit) continue;
        if (result.how == How::no_slot) {
            if (path->open_breaker(clock::now())) continue;
            break;  // Busy, not broken: it stays with its path.
        }
        attempted = true;
        tally.apply(result.results, path->name(), result.dsn_offered);
        entry.upstream = path->name();
        if (result.results.empty() && result.failure) {
            entry.last_reply =
                fmt::format("{} at {}", describe(*result.failure), name(result.failure->stage));
        }
        // An entry of the message's own is told as the message, whatever it is called; a
        // notification as itself.
        tell_results(entry.ref, entry.dsn ? entry.id : entry.ref, entry.envelope, result, *path,
                     needs.size);
        if (result.how == How::in_doubt) {
            tally.lost(path->name());
            break;
        }
        // The next path is for those whose own takes no mail at all.
        if (!tally.any(Fate::open) || !path->open_breaker(clock::now())) break;
    }
    if (!attempted && !paths->any_offers(needs)) {
        // Nothing that is configured will ever take it.
        EntryUpdate update;
        update.id = entry.id;
        std::vector<Notice> notices;
        for (const std::uint32_t i : loaded.open) {
            update.done.push_back({i, Settled::refused});
            if (proto::dsn_owed(entry.envelope, entry.envelope.recipients[i],
                                proto::DsnAction::failed)) {
                notices.push_back({.recipient = i,
                                   .action = proto::DsnAction::failed,
                                   .reply = {.code = 554,
                                             .enhanced = "5.6.3",
                                             .text = "no way out offers what the message needs",
                                             .close_after = false},
                                   .remote = {},
                                   .reason = "No way out offers what the message needs."});
            }
        }
        Step step{.update = std::move(update), .notices = std::move(notices)};
        co_await record_step(loaded, std::move(step));
        co_return;
    }
    Step step = next_step(*config, loaded, tally, attempted);
    const bool nothing_new = !attempted && step.update.done.empty() &&
                             step.update.delay_notified == loaded.delay_notified;
    if (nothing_new) {
        spool_.put_back(entry.id, std::chrono::system_clock::now() +
                                      (pool.hurried() ? std::chrono::seconds(0) : no_way_pause));
        co_return;
    }
    co_await record_step(loaded, std::move(step));
}

awaitable<void> Delivery::age_waiting() {
    const auto config = ports_.config();
    const auto too_old = std::chrono::system_clock::now() - config->delivery.retry.give_up;
    EntrySelector old;
    old.until = std::chrono::system_clock::now() - config->delivery.retry.warn_after;
    old.states = {EntryState::ready, EntryState::deferred, EntryState::in_doubt};
    std::string after;
    for (;;) {
        const auto page =
            co_await net::offload(offload_, [&] { return spool_.list(old, 100, after); });
        if (page.empty()) co_return;
        after = page.back().id;
        for (const EntryInfo& info : page) {
            if (info.delay_notified && info.created > too_old) continue;
            auto loaded = co_await net::offload(offload_, [&] { return spool_.load(info.id); });
            if (!loaded) continue;
            const Tally untouched(loaded->entry.envelope.recipients.size(), &loaded->open);
            Step step = next_step(*config, *loaded, untouched, false);
            if (step.update.done.empty() && step.update.delay_notified == loaded->delay_notified)
                continue;
            co_await record_step(*loaded, std::move(step));
        }
    }
}

Delivery::Step Delivery::next_step(const config::Config& config, const LoadedEntry& loaded,
                                   const Tally& tally, bool attempted) {
    const NewEntry& entry = loaded.entry;
    const auto now = std::chrono::system_clock::now();
    Step step;
    EntryUpdate& update = step.update;
    update.id = entry.id;
    update.upstream = entry.upstream;
    update.last_reply = entry.last_reply;
    update.attempts = entry.attempts + (attempted ? 1U : 0U);
    update.state = tally.any(Fate::in_doubt) || (!attempted && entry.state == EntryState::in_doubt)
                       ? EntryState::in_doubt
                       : EntryState::deferred;
    std::vector<std::size_t> left;
    for (const std::size_t i : tally.members()) {
        const Tally::Line& line = tally.line(i);
        if (line.fate == Fate::delivered) {
            update.done.push_back({static_cast<std::uint32_t>(i), Settled::delivered});
        } else if (line.fate == Fate::refused) {
            update.done.push_back({static_cast<std::uint32_t>(i), Settled::refused});
        } else {
            left.push_back(i);
            if (line.reply.code >= 400) {
                update.last_reply =
                    fmt::format("{} {} {}", line.reply.code, line.reply.enhanced, line.reply.text);
            }
        }
    }
    std::vector<Notice>& notices = step.notices;
    notices = owed_notices(entry.envelope, tally);
    const auto age = now - entry.created;
    if (!left.empty() && age >= config.delivery.retry.give_up) {
        for (const std::size_t i : left) {
            update.done.push_back({static_cast<std::uint32_t>(i), Settled::expired});
            const auto& rcpt = entry.envelope.recipients[i];
            step.expired.push_back({.ref = entry.ref,
                                    .id = entry.id,
                                    .rcpt = rcpt.address.text(),
                                    .how = "expired",
                                    .reason = update.last_reply});
            if (!entry.dsn && proto::dsn_owed(entry.envelope, rcpt, proto::DsnAction::failed)) {
                notices.push_back(
                    {.recipient = i,
                     .action = proto::DsnAction::failed,
                     .reply = tally.line(i).reply,
                     .remote = tally.line(i).path,
                     .reason = "It could not be delivered in time; we have given up."});
            }
        }
    } else if (!left.empty() && !loaded.delay_notified && age >= config.delivery.retry.warn_after) {
        update.delay_notified = true;
        for (const std::size_t i : left) {
            if (!proto::dsn_owed(entry.envelope, entry.envelope.recipients[i],
                                 proto::DsnAction::delayed))
                continue;
            notices.push_back({.recipient = i,
                               .action = proto::DsnAction::delayed,
                               .reply = tally.line(i).reply,
                               .remote = tally.line(i).path,
                               .reason = "It has not been delivered yet; we go on trying."});
        }
    }
    update.delay_notified = update.delay_notified || loaded.delay_notified;
    update.next_attempt =
        now + (attempted ? retry_delay(config.delivery.retry, update.attempts, ports_.random())
                         : std::chrono::milliseconds(no_way_pause));
    return step;
}

awaitable<void> Delivery::record_step(const LoadedEntry& loaded, Step step) {
    SpoolBatch batch;
    batch.update.push_back(std::move(step.update));
    add_notices(batch, source_of(loaded), step.notices);
    const std::string notice_id = batch.add.empty() ? "" : batch.add.back().id;
    // What could not be recorded will come again, and is told then.
    if (!co_await record(std::move(batch))) co_return;
    for (event::Settled& one : step.expired) events_.emit(std::move(one));
    tell_notices(loaded.entry.ref, loaded.entry.envelope, step.notices, notice_id);
}

awaitable<bool> Delivery::record(SpoolBatch batch) {
    // Outcomes may dip into the reserve; where even that fails, the entry stays as it was and is
    // tried again: a duplicate is then possible, a loss is not.
    std::vector<std::string> ids;
    for (const EntryUpdate& update : batch.update) ids.push_back(update.id);
    const auto said = co_await commit(spool_, std::move(batch));
    if (said) co_return true;
    for (const std::string& id : ids) {
        events_.log(
            event::Level::error, "spool",
            fmt::format("the outcome of {} is not recorded: {}", id, said.error().message()));
        spool_.put_back(id, std::chrono::system_clock::now() + std::chrono::minutes(1));
    }
    co_return false;
}

}  // namespace postern::relay
