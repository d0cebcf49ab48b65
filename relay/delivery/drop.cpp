#include "relay/delivery/drop.hpp"

#include <future>
#include <utility>

#include <fmt/format.h>

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

struct LetGo {
    Spool& spool;
    const std::string& id;
    ~LetGo() { spool.let_go(id); }
};

}  // namespace

boost::system::result<std::vector<EntryInfo>> drop_with_notice(
    Spool& spool, const config::Config& config, const std::function<std::string()>& make_ref,
    event::Stream& events, dkim::Signer& signer, const EntrySelector& which,
    const std::string& reason) {
    constexpr std::size_t page_size = 100;
    std::vector<EntryInfo> dropped;
    std::string after;
    for (;;) {
        const auto page = spool.list(which, page_size, after);
        if (page.empty()) return dropped;
        after = page.back().id;
        for (const EntryInfo& info : page) {
            if (info.state == EntryState::damaged || !spool.hold_back(info.id)) continue;
            const LetGo at_end{spool, info.id};
            const auto loaded = spool.load(info.id);
            if (!loaded) continue;
            const auto now = std::chrono::system_clock::now();
            SpoolBatch batch;
            EntryUpdate update;
            update.id = info.id;
            update.state = info.state;
            update.last_reply = "dropped: " + reason;
            std::vector<Notice> notices;
            for (const std::uint32_t i : loaded->open) {
                update.done.push_back({i, Settled::dropped});
                const auto& rcpt = loaded->entry.envelope.recipients[i];
                if (loaded->entry.dsn ||
                    !proto::dsn_owed(loaded->entry.envelope, rcpt, proto::DsnAction::failed))
                    continue;
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
                const NoticeSource source{.ref = loaded->entry.ref,
                                          .account = loaded->entry.account,
                                          .customer = loaded->entry.customer,
                                          .envelope = &loaded->entry.envelope,
                                          .pieces = loaded->entry.pieces,
                                          .received = loaded->entry.created};
                NewEntry entry =
                    make_notice_entry(config, source, notices, make_ref(), make_ref(), now);
                notice_id = entry.id;
                put_on_top(entry,
                           signer.sign(dkim::wanted_by(config, notice_id, notice_domain(config)),
                                       entry.pieces));
                batch.add.push_back(std::move(entry));
            }
            // One entry and its notice are one batch: both, or neither.
            if (const auto said = commit_blocking(spool, std::move(batch)); !said) {
                // What is gone is gone: the caller has to know of it.
                if (dropped.empty()) return said.error();
                events.log(
                    event::Level::error, "spool",
                    fmt::format("{} could not be dropped: {}", info.id, said.error().message()));
                return dropped;
            }
            for (const Notice& notice : notices) {
                events.emit(event::Dsn{
                    .ref = loaded->entry.ref,
                    .id = notice_id,
                    .action = "failed",
                    .rcpt = loaded->entry.envelope.recipients[notice.recipient].address.text(),
                    .result = "queued"});
            }
            dropped.push_back(info);
        }
    }
}

}  // namespace postern::relay
