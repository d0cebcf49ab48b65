// What operators do to entries: a page at a time, so that a million of them take no more memory,
// and hold the writer and the lock no longer, than a few hundred.

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "relay/spool/engine.hpp"
#include "relay/spool/selector.hpp"

namespace postern::relay::spool {
namespace {

using boost::system::result;

constexpr std::size_t page_entries = 500;
constexpr std::size_t page_recipients = 20'000;
/// How often an entry is looked at again whose record changes while it is read.
constexpr int most_looks = 16;

std::string failure_text(ChangeResult r, const EntryInfo& info) {
    switch (r) {
        case ChangeResult::gone:
            return "it has gone meanwhile";
        case ChangeResult::active:
            return "an attempt, or another drop, is under way";
        case ChangeResult::frozen:
            return "its account is suspended: postern account release thaws it";
        case ChangeResult::damaged:
            return "it is damaged";
        case ChangeResult::in_doubt:
            return fmt::format("{} may have it already: in doubt, it goes no other way",
                               info.upstream);
        case ChangeResult::changed:
        case ChangeResult::already:
        case ChangeResult::stale:
            break;
    }
    return "it changes all the time";
}

std::string why_not_due(EntryState shown) {
    switch (shown) {
        case EntryState::active:
            return "an attempt is under way";
        case EntryState::in_doubt:
            return "it is in doubt: the answer to it may still come";
        case EntryState::held:
            return "it is held: postern queue release lets it go";
        case EntryState::frozen:
            return "its account is suspended: postern account release thaws it";
        case EntryState::damaged:
            return "it is damaged";
        case EntryState::ready:
        case EntryState::deferred:
            break;
    }
    return "it is about to be dropped";
}

ChangeItem item_of(const Met& met) {
    return {.id = met.info.id,
            .state = met.located.entry.state,
            .last_reply = met.info.last_reply,
            .delay_notified = met.info.delay_notified};
}

}  // namespace

struct Engine::Page {
    std::vector<EntryInfo> infos;  ///< One each of `items`.
    std::vector<ChangeItem> items;
    std::size_t recipients = 0;

    void add(Met met) {
        items.push_back(item_of(met));
        recipients += met.info.open_rcpts.size();
        infos.push_back(std::move(met.info));
    }
    [[nodiscard]] bool full() const noexcept {
        return items.size() >= page_entries || recipients >= page_recipients;
    }
};

ChangeOutcome Engine::change(const EntrySelector& which, const EntryChange& what,
                             const std::function<void(const EntryInfo&)>& changed) {
    const bool drops = what.kind == EntryChange::Kind::drop;
    const auto shared_what = std::make_shared<const EntryChange>(what);
    ChangeOutcome out;
    Page page;
    const auto stopped = [&] {
        if (!out.error && what.stop && what.stop()) out.error = SpoolError::busy;
        return out.error.failed();
    };
    walk(*shared_, which, {}, [&](Met met) {
        ++out.matched;
        const bool last = out.matched == what.limit;
        if (what.kind == EntryChange::Kind::retry) {
            retry_one(met.info, what.now, out);
            if (out.matched % page_entries != 0) return last ? Walk::stop : Walk::on;
            return last || stopped() ? Walk::stop : Walk::on;
        }
        if (!met.readable && !drops) {
            out.fail(met.info.id, "its record cannot be read");
        } else if (drops && !hold_back(met.info.id)) {
            // Else nobody takes it while this is under way.
            out.fail(met.info.id, failure_text(ChangeResult::active, met.info));
        } else {
            page.add(std::move(met));
        }
        if (!page.full()) return last ? Walk::stop : Walk::on;
        record(page, shared_what, out, changed);
        return last || stopped() ? Walk::stop : Walk::on;
    });
    record(page, shared_what, out, changed);
    if (what.kind == EntryChange::Kind::retry && out.changed > 0) writer_.due_changed();
    return out;
}

void Engine::retry_one(const EntryInfo& info, WallTime now, ChangeOutcome& out) {
    EntryState shown = info.state;
    {
        const std::lock_guard lock(shared_->mutex);
        Ledger& ledger = shared_->ledger;
        const Handle h = ledger.index.find(info.id);
        if (h == no_handle) {
            out.fail(info.id, failure_text(ChangeResult::gone, info));
            return;
        }
        IndexEntry& e = ledger.index[h];
        if (e.slot == Slot::waiting && e.base == EntryState::deferred) {
            ledger.schedule.remove(h);
            e.base = EntryState::ready;
            e.next = std::min(e.next, to_disk(now));
            ledger.schedule.make_due(h);
        }
        if (e.slot == Slot::due) {
            ++out.changed;
            return;
        }
        shown = ledger.shown(e);
    }
    out.fail(info.id, why_not_due(shown));
}

void Engine::record(Page& page, const std::shared_ptr<const EntryChange>& what, ChangeOutcome& out,
                    const std::function<void(const EntryInfo&)>& changed) {
    const bool drops = what->kind == EntryChange::Kind::drop;
    for (int look = 1; !page.items.empty(); ++look) {
        const auto results =
            std::make_shared<std::vector<ChangeResult>>(page.items.size(), ChangeResult::gone);
        const auto said = std::make_shared<std::promise<result<void>>>();
        auto answer = said->get_future();
        Operation operation;
        operation.changes = page.items;
        operation.change = what;
        operation.results = results;
        operation.done = [said](result<void> word) { said->set_value(word); };
        writer_.enqueue(std::move(operation));
        const result<void> word = answer.get();

        Page again;
        for (std::size_t n = 0; n < page.items.size(); ++n) {
            EntryInfo& info = page.infos[n];
            const ChangeResult r = (*results)[n];
            if (!word) {
                out.fail(info.id, word.error().message());
            } else if (r == ChangeResult::changed) {
                ++out.changed;
                if (drops) info.reason = what->reason;
                if (changed) changed(info);
                continue;
            } else if (r == ChangeResult::stale && look < most_looks) {
                auto met = meet(*shared_, info.id);
                if (met && met->readable) {
                    again.add(std::move(*met));
                    continue;
                }
                out.fail(info.id, failure_text(ChangeResult::gone, info));
            } else if (r != ChangeResult::already) {
                out.fail(info.id, failure_text(r, info));
            }
            if (drops) let_go(info.id);
        }
        if (!word) out.error = word.error();
        page = std::move(again);
    }
}

}  // namespace postern::relay::spool
