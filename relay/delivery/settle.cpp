// What became of an entry: recorded, and told once it is.

#include <utility>

#include <fmt/format.h>

#include "relay/delivery/commit.hpp"
#include "relay/delivery/delivery.hpp"

namespace postern::relay {

namespace {

using clock = std::chrono::steady_clock;

/// How often and how long an outcome that the spool refuses is tried again before the entry is put
/// back. Shorter than what a late answer leaves until its entry is due.
constexpr std::chrono::seconds record_pause{1};
constexpr std::chrono::minutes record_patience{10};
constexpr std::chrono::minutes not_recorded_pause{1};

}  // namespace

awaitable<result<void>> Delivery::commit_step(const NoticeSource& source, Step step) {
    SpoolBatch batch;
    batch.update.push_back(step.update);
    const std::string notice_id = co_await add_notices(batch, source, step.notices);
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
    tell_notices(events_, source.ref, *source.envelope, step.notices, notice_id,
                 notice_id.empty() ? "none" : "queued");
    if (source.dsn) tell_undeliverable(source, step.update);
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
    tell_notices(events_, source.ref, *source.envelope, step.notices, "", "none");
}

void Delivery::tell_undeliverable(const NoticeSource& source, const EntryUpdate& update) {
    // Most often it is an upstream that takes nothing from <>: one alert of it, not one a sender.
    const std::string subject = update.upstream.empty() ? "none" : update.upstream;
    for (const EntryUpdate::RecipientDone& done : update.done) {
        if (done.how == Settled::delivered) {
            events_.emit(
                event::AlertRaised{.kind = "dsn_undeliverable",
                                   .subject = subject,
                                   .text = fmt::format("{} takes notifications again", subject),
                                   .resolved = true});
        }
        if (done.how != Settled::refused && done.how != Settled::expired) continue;
        const std::string rcpt = source.envelope->recipients[done.index].address.text();
        const std::string result = done.how == Settled::refused ? "refused" : "expired";
        events_.emit(event::Dsn{.ref = source.ref,
                                .id = update.id,
                                .action = std::string(action_told(source.pieces)),
                                .rcpt = rcpt,
                                .result = result});
        events_.emit(event::AlertRaised{
            .kind = "dsn_undeliverable",
            .subject = subject,
            .text = fmt::format("a notification to {} could not be delivered by {}: {}", rcpt,
                                subject, update.last_reply),
            .action = "the sender does not know that his mail failed; see delivery.dsn_upstream "
                      "and delivery.dsn_envelope",
            .fields = {{"ref", source.ref},
                       {"rcpt", rcpt},
                       {"account", source.account},
                       {"result", result},
                       {"error", update.last_reply}}});
    }
}

}  // namespace postern::relay
