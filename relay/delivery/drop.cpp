#include "relay/delivery/drop.hpp"

#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "relay/delivery/notices.hpp"

namespace postern::relay {

namespace {

/// What becomes durable together: a sync a batch, and what a batch holds in memory.
constexpr std::size_t batch_entries = 100;
constexpr std::size_t batch_octets = 4U << 20U;

boost::system::result<void> commit_blocking(Spool& spool, SpoolBatch batch) {
    std::promise<boost::system::result<void>> said;
    auto answer = said.get_future();
    spool.commit(std::move(batch),
                 [&said](boost::system::result<void> word) { said.set_value(word); });
    return answer.get();
}

/// One entry that is to go, held back, with the notification that it owes.
struct Going {
    Going(Spool& spool, EntryInfo which) : info(std::move(which)), ours(spool, info.id) {}

    EntryInfo info;
    HeldBack ours;
    EntryUpdate update;
    std::optional<NewEntry> notice;
    proto::Envelope envelope;
    std::vector<Notice> notices;
};

class Dropping {
  public:
    Dropping(Spool& spool, NoticeDesk& desk, const config::Config& config, event::Stream& events,
             dkim::Signer& signer, const EntryChange& what,
             const std::function<void(const EntryInfo&)>& dropped)
        : spool_(spool),
          desk_(desk),
          config_(config),
          events_(events),
          signer_(signer),
          what_(what),
          dropped_(dropped) {}

    /// False: no more.
    [[nodiscard]] bool take(const EntryInfo& info) {
        ++out_.matched;
        if (info.state == EntryState::damaged) {
            out_.fail(info.id, "it is damaged: no notification can be made of it");
        } else if (auto going = std::make_unique<Going>(spool_, info); !going->ours) {
            out_.fail(info.id, "an attempt, or another drop, is under way");
        } else if (const auto said = prepare(*going); !said) {
            failed(info, said.error());
        } else {
            for (const std::string_view piece :
                 going->notice ? going->notice->pieces : std::vector<std::string_view>())
                octets_ += piece.size();
            going_.push_back(std::move(going));
            if (going_.size() >= batch_entries || octets_ >= batch_octets) flush();
        }
        if (!out_.error && what_.stop && what_.stop()) {
            flush();
            if (!out_.error) out_.error = SpoolError::busy;
        }
        return !out_.error && out_.matched != what_.limit;
    }

    [[nodiscard]] ChangeOutcome end() {
        flush();
        return std::move(out_);
    }

  private:
    [[nodiscard]] boost::system::result<void> prepare(Going& going) {
        auto loaded = spool_.load(going.info.id);
        if (!loaded) return loaded.error();
        const NewEntry& entry = loaded->entry;
        going.update.id = going.info.id;
        going.update.state = entry.state;
        going.update.last_reply = "dropped: " + what_.reason;
        for (const std::uint32_t i : loaded->open) {
            going.update.done.push_back({i, Settled::dropped});
            const auto& rcpt = entry.envelope.recipients[i];
            if (entry.dsn || !proto::dsn_owed(entry.envelope, rcpt, proto::DsnAction::failed))
                continue;
            going.notices.push_back({.recipient = i,
                                     .action = proto::DsnAction::failed,
                                     .reply = {},
                                     .remote = {},
                                     // Why is between operators: it stands in the journal.
                                     .reason = "The operator has taken it out of the queue."});
        }
        going.envelope = entry.envelope;
        const NoticeSource source{.ref = entry.ref,
                                  .account = entry.account,
                                  .customer = entry.customer,
                                  .envelope = &entry.envelope,
                                  .pieces = entry.pieces,
                                  .received = entry.created};
        going.notice = desk_.write(config_, source, going.notices);
        if (going.notice) {
            put_on_top(*going.notice, signer_.sign(dkim::wanted_by(config_, going.notice->id,
                                                                   notice_domain(config_)),
                                                   going.notice->pieces));
        }
        return {};
    }

    /// Each entry and its notice are in one batch: both, or neither.
    static void add(SpoolBatch& batch, const Going& going) {
        batch.update.push_back(going.update);
        if (going.notice) batch.add.push_back(*going.notice);
    }

    void flush() {
        if (going_.empty()) return;
        SpoolBatch all;
        for (const auto& one : going_) add(all, *one);
        const auto said = commit_blocking(spool_, std::move(all));
        // One that is gone by now keeps the others back: each by itself then.
        const bool each = !said && said.error() == SpoolError::not_found && going_.size() > 1;
        for (const auto& one : going_) {
            if (!each) {
                ended(*one, said);
                continue;
            }
            SpoolBatch single;
            add(single, *one);
            ended(*one, commit_blocking(spool_, std::move(single)));
        }
        going_.clear();
        octets_ = 0;
    }

    void ended(const Going& going, const boost::system::result<void>& said) {
        if (!said) return failed(going.info, said.error());
        ++out_.changed;
        if (dropped_) dropped_(going.info);
        const std::string id = going.notice ? going.notice->id : "";
        tell_notices(events_, going.info.ref, going.envelope, going.notices, id,
                     id.empty() ? "none" : "queued");
    }

    void failed(const EntryInfo& info, const boost::system::error_code& error) {
        out_.fail(info.id, error.message());
        // An entry that cannot be read is its own trouble; the spool's is everybody's.
        if (error != SpoolError::damaged && error != SpoolError::not_found) out_.error = error;
    }

    Spool& spool_;
    NoticeDesk& desk_;
    const config::Config& config_;
    event::Stream& events_;
    dkim::Signer& signer_;
    const EntryChange& what_;
    const std::function<void(const EntryInfo&)>& dropped_;
    ChangeOutcome out_;
    std::vector<std::unique_ptr<Going>> going_;
    std::size_t octets_ = 0;
};

}  // namespace

ChangeOutcome drop_with_notice(Spool& spool, NoticeDesk& desk, const config::Config& config,
                               event::Stream& events, dkim::Signer& signer,
                               const EntrySelector& which, const EntryChange& what,
                               const std::function<void(const EntryInfo&)>& dropped) {
    const auto began = std::chrono::system_clock::now();
    Dropping dropping(spool, desk, config, events, signer, what, dropped);
    spool.visit(which, [&](const EntryInfo& info) {
        // The notifications made here match, too, where accounts or customers select.
        if (info.dsn && info.created >= began) return true;
        return dropping.take(info);
    });
    return dropping.end();
}

}  // namespace postern::relay
