#include "relay/delivery/delivery.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "proto/classify.hpp"
#include "relay/delivery/commit.hpp"
#include "relay/delivery/retry.hpp"
#include "relay/delivery/return_path.hpp"
#include "relay/delivery/ways.hpp"
#include "relay/net/offload.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;
using Fate = Tally::Fate;
using How = AttemptResult::How;

/// How long an answer to the final dot may take after nobody waits for it any more (RFC
/// 5321 4.5.3.2.6).
constexpr std::chrono::minutes late_answer{11};

PathSet::Needs needs_of(const Message& message) {
    return relay::needs_of(message.envelope, message.size());
}

Sender message_sender(const Message& message) {
    return sender_of(message.envelope, message.account, message.customer, message.plan);
}

/// Room for the record and for what will become of each recipient.
std::uint64_t space_for(const Message& message) {
    return message.size() + 4096 + 512 * message.envelope.recipients.size();
}

NewEntry entry_of(const Message& message, const MessagePtr& keep,
                  const std::vector<std::size_t>& recipients) {
    NewEntry entry;
    entry.id = message.ref;
    entry.ref = message.ref;
    entry.account = message.account;
    entry.customer = message.customer;
    entry.source = message.source;
    entry.envelope = message.envelope;
    entry.envelope.recipients.clear();
    for (const std::size_t i : recipients)
        entry.envelope.recipients.push_back(message.envelope.recipients[i]);
    entry.message_id = message.message_id;
    entry.created = message.received;
    entry.next_attempt = message.received;
    entry.pieces = message.pieces();
    entry.keep = keep;
    return entry;
}

proto::Reply no_space() {
    return {.code = 452,
            .enhanced = "4.3.1",
            .text = "cannot store the message now, try again later",
            .close_after = false};
}

std::string last_words(const Tally& tally) {
    for (const std::size_t i : tally.members()) {
        const auto& reply = tally.line(i).reply;
        if (reply.code >= 400) return last_word(reply);
    }
    return {};
}

}  // namespace

struct Delivery::Wait {
    MessagePtr message;
    config::ConfigPtr config;
    Sender sender;
    PathSet paths;  ///< Its own, as it is routed.
    Tally tally;
    Spool::Reservation space;
    AttemptPtr
        unanswered;  ///< Its final dot has gone; its answer will come after the client is gone.
    bool unfit = false;
    std::string trouble;  ///< Why no path answered, for whoever looks at the queue.

    [[nodiscard]] NoticeSource source() const {
        return {.ref = message->ref,
                .account = message->account,
                .customer = message->customer,
                .envelope = &message->envelope,
                .pieces = message->pieces(),
                .received = message->received};
    }
};

Delivery::Delivery(Ports ports, Spool& spool, asio::thread_pool& offload, event::Stream& events)
    : ports_(std::move(ports)),
      spool_(spool),
      offload_(offload),
      events_(events),
      desk_({.make_ref = ports_.make_ref, .may_tell = ports_.may_tell}) {}

awaitable<ClientWord> Delivery::take(UpstreamPool& pool, net::TaskGroup& tasks, MessagePtr message,
                                     SteadyTime end_of_data) {
    if (ports_.config()->delivery.mode == config::DeliveryMode::spool)
        return store_first(std::move(message));
    return cut_through(pool, tasks, std::move(message), end_of_data);
}

awaitable<ClientWord> Delivery::store_first(MessagePtr message) {
    const PathSet paths = ports_.paths()->routed(message_sender(*message));
    const PathSet::Needs needs = needs_of(*message);
    if (!paths.any_offers(needs)) co_return ClientWord{.reply = unfit_reply(paths, needs)};
    const auto space = spool_.reserve(space_for(*message));
    if (!space) co_return ClientWord{.reply = no_space()};
    std::vector<std::size_t> all(message->envelope.recipients.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    SpoolBatch batch;
    batch.add.push_back(entry_of(*message, message, all));
    if (const auto stored = co_await commit(spool_, std::move(batch)); !stored) {
        co_return ClientWord{.reply = no_space()};
    }
    events_.emit(event::Queued{.ref = message->ref,
                               .id = message->ref,
                               .state = "ready",
                               .reason = "",
                               .rcpts = all.size(),
                               .bytes = message->size()});
    co_return ClientWord{.reply = {250, "2.0.0", "queued as " + message->ref, false},
                         .accepted = true,
                         .queued = true};
}

awaitable<ClientWord> Delivery::cut_through(UpstreamPool& pool, net::TaskGroup& tasks,
                                            MessagePtr message, SteadyTime end_of_data) {
    const Sender sender = message_sender(*message);
    Wait wait{.message = message,
              .config = ports_.config(),
              .sender = sender,
              .paths = ports_.paths()->routed(sender),
              .tally = Tally(message->envelope.recipients.size()),
              .space = {},
              .unanswered = nullptr};
    // What we may have to keep must fit before anything goes upstream: after the final dot there is
    // no way back.
    auto space = spool_.reserve(space_for(*message));
    if (!space) co_return ClientWord{.reply = no_space()};
    wait.space = std::move(*space);
    co_await try_paths(pool, wait, end_of_data + wait.config->delivery.cut_through_deadline);
    co_return co_await conclude(pool, tasks, wait);
}

awaitable<void> Delivery::try_paths(UpstreamPool& pool, Wait& wait, SteadyTime deadline) {
    const PathSet::Needs needs = needs_of(*wait.message);
    bool fits = wait.paths.any_offers(needs);
    std::size_t unfit = 0;
    for (const PathPtr& path : wait.paths.paths) {
        if (!wait.trouble.empty() || path->takes_mail(clock::now())) continue;
        wait.trouble = path->trouble(clock::now());
    }
    const Wish wish{.needs = needs, .warms_as = warms_as(wait.sender), .before = {}};
    Ways ways =
        choose(wait.paths, wish, {clock::now(), std::chrono::system_clock::now()}, ports_.random);
    for (const PathPtr& path : ways.paths) {
        const bool warm = ways.warms(path);
        if (pool.hurried() || clock::now() >= deadline) break;
        if (!path->memory().client_may_pass(clock::now())) {
            wait.trouble = path->name() + ": sends as much as its rate allows";
            continue;
        }
        Outgoing outgoing{.ref = wait.message->ref,
                          .envelope = &wait.message->envelope,
                          .return_path = return_path_of(*wait.config, wait.message->envelope,
                                                        wait.message->token),
                          .recipients = wait.tally.open(),
                          .pieces = wait.message->pieces(),
                          .size = wait.message->size(),
                          .keep = wait.message,
                          .shares_as = shares_as(wait.sender)};
        const AttemptPtr attempt = pool.start(path, std::move(outgoing), true,
                                              warm ? clock::now() + warm_slot_patience : deadline);
        const Waited waited = co_await wait_for(attempt, deadline, warm, pool);
        if (waited == Waited::passed_on) {
            ways.warm->failed(clock::now());
            ways.warm.reset();
            continue;
        }
        if (waited == Waited::overdue) {
            if (attempt->dot_sent()) wait.unanswered = attempt;
            break;
        }
        const AttemptResult result = attempt->take_result();
        if (result.how == How::unfit) {
            ++unfit;
            if (warm) ways.warm.reset();
            continue;
        }
        if (result.failure) {
            wait.trouble = fmt::format("{}: {} at {}", path->name(), describe(*result.failure),
                                       name(result.failure->stage));
        }
        wait.tally.apply(result.results, path->name(), result.dsn_offered,
                         path->settings().upstream.path_replies);
        if (warm) settle_warm(ways, wait.tally, result);
        tell_results(wait.message->ref, "", wait.message->envelope, result, *path,
                     wait.message->size());
        tell_bounces({wait.message->customer, wait.message->account}, wait.message->ref,
                     wait.message->envelope, result, *path);
        if (result.how == How::in_doubt) {
            wait.tally.lost(path->name());
            break;
        }
        if (!wait.tally.any(Fate::open)) break;
    }
    // A path that was met only now may have shown that none takes the message.
    if (unfit > 0) fits = wait.paths.any_offers(needs);
    wait.unfit = !fits;
}

awaitable<ClientWord> Delivery::conclude(UpstreamPool& pool, net::TaskGroup& tasks, Wait& wait) {
    const Message& message = *wait.message;
    const Tally& tally = wait.tally;
    if (tally.all_refused()) co_return ClientWord{.reply = *tally.first_refusal()};
    const bool untouched = tally.open().size() == tally.members().size() && !wait.unanswered;
    if (wait.unfit && untouched)
        co_return ClientWord{.reply = unfit_reply(wait.paths, needs_of(message))};

    SpoolBatch batch;
    const auto now = std::chrono::system_clock::now();
    std::vector<std::size_t> doubtful = tally.with(Fate::in_doubt);
    std::vector<std::size_t> rest = tally.with(Fate::deferred);
    const bool deferred = !rest.empty();
    if (wait.unanswered) {
        doubtful = wait.unanswered->outgoing().recipients;
    } else {
        const auto open = tally.open();
        rest.insert(rest.end(), open.begin(), open.end());
    }
    std::string doubt_id;
    if (!rest.empty()) {
        NewEntry entry = entry_of(message, wait.message, rest);
        entry.state = deferred ? EntryState::deferred : EntryState::ready;
        entry.attempts = deferred ? 1 : 0;
        entry.next_attempt =
            deferred ? now + retry_delay(wait.config->delivery.retry, 1, ports_.random()) : now;
        entry.last_reply = last_words(tally);
        if (entry.last_reply.empty()) entry.last_reply = wait.trouble;
        // It stays with its path.
        if (deferred) entry.upstream = tally.line(tally.with(Fate::deferred).front()).path;
        batch.add.push_back(std::move(entry));
    }
    if (!doubtful.empty()) {
        NewEntry entry = entry_of(message, wait.message, doubtful);
        if (!rest.empty()) entry.id = ports_.make_ref();
        doubt_id = entry.id;
        entry.state = EntryState::in_doubt;
        entry.attempts = 1;
        entry.upstream =
            wait.unanswered ? wait.unanswered->path()->name() : tally.line(doubtful.front()).path;
        entry.last_reply = wait.unanswered
                               ? "no answer to the final dot yet; it is waited for"
                               : "the answer to the final dot was lost; the upstream may have it";
        entry.next_attempt =
            wait.unanswered ? now + late_answer * 2
                            : now + retry_delay(wait.config->delivery.retry, 1, ports_.random());
        batch.add.push_back(std::move(entry));
    }
    const std::vector<Notice> notices = owed_notices(message.envelope, tally);
    const NoticeSource source = wait.source();
    const std::string notice_id = co_await add_notices(batch, source, notices);
    const std::size_t kept = rest.size() + doubtful.size();
    if (batch.add.empty()) {
        tell_notices(events_, message.ref, message.envelope, notices, "", "none");
    } else {
        std::vector<event::Queued> told;
        for (const NewEntry& entry : batch.add) {
            if (entry.dsn) continue;
            told.push_back({.ref = entry.ref,
                            .id = entry.id,
                            .state = std::string(name(entry.state)),
                            .reason = entry.last_reply,
                            .rcpts = entry.envelope.recipients.size(),
                            .bytes = message.size()});
        }
        const auto stored = co_await commit(spool_, std::move(batch));
        if (!stored) {
            events_.log(
                event::Level::error, "spool",
                fmt::format("{} could not be stored: {}", message.ref, stored.error().message()));
            // Where all of it was delivered, only the notice of that is lost: told otherwise, the
            // client would send it again.
            const bool delivered =
                kept == 0 && std::ranges::all_of(notices, [](const Notice& notice) {
                    return notice.action == proto::DsnAction::relayed;
                });
            if (!delivered) co_return ClientWord{.reply = no_space()};
        }
        for (event::Queued& one : told) events_.emit(std::move(one));
        const bool owed = stored && !notice_id.empty();
        tell_notices(events_, message.ref, message.envelope, notices, owed ? notice_id : "",
                     owed ? "queued" : "none");
    }
    if (wait.unanswered)
        tasks.spawn(settle_late(pool, wait.unanswered, wait.message, doubt_id, doubtful));
    if (kept > 0) {
        co_return ClientWord{.reply = {250, "2.0.0", "queued as " + message.ref, false},
                             .accepted = true,
                             .queued = true};
    }
    proto::Reply reply = *tally.first_delivery();
    reply.text += " [" + message.ref + "]";
    reply.close_after = false;
    co_return ClientWord{.reply = std::move(reply), .accepted = true, .queued = false};
}

awaitable<void> Delivery::settle_late(UpstreamPool& pool, AttemptPtr attempt, MessagePtr message,
                                      std::string id, std::vector<std::size_t> recipients) {
    const bool finished = co_await attempt->wait_until(clock::now() + late_answer);
    Tally tally(message->envelope.recipients.size());
    bool answered = false;
    if (finished) {
        const AttemptResult result = attempt->take_result();
        answered = result.how == How::answered;
        tally.apply(result.results, attempt->path()->name(), result.dsn_offered,
                    attempt->path()->settings().upstream.path_replies);
        tell_results(message->ref, message->ref, message->envelope, result, *attempt->path(),
                     message->size());
        tell_bounces({message->customer, message->account}, message->ref, message->envelope, result,
                     *attempt->path());
    }
    const auto config = ports_.config();
    const auto now = std::chrono::system_clock::now();
    EntryUpdate update;
    update.id = id;
    update.upstream = attempt->path()->name();
    update.attempts = 1;
    // As long as one of its recipients is in doubt, the entry goes nowhere else.
    update.state = answered ? EntryState::deferred : EntryState::in_doubt;
    update.last_reply = "the answer to the final dot was lost; the upstream may have it";
    update.next_attempt = now + retry_delay(config->delivery.retry, 1, ports_.random());
    // The entry counts its own recipients.
    for (std::size_t k = 0; k < recipients.size(); ++k) {
        const Tally::Line& line = tally.line(recipients[k]);
        if (line.fate == Fate::delivered || line.fate == Fate::refused) {
            update.done.push_back({static_cast<std::uint32_t>(k), line.fate == Fate::delivered
                                                                      ? Settled::delivered
                                                                      : Settled::refused});
        } else if (line.reply.code >= 400) {
            update.last_reply = last_word(line.reply);
        }
    }
    const NoticeSource source{.ref = message->ref,
                              .account = message->account,
                              .customer = message->customer,
                              .envelope = &message->envelope,
                              .pieces = message->pieces(),
                              .received = message->received};
    std::vector<Notice> notices = owed_notices(message->envelope, tally);
    std::vector<Notice> of_entry = notices;
    for (Notice& notice : of_entry) {
        const auto at = std::ranges::find(recipients, notice.recipient);
        notice.recipient = static_cast<std::size_t>(at - recipients.begin());
    }
    EntryUpdate alone = without_notices(update, of_entry);
    Step step{.update = std::move(update), .notices = std::move(notices), .attempted = true};
    co_await settle(pool, source, std::move(step), std::move(alone));
}

awaitable<std::string> Delivery::add_notices(SpoolBatch& batch, const NoticeSource& source,
                                             const std::vector<Notice>& notices) {
    if (notices.empty()) co_return std::string();
    const config::ConfigPtr config = ports_.config();
    auto entry =
        co_await net::offload(offload_, [&] { return desk_.write(*config, source, notices); });
    if (!entry) co_return std::string();
    if (ports_.signing != nullptr) {
        const auto signatures = co_await ports_.signing->sign(
            dkim::wanted_by(*config, entry->id, notice_domain(*config)), entry->pieces);
        put_on_top(*entry, signatures.value_or(""));
    }
    std::string id = entry->id;
    batch.add.push_back(std::move(*entry));
    co_return id;
}

void Delivery::tell_results(const std::string& ref, const std::string& id,
                            const proto::Envelope& envelope, const AttemptResult& result,
                            const Path& path, std::uint64_t bytes) {
    for (const auto& one : result.results) {
        if (one.index >= envelope.recipients.size()) continue;
        const bool judged =
            proto::judges(one.stage, one.reply, path.settings().upstream.path_replies) ==
            proto::Judges::message;
        event::Delivery told{.ref = ref,
                             .id = id,
                             .rcpt = envelope.recipients[one.index].address.text(),
                             .upstream = path.name(),
                             .enhanced = one.reply.enhanced,
                             .text = one.reply.text,
                             .stage = std::string(name(one.stage)),
                             .code = one.reply.code,
                             .judges = judged ? "message" : "path",
                             .result = one.reply.code < 400 ? "delivered"
                                       : judged             ? "refused"
                                                            : "deferred"};
        // The octets of an attempt are counted once.
        if (one.reply.code < 400) told.bytes = std::exchange(bytes, 0);
        events_.emit(std::move(told));
    }
    if (result.how == AttemptResult::How::in_doubt) {
        events_.emit(event::Delivery{.ref = ref,
                                     .id = id,
                                     .upstream = path.name(),
                                     .text = "no answer to the final dot",
                                     .stage = "dot",
                                     .judges = "path",
                                     .result = "in_doubt"});
    }
}

void Delivery::tell_bounces(const suppression::Owner& owner, const std::string& ref,
                            const proto::Envelope& envelope, const AttemptResult& result,
                            const Path& path) {
    if (ports_.suppression == nullptr) return;
    const auto now = std::chrono::system_clock::now();
    for (const auto& one : result.results) {
        // Of the recipient that was asked for alone: what is said to the dot judges content.
        if (one.index >= envelope.recipients.size() || one.reply.code < 500 ||
            one.stage != proto::UpstreamStage::rcpt)
            continue;
        if (proto::judges(one.stage, one.reply, path.settings().upstream.path_replies) !=
            proto::Judges::message)
            continue;
        ports_.suppression->bounced(owner, envelope.recipients[one.index].address.text(),
                                    one.reply.enhanced, ref, now);
    }
}

}  // namespace postern::relay
