#include "relay/spool/engine.hpp"

#include <algorithm>
#include <limits>
#include <random>
#include <utility>

#include "relay/spool/selector.hpp"

namespace postern::relay {
namespace spool {

using boost::system::result;

namespace {

constexpr std::uint64_t outcome_octets =
    2 * block;  ///< What the outcomes of a message take, at most, and a bit.

std::uint64_t system_random() {
    std::random_device device;
    return std::uint64_t{device()} << 32U | device();
}

/// How much is allocated at a time: less on a small disk, so that most of it is for mail.
std::uint64_t chunk_for(std::uint64_t free, std::uint64_t segment_size) {
    constexpr std::uint64_t most = 4U << 20U;
    constexpr std::uint64_t least = 64U << 10U;
    const std::uint64_t fitting = std::clamp(free / 64 / block * block, least, most);
    return std::min(fitting, segment_size);
}

}  // namespace

void Engine::commit(SpoolBatch batch, Callback done) {
    Operation operation;
    operation.batch = std::move(batch);
    operation.done = std::move(done);
    operation.bodies.resize(operation.batch.add.size());
    for (std::size_t n = 0; n < operation.batch.add.size(); ++n) {
        const NewEntry& entry = operation.batch.add[n];
        BodyPlace& place = operation.bodies[n];
        for (const std::string_view piece : entry.pieces) place.size += piece.size();
        if (place.size <= shared_->settings.inline_limit || !valid_id(entry.id)) continue;
        const std::lock_guard lock(shared_->mutex);
        // Not for one that is there already: its file is not to be touched.
        if (shared_->ledger.index.find(entry.id) == no_handle) place.kind = BodyPlace::Kind::file;
    }
    writer_.enqueue(std::move(operation));
}

result<Spool::Reservation> Engine::reserve(std::uint64_t bytes) {
    if (!shared_->writable.load()) {
        return shared_->full.load() ? SpoolError::full : SpoolError::write;
    }
    if (bytes > std::numeric_limits<std::uint64_t>::max() / 4) return SpoolError::full;
    const std::uint64_t claim = bytes + outcome_octets;
    const std::uint64_t others = shared_->reserved->fetch_add(claim);
    if (shared_->free_bytes.load() < shared_->reserve.load() + others + claim) {
        shared_->reserved->fetch_sub(claim);
        return SpoolError::full;
    }
    auto counter = shared_->reserved;
    std::shared_ptr<void> token(counter.get(),
                                [counter, claim](void*) { counter->fetch_sub(claim); });
    return Reservation(std::move(token));
}

std::vector<std::string> Engine::take_due(WallTime now, std::size_t max) {
    std::vector<std::string> out;
    const std::lock_guard lock(shared_->mutex);
    while (out.size() < max) {
        const auto h = shared_->ledger.schedule.take(to_disk(now));
        if (!h) break;
        out.emplace_back(shared_->ledger.index[*h].id.view());
    }
    return out;
}

void Engine::put_back(const std::string& id, WallTime when) {
    {
        const std::lock_guard lock(shared_->mutex);
        Ledger& ledger = shared_->ledger;
        const Handle h = ledger.index.find(id);
        if (h == no_handle || ledger.index[h].slot != Slot::active) return;
        IndexEntry& e = ledger.index[h];
        ledger.schedule.remove(h);
        if (e.base == EntryState::ready) e.base = EntryState::deferred;
        e.next = to_disk(when);
        ledger.arrange(h);
    }
    writer_.due_changed();
}

std::optional<WallTime> Engine::next_due() const {
    const std::lock_guard lock(shared_->mutex);
    const auto next = shared_->ledger.schedule.next();
    if (!next) return std::nullopt;
    return from_disk(*next);
}

bool Engine::hold_back(const std::string& id) {
    const std::lock_guard lock(shared_->mutex);
    Ledger& ledger = shared_->ledger;
    const Handle h = ledger.index.find(id);
    if (h == no_handle || ledger.index[h].slot == Slot::active || ledger.index[h].ending)
        return false;
    ledger.index[h].ending = true;
    ledger.schedule.remove(h);
    return true;
}

void Engine::let_go(const std::string& id) {
    {
        const std::lock_guard lock(shared_->mutex);
        Ledger& ledger = shared_->ledger;
        const Handle h = ledger.index.find(id);
        if (h == no_handle || !ledger.index[h].ending) return;
        ledger.index[h].ending = false;
        ledger.arrange(h);
    }
    writer_.due_changed();
}

std::vector<EntryInfo> Engine::list(const EntrySelector& which, std::size_t limit,
                                    const std::string& after_id) const {
    std::vector<EntryInfo> out;
    if (limit == 0) return out;
    walk(*shared_, which, after_id, [&](Met met) {
        out.push_back(std::move(met.info));
        return out.size() < limit ? Walk::on : Walk::stop;
    });
    return out;
}

void Engine::visit(const EntrySelector& which,
                   const std::function<bool(const EntryInfo&)>& see) const {
    walk(*shared_, which, {},
         [&](const Met& met) { return see(met.info) ? Walk::on : Walk::stop; });
}

void Engine::freeze(const std::string& account, bool frozen, Callback done) {
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->ledger.set_frozen(account, frozen);
    }
    record_frozen(std::move(done));
    if (!frozen) writer_.due_changed();
}

void Engine::record_frozen(Callback done) {
    Operation operation;
    operation.freezing = true;
    operation.done = std::move(done);
    writer_.enqueue(std::move(operation));
}

std::vector<std::string> Engine::frozen_accounts() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->ledger.frozen_accounts();
}

Spool::Stats Engine::stats() const {
    constexpr Handle a_turn = 8192;
    Stats out;
    out.free_bytes = shared_->free_bytes.load();
    out.writable = shared_->writable.load();
    std::optional<std::int64_t> oldest[std::size(out.oldest)];
    for (Handle from = 0;;) {
        const std::lock_guard lock(shared_->mutex);
        const Ledger& ledger = shared_->ledger;
        const Handle end = std::min(ledger.index.bound(), from + a_turn);
        for (; from < end; ++from) {
            const IndexEntry& e = ledger.index[from];
            if (!e.used) continue;
            const auto state = static_cast<std::size_t>(ledger.shown(e));
            ++out.entries[state];
            out.bytes[state] += e.bytes;
            if (!oldest[state] || e.created < *oldest[state]) oldest[state] = e.created;
        }
        if (from >= ledger.index.bound()) break;
    }
    for (std::size_t i = 0; i < std::size(oldest); ++i) {
        if (oldest[i]) out.oldest[i] = from_disk(*oldest[i]);
    }
    return out;
}

}  // namespace spool

boost::system::result<std::unique_ptr<Spool>> Spool::open(FileSystem& fs, Settings settings,
                                                          Observer observer) {
    if (!settings.random) settings.random = spool::system_random;
    settings.segment_size = spool::round_up(
        std::clamp<std::uint64_t>(settings.segment_size, 64U << 10U, 1U << 30U), spool::block);
    settings.inline_limit = std::min<std::uint64_t>(settings.inline_limit, 64U << 20U);
    const spool::Layout layout{settings.path};
    for (const std::string& directory : {layout.root, layout.bodies(), layout.damaged()}) {
        // Of the first alone an error is fatal: what cannot be listed cannot be recovered.
        static_cast<void>(fs.make_directory(directory));
    }
    static_cast<void>(fs.sync_directory(layout.root));

    auto shared =
        std::make_unique<spool::Shared>(fs, std::move(settings), std::move(observer), layout);
    const auto damaged = [&](const std::string& id, const std::string& where,
                             const std::string& why) {
        if (shared->observer.damaged) shared->observer.damaged(id, where, why);
    };
    auto end = spool::recover(fs, layout, shared->ledger, damaged);
    if (!end) return end.error();

    const auto free = fs.free_space(layout.root);
    spool::SegmentLog::Settings log;
    log.path = layout.root;
    log.segment_size = shared->settings.segment_size;
    log.chunk = spool::chunk_for(free ? *free : 0, log.segment_size);
    log.random = shared->settings.random;
    return std::unique_ptr<Spool>(
        std::make_unique<spool::Engine>(std::move(shared), std::move(log), std::move(*end)));
}

}  // namespace postern::relay
