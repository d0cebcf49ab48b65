#include "relay/spool/operation.hpp"

#include <algorithm>
#include <utility>

namespace postern::relay::spool {
namespace {

using boost::system::error_code;
using boost::system::result;

error_code prepare_add(const Ledger& ledger, Operation& op, std::size_t n, Prepared& out) {
    const NewEntry& entry = op.batch.add[n];
    const BodyPlace& body = op.bodies[n];
    if (!valid_id(entry.id) || entry.envelope.recipients.empty()) return SpoolError::damaged;
    if (ledger.index.find(entry.id) != no_handle) return SpoolError::exists;
    std::string record;
    encode_entry(entry, body, record);
    out.effects.push_back({out.frame.records(), Effect::Added{&entry, &body}});
    out.frame.add(RecordType::entry, std::move(record));
    if (body.kind == BodyPlace::Kind::in_segment) out.frame.add_body(entry.pieces);
    return {};
}

void prepare_end(const Ledger& ledger, Handle h, const std::string& reason, Prepared& out) {
    const IndexEntry& e = ledger.index[h];
    std::string id(e.id.view());
    std::string record;
    encode_end({id, e.record.segment, reason}, record);
    out.effects.push_back({out.frame.records(), Effect::Ended{std::move(id)}});
    out.frame.add(RecordType::end, std::move(record));
}

template <class What = Effect::StateSet>
void prepare_state(StateRecord state, Prepared& out) {
    std::string record;
    encode_state(state, record);
    out.effects.push_back({out.frame.records(), What{std::move(state)}});
    out.frame.add(RecordType::state, std::move(record));
}

/// What operators said of an entry outlives what an attempt makes of it.
void keep_orders(const Ledger& ledger, Handle h, StateRecord& state) {
    const IndexEntry& e = ledger.index[h];
    if (state.state == EntryState::held) {
        state.held = true;
        state.state = EntryState::deferred;
    }
    state.held = state.held || e.held;
    state.reason = ledger.index.reason(h);
    const std::string& way = ledger.index.names.text(e.upstream);
    // What is in doubt goes by the way that had its final dot, and by no other.
    state.rerouted = e.rerouted && (state.state != EntryState::in_doubt || state.upstream == way);
    if (state.rerouted) state.upstream = way;
}

error_code prepare_update(const Ledger& ledger, const EntryUpdate& update, Prepared& out) {
    const Handle h = ledger.index.find(update.id);
    if (h == no_handle) return SpoolError::not_found;
    const std::uint32_t recipients = ledger.index[h].recipients;
    StateRecord state;
    state.id = update.id;
    state.settled = ledger.index.settled_list(h);
    for (const EntryUpdate::RecipientDone& done : update.done) {
        if (done.index >= recipients) return SpoolError::not_found;
        state.settled.push_back(done.index);
    }
    std::ranges::sort(state.settled);
    const auto twice = std::ranges::unique(state.settled);
    state.settled.erase(twice.begin(), twice.end());
    if (state.settled.size() == recipients) {
        prepare_end(ledger, h, {}, out);
        return {};
    }
    state.state = update.state;
    state.next_attempt = update.next_attempt;
    state.attempts = update.attempts;
    state.upstream = update.upstream;
    state.last_reply = update.last_reply;
    state.delay_notified = update.delay_notified;
    keep_orders(ledger, h, state);
    prepare_state(std::move(state), out);
    return {};
}

/// What it is to be recorded as; unset: nothing is, for the reason given in `result`.
std::optional<StateRecord> changed_state(const Ledger& ledger, Handle h, const EntryChange& change,
                                         ChangeResult& result) {
    const IndexEntry& e = ledger.index[h];
    StateRecord state = state_of(ledger, h);
    const auto due_now = [&] {
        // The answer to what is in doubt may still come.
        if (state.state == EntryState::in_doubt) return;
        state.state = EntryState::ready;
        state.next_attempt = change.now;
    };
    switch (change.kind) {
        case EntryChange::Kind::hold:
            result = e.held ? ChangeResult::already : ChangeResult::changed;
            state.held = true;
            state.reason = change.reason;
            break;
        case EntryChange::Kind::release:
            result = e.held             ? ChangeResult::changed
                     : ledger.frozen(e) ? ChangeResult::frozen
                                        : ChangeResult::already;
            state.held = false;
            state.reason.clear();
            due_now();
            break;
        case EntryChange::Kind::reroute: {
            const bool same = state.upstream == change.upstream;
            result = ChangeResult::changed;
            if (e.base == EntryState::in_doubt)
                result = same ? ChangeResult::already : ChangeResult::in_doubt;
            state.rerouted = true;
            state.upstream = change.upstream;
            due_now();
            break;
        }
        case EntryChange::Kind::retry:
        case EntryChange::Kind::drop:
            result = ChangeResult::already;
            break;
    }
    if (result != ChangeResult::changed) return std::nullopt;
    return state;
}

ChangeResult prepare_change(const Ledger& ledger, const EntryChange& change, const ChangeItem& item,
                            Prepared& out) {
    const Handle h = ledger.index.find(item.id);
    if (h == no_handle) return ChangeResult::gone;
    const IndexEntry& e = ledger.index[h];
    if (change.kind == EntryChange::Kind::drop) {
        if (e.slot == Slot::active) return ChangeResult::active;
        prepare_end(ledger, h, change.reason, out);
        return ChangeResult::changed;
    }
    if (e.base == EntryState::damaged) return ChangeResult::damaged;
    if (e.state != item.state) return ChangeResult::stale;
    ChangeResult result = ChangeResult::already;
    if (auto state = changed_state(ledger, h, change, result)) {
        state->last_reply = item.last_reply;
        state->delay_notified = item.delay_notified;
        prepare_state<Effect::Changed>(std::move(*state), out);
    }
    return result;
}

/// Schedules an entry whose state was just recorded.
void settle_down(Ledger& ledger, Handle h, EntryState recorded) {
    if (recorded == EntryState::active && ledger.index[h].slot == Slot::active) return;
    ledger.schedule.remove(h);
    ledger.arrange(h);
}

std::vector<std::string_view> ids_of(const Operation& op) {
    std::vector<std::string_view> ids;
    for (const NewEntry& entry : op.batch.add) ids.emplace_back(entry.id);
    for (const EntryUpdate& update : op.batch.update) ids.emplace_back(update.id);
    for (const StateRecord& state : op.states) ids.emplace_back(state.id);
    for (const ChangeItem& item : op.changes) ids.emplace_back(item.id);
    return ids;
}

struct Apply {
    Ledger& ledger;
    Place at;
    std::vector<std::string>& body_files;

    void operator()(const Effect::Added& e) const {
        ledger.arrange(ledger.add(*e.entry, *e.body, at));
    }
    void operator()(const Effect::StateSet& e) const {
        const Handle h = ledger.index.find(e.state.id);
        if (h == no_handle) return;
        ledger.set_state(h, e.state, at);
        settle_down(ledger, h, e.state.state);
    }
    void operator()(const Effect::Changed& e) const {
        const Handle h = ledger.index.find(e.state.id);
        if (h == no_handle) return;
        ledger.set_state(h, e.state, at);
        ledger.arrange(h);
    }
    void operator()(const Effect::Ended& e) const {
        const Handle h = ledger.index.find(e.id);
        if (h == no_handle) return;
        const IndexEntry& entry = ledger.index[h];
        if (entry.body == BodyPlace::Kind::file) body_files.push_back(e.id);
        ledger.note_end(at.segment, entry.record.segment);
        ledger.erase(h);
    }
    void operator()(const Effect::Moved& e) const {
        const Handle h = ledger.index.find(e.id);
        if (h != no_handle) ledger.move(h, at, e.body);
    }
    void operator()(const Effect::StateMoved& e) const {
        const Handle h = ledger.index.find(e.id);
        if (h != no_handle) ledger.move_state(h, at);
    }
    void operator()(const Effect::EndCopied& e) const { ledger.note_end(at.segment, e.origin); }
};

}  // namespace

bool Operation::adds_mail() const noexcept {
    if (!adds()) return false;
    // A notice of delay ends nobody's mail: it can come later.
    const bool settles =
        std::ranges::any_of(batch.update, [](const EntryUpdate& u) { return !u.done.empty(); });
    return !settles || !std::ranges::all_of(batch.add, [](const NewEntry& e) { return e.dsn; });
}

std::uint64_t Operation::octets() const noexcept {
    std::uint64_t n = 0;
    for (const BodyPlace& body : bodies) n += body.size;
    return n;
}

result<std::unique_ptr<Prepared>> prepare(const Ledger& ledger, Operation& op) {
    std::uint64_t inline_octets = 0;
    for (const BodyPlace& body : op.bodies) {
        if (body.kind == BodyPlace::Kind::in_segment) inline_octets += body.size;
    }
    if (inline_octets > max_frame) return SpoolError::damaged;
    auto out = std::make_unique<Prepared>();
    for (std::size_t n = 0; n < op.batch.add.size(); ++n) {
        if (const auto error = prepare_add(ledger, op, n, *out)) return error;
    }
    for (const EntryUpdate& update : op.batch.update) {
        if (const auto error = prepare_update(ledger, update, *out)) return error;
    }
    for (const StateRecord& state : op.states) {
        if (ledger.index.find(state.id) != no_handle) prepare_state(state, *out);
    }
    for (std::size_t n = 0; n < op.changes.size(); ++n) {
        (*op.results)[n] = prepare_change(ledger, *op.change, op.changes[n], *out);
    }
    if (op.freezing) {
        std::string record;
        encode_frozen(ledger.frozen_accounts(), record);
        out->frame.add(RecordType::frozen, std::move(record));
    }
    if (out->frame.size() > max_frame) return SpoolError::damaged;
    return out;
}

StateRecord state_of(const Ledger& ledger, Handle h) {
    const IndexEntry& e = ledger.index[h];
    StateRecord s;
    s.id = e.id.view();
    s.settled = ledger.index.settled_list(h);
    s.state = e.base;
    s.next_attempt = from_disk(e.next);
    s.attempts = e.attempts;
    s.upstream = ledger.index.names.text(e.upstream);
    s.held = e.held;
    s.rerouted = e.rerouted;
    s.reason = ledger.index.reason(h);
    return s;
}

void apply(Ledger& ledger, const Prepared& prepared, std::uint32_t segment, std::uint64_t offset,
           std::vector<std::string>& body_files) {
    for (const Effect& effect : prepared.effects) {
        const std::uint64_t at = offset + prepared.frame.record_offset(effect.record);
        const Place place{segment, static_cast<std::uint32_t>(at),
                          prepared.frame.record_length(effect.record)};
        std::visit(Apply{ledger, place, body_files}, effect.what);
    }
}

bool claim_ids(const Operation& operation, std::unordered_set<std::string_view>& claimed) {
    const std::vector<std::string_view> ids = ids_of(operation);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (claimed.insert(ids[i]).second) continue;
        while (i > 0) claimed.erase(ids[--i]);
        return false;
    }
    return true;
}

void release_ids(const Operation& operation, std::unordered_set<std::string_view>& claimed) {
    for (const std::string_view id : ids_of(operation)) claimed.erase(id);
}

}  // namespace postern::relay::spool
