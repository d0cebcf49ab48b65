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
/// How often and how long an outcome that the spool refuses is tried again before the entry is put
/// back. Shorter than what a late answer leaves until its entry is due.
constexpr std::chrono::seconds record_pause{1};
constexpr std::chrono::minutes record_patience{10};
constexpr std::chrono::minutes not_recorded_pause{1};

std::uint64_t size_of(const NewEntry& entry) {
    std::uint64_t n = 0;
    for (const std::string_view piece : entry.pieces) n += piece.size();
    return n;
}

/// Its state as it is recorded, due again soon.
EntryUpdate unchanged(const LoadedEntry& loaded) {
    EntryUpdate update;
    update.id = loaded.entry.id;
    update.state =
        loaded.entry.state == EntryState::in_doubt ? EntryState::in_doubt : EntryState::deferred;
    update.next_attempt = std::chrono::system_clock::now() + no_way_pause;
    update.attempts = loaded.entry.attempts;
    update.upstream = loaded.entry.upstream;
    update.last_reply = loaded.entry.last_reply;
    update.delay_notified = loaded.delay_notified;
    return update;
}

/// Whether the spool may take the same batch later.
bool may_pass(const boost::system::error_code& error) {
    return error == SpoolError::full || error == SpoolError::write || error == SpoolError::sync ||
           error == SpoolError::busy;
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
        EntryUpdate update = unchanged(loaded);
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
        EntryUpdate alone = without_notices(update, notices);
        Step step{.update = std::move(update), .notices = std::move(notices)};
        co_await settle(pool, source_of(loaded), std::move(step), std::move(alone));
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
    EntryUpdate alone = without_notices(step.update, step.notices);
    co_await settle(pool, source_of(loaded), std::move(step), std::move(alone));
}

awaitable<std::string> Delivery::age_waiting(std::string after) {
    constexpr std::size_t page_size = 100;
    const auto config = ports_.config();
    const auto too_old = std::chrono::system_clock::now() - config->delivery.retry.give_up;
    EntrySelector old;
    old.until = std::chrono::system_clock::now() - config->delivery.retry.warn_after;
    old.states = {EntryState::ready, EntryState::deferred, EntryState::in_doubt};
    const auto page =
        co_await net::offload(offload_, [&] { return spool_.list(old, page_size, after); });
    for (const EntryInfo& info : page) {
        if (info.delay_notified && info.created > too_old) continue;
        // Mail that a path takes again must not wait for the rest of a long queue.
        if (!ports_.paths()->all_open(clock::now())) co_return after;
        after = info.id;
        auto loaded = co_await net::offload(offload_, [&] { return spool_.load(info.id); });
        if (!loaded) continue;
        const Tally untouched(loaded->entry.envelope.recipients.size(), &loaded->open);
        Step step = next_step(*config, *loaded, untouched, false);
        if (step.update.done.empty() && step.update.delay_notified == loaded->delay_notified)
            continue;
        const auto said = co_await commit_step(source_of(*loaded), std::move(step));
        if (said || !may_pass(said.error())) continue;
        events_.log(
            event::Level::error, "spool",
            fmt::format("the age of {} is not recorded: {}", info.id, said.error().message()));
        // What one is refused the others are, too: all of them again at the next round.
        co_return std::string();
    }
    co_return page.size() < page_size ? std::string() : page.back().id;
}

Delivery::Step Delivery::next_step(const config::Config& config, const LoadedEntry& loaded,
                                   const Tally& tally, bool attempted) {
    const NewEntry& entry = loaded.entry;
    const auto now = std::chrono::system_clock::now();
    Step step;
    step.attempted = attempted;
    EntryUpdate& update = step.update;
    update = unchanged(loaded);
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
                update.last_reply = last_word(line.reply);
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
    update.next_attempt =
        now + (attempted ? retry_delay(config.delivery.retry, update.attempts, ports_.random())
                         : std::chrono::milliseconds(no_way_pause));
    return step;
}

awaitable<result<void>> Delivery::commit_step(const NoticeSource& source, Step step) {
    SpoolBatch batch;
    batch.update.push_back(step.update);
    co_await add_notices(batch, source, step.notices);
    const std::string notice_id = batch.add.empty() ? "" : batch.add.back().id;
    // What could not be recorded will come again, and is told then.
    if (const auto said = co_await commit(spool_, std::move(batch)); !said) co_return said;
    for (const EntryUpdate::RecipientDone& done : step.update.done) {
        if (done.how != Settled::expired) continue;
        events_.emit(event::Settled{.ref = source.ref,
                                    .id = step.update.id,
                                    .rcpt = source.envelope->recipients[done.index].address.text(),
                                    .how = "expired",
                                    .reason = step.update.last_reply});
    }
    tell_notices(source.ref, *source.envelope, step.notices, notice_id, "queued");
    co_return result<void>();
}

awaitable<void> Delivery::settle(UpstreamPool& pool, NoticeSource source, Step step,
                                 EntryUpdate alone) {
    auto said = co_await commit_step(source, step);
    if (said) co_return;
    const std::string id = step.update.id;
    events_.log(event::Level::error, "spool",
                fmt::format("the outcome of {} is not recorded: {}", id, said.error().message()));
    const bool anything = step.attempted || !alone.done.empty();
    if (!step.notices.empty() && anything && may_pass(said.error()))
        said = co_await commit_step(source, {.update = alone, .notices = {}});
    // Put back now, what was delivered would be delivered again: it stays with us as long as that
    // may help. The disk that refuses it takes no new mail, either.
    asio::steady_timer timer(co_await asio::this_coro::executor);
    const auto until = clock::now() + record_patience;
    while (!said && anything && may_pass(said.error()) && !pool.hurried() && clock::now() < until) {
        timer.expires_after(record_pause);
        (void)co_await timer.async_wait(as_value);
        said = co_await commit_step(source, {.update = alone, .notices = {}});
    }
    if (!said) {
        // A duplicate is possible now, a loss is not.
        spool_.put_back(id, std::chrono::system_clock::now() + not_recorded_pause);
        co_return;
    }
    // Of a failure the next attempt will tell; of a delivery there is none.
    std::erase_if(step.notices,
                  [](const Notice& notice) { return notice.action != proto::DsnAction::relayed; });
    tell_notices(source.ref, *source.envelope, step.notices, "", "none");
}

}  // namespace postern::relay
