// Attempts of what is queued: the other caller of the upstream code.

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "relay/delivery/commit.hpp"
#include "relay/delivery/delivery.hpp"
#include "relay/delivery/drop.hpp"
#include "relay/delivery/retry.hpp"
#include "relay/delivery/return_path.hpp"
#include "relay/delivery/ways.hpp"
#include "relay/net/offload.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using Fate = Tally::Fate;
using How = AttemptResult::How;

/// How soon an entry comes again that found no free way.
constexpr std::chrono::seconds no_way_pause{15};
/// The same of one whose own ways take no mail now while others do: there may be very many.
constexpr std::chrono::minutes own_way_pause{1};
/// How long an entry is kept back for a path's rate: very many may wait for the same token.
constexpr std::chrono::milliseconds shortest_rate_pause = std::chrono::seconds(1);
constexpr std::chrono::milliseconds longest_rate_pause = std::chrono::minutes(1);
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

/// What a path is to hear of it; keeps the entry.
std::shared_ptr<const proto::Envelope> envelope_for(const config::Config& config,
                                                    const std::shared_ptr<LoadedEntry>& loaded) {
    if (!loaded->entry.dsn) return {loaded, &loaded->entry.envelope};
    struct Sent {
        std::shared_ptr<LoadedEntry> loaded;
        proto::Envelope envelope;
    };
    const auto sent =
        std::make_shared<const Sent>(Sent{loaded, as_sent(config, loaded->entry.envelope)});
    return {sent, &sent->envelope};
}

NoticeSource source_of(const LoadedEntry& loaded) {
    return {.ref = loaded.entry.ref,
            .account = loaded.entry.account,
            .customer = loaded.entry.customer,
            .envelope = &loaded.entry.envelope,
            .pieces = loaded.entry.pieces,
            .received = loaded.entry.created,
            .dsn = loaded.entry.dsn};
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
    boost::system::result<Standing> standing = Standing();
    auto read = co_await net::offload(offload_, [&] {
        auto loaded = spool_.load(id);
        if (loaded && ports_.standing) standing = ports_.standing(loaded->entry.account);
        return loaded;
    });
    if (!standing) {
        // Whose mail may go where is not known: it may be routed, or its sender suspended.
        spool_.put_back(id, std::chrono::system_clock::now() + no_way_pause);
        co_return;
    }
    if (!read) {
        // Damage was told by the spool itself; an entry that is gone was dropped meanwhile.
        if (read.error() != SpoolError::damaged && read.error() != SpoolError::not_found) {
            events_.log(event::Level::error, "spool",
                        fmt::format("{} cannot be read: {}", id, read.error().message()));
            spool_.put_back(id, std::chrono::system_clock::now() + no_way_pause);
        }
        co_return;
    }
    if (read->held) {
        // Between being taken and now.
        spool_.put_back(id, std::chrono::system_clock::now());
        co_return;
    }
    // An attempt may outlive us: it keeps the entry alive.
    co_await attempt_entry(pool, std::make_shared<LoadedEntry>(std::move(*read)),
                           std::move(*standing));
}

struct Delivery::Trial {
    Tally tally;
    PathSet::Needs needs;
    std::shared_ptr<const proto::Envelope> envelope;  ///< As it goes upstream; keeps the entry.
    std::optional<proto::Address> return_path;
    std::string shares_as;
    bool attempted = false;
    std::chrono::milliseconds pause = no_way_pause;  ///< Until a way may be free.

    /// It stays with its path, and waits for as long as that takes; those who have only just come
    /// do not go before it.
    void wait_for_rate(Path& path, std::chrono::nanoseconds wait) {
        pause = std::clamp<std::chrono::milliseconds>(
            std::chrono::ceil<std::chrono::milliseconds>(wait), shortest_rate_pause,
            longest_rate_pause);
        path.memory().queue_waits(clock::now() + pause + shortest_rate_pause);
    }
};

awaitable<void> Delivery::try_entry(UpstreamPool& pool, std::shared_ptr<LoadedEntry> shared,
                                    Ways& ways, Trial& trial) {
    NewEntry& entry = shared->entry;
    Tally& tally = trial.tally;
    const bool first = entry.attempts == 0 && entry.upstream.empty();
    for (std::size_t i = 0; i < ways.paths.size(); ++i) {
        const PathPtr path = ways.paths[i];
        const bool warm = ways.warms(path);
        if (pool.hurried()) break;
        if (const auto wait = path->memory().rate_turn(clock::now(), trial.shares_as);
            wait > std::chrono::nanoseconds(0)) {
            if (warm) continue;
            // What no path had yet may go by an equal one.
            if (first && i + 1 < ways.paths.size() &&
                ways.paths[i + 1]->role(clock::now()) == path->role(clock::now()))
                continue;
            trial.wait_for_rate(*path, wait);
            break;
        }
        Outgoing outgoing{.ref = entry.ref,
                          .envelope = trial.envelope.get(),
                          .return_path = trial.return_path,
                          .recipients = tally.open(),
                          .pieces = entry.pieces,
                          .size = trial.needs.size,
                          .keep = trial.envelope,
                          .shares_as = trial.shares_as};
        const AttemptPtr attempt = pool.start(
            path, std::move(outgoing), false,
            clock::now() + (warm ? warm_slot_patience : std::chrono::milliseconds(no_way_pause)));
        const Waited waited = co_await wait_for(attempt, clock::now() + attempt_bound, warm, pool);
        if (waited == Waited::passed_on) {
            ways.warm->failed(clock::now());
            ways.warm.reset();
            continue;
        }
        if (waited == Waited::overdue) {
            if (attempt->dot_sent()) {
                // Only this path may have it: it goes nowhere else.
                entry.upstream = path->name();
                tell_results(entry.ref, entry.dsn ? entry.id : entry.ref, entry.envelope,
                             {.how = How::in_doubt}, *path, trial.needs.size);
                tally.lost(path->name());
                trial.attempted = true;
            }
            break;
        }
        const AttemptResult result = attempt->take_result();
        if (warm && (result.how == How::unfit || result.how == How::no_slot ||
                     result.how == How::at_rate)) {
            ways.warm.reset();
            continue;
        }
        if (result.how == How::unfit) continue;
        if (result.how == How::no_slot || result.how == How::at_rate) {
            if (!path->takes_mail(clock::now())) continue;
            // Busy, not broken: it stays with its path.
            if (result.how == How::at_rate)
                trial.wait_for_rate(*path, path->memory().rate_turn(clock::now(), trial.shares_as));
            break;
        }
        trial.attempted = true;
        tally.apply(result.results, path->name(), result.dsn_offered,
                    path->settings().upstream.path_replies);
        if (warm) settle_warm(ways, tally, result);
        entry.upstream = path->name();
        if (result.results.empty() && result.failure) {
            entry.last_reply =
                fmt::format("{} at {}", describe(*result.failure), name(result.failure->stage));
        }
        // An entry of the message's own is told as the message, whatever it is called; a
        // notification as itself.
        tell_results(entry.ref, entry.dsn ? entry.id : entry.ref, entry.envelope, result, *path,
                     trial.needs.size);
        // A notification goes to the sender: no bounce of what the sender wrote.
        if (!entry.dsn)
            tell_bounces({entry.customer, entry.account}, entry.ref, entry.envelope, result, *path);
        if (result.how == How::in_doubt) {
            tally.lost(path->name());
            break;
        }
        if (!tally.any(Fate::open)) break;
        // The next path is for those whose own takes no mail at all, and for what a standby left.
        if (!warm && path->takes_mail(clock::now())) break;
    }
}

awaitable<void> Delivery::attempt_entry(UpstreamPool& pool, std::shared_ptr<LoadedEntry> shared,
                                        Standing standing) {
    LoadedEntry& loaded = *shared;
    const auto config = ports_.config();
    const auto all = ports_.paths();
    NewEntry& entry = loaded.entry;
    Sender sender = sender_of(entry.envelope, entry.account, entry.customer, standing.plan);
    sender.good_standing = standing.good;
    const PathSet paths = all->routed(sender);
    Trial trial{
        .tally = Tally(entry.envelope.recipients.size(), &loaded.open),
        .needs = needs_of(entry.envelope, size_of(entry)),
        .envelope = envelope_for(*config, shared),
        .return_path = entry.dsn ? std::nullopt
                                 : return_path_of(*config, entry.envelope, token_in(entry.pieces)),
        .shares_as = shares_as(sender)};
    Choice choice = ways_of(*all, paths, loaded, sender, trial.needs, config->delivery.dsn_upstream,
                            ports_.random);
    const bool own = choice.own_way || paths.paths.size() < all->paths.size();
    if (choice.ways.paths.empty() && own) trial.pause = own_way_pause;
    co_await try_entry(pool, shared, choice.ways, trial);
    const Tally& tally = trial.tally;
    const bool attempted = trial.attempted;
    if (!attempted && !choice.own_way && !paths.any_offers(trial.needs)) {
        // Nothing that is configured will ever take it.
        EntryUpdate update = unchanged(loaded);
        std::vector<Notice> notices;
        const proto::Reply reply = unfit_reply(paths, trial.needs);
        update.last_reply = last_word(reply);
        for (const std::uint32_t i : loaded.open) {
            update.done.push_back({i, Settled::refused});
            if (proto::dsn_owed(entry.envelope, entry.envelope.recipients[i],
                                proto::DsnAction::failed)) {
                notices.push_back({.recipient = i,
                                   .action = proto::DsnAction::failed,
                                   .reply = reply,
                                   .remote = {},
                                   .reason = "No way out offers what the message needs."});
            }
        }
        EntryUpdate alone = without_notices(update, notices);
        Step step{.update = std::move(update), .notices = std::move(notices)};
        co_await settle(pool, source_of(loaded), std::move(step), std::move(alone));
        for (const std::uint32_t i : loaded.open) {
            // No path has had it: that is no word of one.
            events_.emit(event::Settled{.ref = entry.ref,
                                        .id = entry.dsn ? entry.id : entry.ref,
                                        .rcpt = entry.envelope.recipients[i].address.text(),
                                        .how = "refused",
                                        .reason = last_word(reply)});
        }
        co_return;
    }
    // What waits for a turn of ours, and not for the upstream, is tried before it is given up.
    const bool kept_by_us = !attempted && !choice.ways.paths.empty();
    Step step = next_step(*config, loaded, tally, {attempted, !kept_by_us});
    const bool nothing_new = !attempted && step.update.done.empty() &&
                             step.update.delay_notified == loaded.delay_notified;
    if (nothing_new) {
        spool_.put_back(entry.id,
                        std::chrono::system_clock::now() +
                            (pool.hurried() ? std::chrono::milliseconds(0) : trial.pause));
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
        // An operator may be taking it out.
        const HeldBack ours(spool_, info.id);
        if (!ours) continue;
        auto loaded = co_await net::offload(offload_, [&] { return spool_.load(info.id); });
        // Held meanwhile: nobody tells of its age.
        if (!loaded || loaded->held) continue;
        const Tally untouched(loaded->entry.envelope.recipients.size(), &loaded->open);
        Step step = next_step(*config, *loaded, untouched, {});
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
                                   const Tally& tally, Tried tried) {
    const bool attempted = tried.attempted;
    const NewEntry& entry = loaded.entry;
    const auto now = std::chrono::system_clock::now();
    Step step;
    step.attempted = attempted;
    EntryUpdate& update = step.update;
    update = unchanged(loaded);
    update.attempts = entry.attempts + (attempted ? 1U : 0U);
    // What is left of it may be there already, whatever a later attempt heard.
    update.state = tally.any(Fate::in_doubt) || entry.state == EntryState::in_doubt
                       ? EntryState::in_doubt
                       : EntryState::deferred;
    std::vector<std::size_t> left;
    for (const std::size_t i : tally.members()) {
        const Tally::Line& line = tally.line(i);
        if (line.fate == Fate::delivered) {
            update.done.push_back({static_cast<std::uint32_t>(i), Settled::delivered});
        } else if (line.fate == Fate::refused) {
            update.done.push_back({static_cast<std::uint32_t>(i), Settled::refused});
            if (entry.dsn) update.last_reply = last_word(line.reply);
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
    if (!left.empty() && age >= config.delivery.retry.give_up && tried.may_give_up) {
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
    // Its answer may still be awaited.
    if (!attempted && update.state == EntryState::in_doubt)
        update.next_attempt = std::max(update.next_attempt, entry.next_attempt);
    return step;
}

}  // namespace postern::relay
