#include "relay/delivery/drop.hpp"

#include <future>
#include <utility>
#include <vector>

#include "relay/delivery/notices.hpp"

namespace postern::relay {

namespace {

boost::system::result<void> commit_blocking(Spool& spool, SpoolBatch batch) {
    std::promise<boost::system::result<void>> said;
    auto answer = said.get_future();
    spool.commit(std::move(batch),
                 [&said](boost::system::result<void> word) { said.set_value(word); });
    return answer.get();
}

/// Ends an entry that is held back, with the notification that it owes.
boost::system::result<void> drop_one(Spool& spool, const config::Config& config,
                                     const std::function<std::string()>& make_ref,
                                     event::Stream& events, dkim::Signer& signer,
                                     const EntryInfo& info, const std::string& reason) {
    const auto loaded = spool.load(info.id);
    if (!loaded) return loaded.error();
    const NewEntry& entry = loaded->entry;
    SpoolBatch batch;
    EntryUpdate update;
    update.id = info.id;
    update.state = entry.state;
    update.last_reply = "dropped: " + reason;
    std::vector<Notice> notices;
    for (const std::uint32_t i : loaded->open) {
        update.done.push_back({i, Settled::dropped});
        const auto& rcpt = entry.envelope.recipients[i];
        if (entry.dsn || !proto::dsn_owed(entry.envelope, rcpt, proto::DsnAction::failed)) continue;
        notices.push_back({.recipient = i,
                           .action = proto::DsnAction::failed,
                           .reply = {},
                           .remote = {},
                           // Why is between operators: it stands in the journal.
                           .reason = "The operator has taken it out of the queue."});
    }
    batch.update.push_back(std::move(update));
    std::string notice_id;
    if (!notices.empty()) {
        const NoticeSource source{.ref = entry.ref,
                                  .account = entry.account,
                                  .customer = entry.customer,
                                  .envelope = &entry.envelope,
                                  .pieces = entry.pieces,
                                  .received = entry.created};
        NewEntry notice = make_notice_entry(config, source, notices, make_ref(), make_ref(),
                                            std::chrono::system_clock::now());
        notice_id = notice.id;
        put_on_top(notice, signer.sign(dkim::wanted_by(config, notice_id, notice_domain(config)),
                                       notice.pieces));
        batch.add.push_back(std::move(notice));
    }
    // One entry and its notice are one batch: both, or neither.
    if (const auto said = commit_blocking(spool, std::move(batch)); !said) return said;
    for (const Notice& notice : notices) {
        events.emit(event::Dsn{.ref = entry.ref,
                               .id = notice_id,
                               .action = "failed",
                               .rcpt = entry.envelope.recipients[notice.recipient].address.text(),
                               .result = "queued"});
    }
    return {};
}

}  // namespace

ChangeOutcome drop_with_notice(Spool& spool, const config::Config& config,
                               const std::function<std::string()>& make_ref, event::Stream& events,
                               dkim::Signer& signer, const EntrySelector& which,
                               const EntryChange& what,
                               const std::function<void(const EntryInfo&)>& dropped) {
    const auto began = std::chrono::system_clock::now();
    ChangeOutcome out;
    spool.visit(which, [&](const EntryInfo& info) {
        // The notifications made here match, too, where accounts or customers select.
        if (info.dsn && info.created >= began) return true;
        ++out.matched;
        if (info.state == EntryState::damaged) {
            out.fail(info.id, "it is damaged: no notification can be made of it");
        } else if (const HeldBack ours(spool, info.id); !ours) {
            out.fail(info.id, "an attempt, or another drop, is under way");
        } else {
            if (const auto said =
                    drop_one(spool, config, make_ref, events, signer, info, what.reason);
                said) {
                ++out.changed;
                if (dropped) dropped(info);
            } else {
                out.fail(info.id, said.error().message());
                // An entry that cannot be read is its own trouble; the spool's is everybody's.
                if (said.error() != SpoolError::damaged && said.error() != SpoolError::not_found)
                    out.error = said.error();
            }
        }
        if (!out.error && what.stop && what.stop()) out.error = SpoolError::busy;
        return !out.error && out.matched != what.limit;
    });
    return out;
}

}  // namespace postern::relay
