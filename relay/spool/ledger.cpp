#include "relay/spool/ledger.hpp"

#include <algorithm>

namespace postern::relay::spool {
namespace {

/// What is recorded may be what only a moment or another word makes of an entry.
void set_base(IndexEntry& e, EntryState recorded) noexcept {
    const bool passing = recorded == EntryState::active || recorded == EntryState::frozen;
    e.held = recorded == EntryState::held;
    e.base = passing ? EntryState::ready : e.held ? EntryState::deferred : recorded;
}

}  // namespace

std::uint64_t Ledger::record_octets(const IndexEntry& e) {
    return e.record.length +
           (e.body == BodyPlace::Kind::in_segment ? e.bytes + record_check_size : 0);
}

void Ledger::count(Place at, std::uint64_t octets, int sign) {
    const auto it = segments.find(at.segment);
    if (it == segments.end()) return;
    std::uint64_t& live = it->second->live;
    live = sign > 0 ? live + octets : live - std::min(live, octets);
}

Handle Ledger::add(const NewEntry& n, const BodyPlace& body, Place at) {
    const Handle h = index.add(n.id);
    IndexEntry& e = index[h];
    e.record = at;
    e.created = to_disk(n.created);
    e.next = to_disk(n.next_attempt);
    e.bytes = body.size;
    e.body = body.kind;
    e.account = index.names.intern(n.account);
    e.customer = index.names.intern(n.customer);
    e.upstream = index.names.intern(n.upstream);
    e.recipients = static_cast<std::uint32_t>(n.envelope.recipients.size());
    e.attempts = n.attempts;
    set_base(e, n.state);
    e.dsn = n.dsn;
    count(at, record_octets(e), +1);
    return h;
}

void Ledger::move(Handle h, Place at, BodyPlace::Kind body) {
    IndexEntry& e = index[h];
    count(e.record, record_octets(e), -1);
    e.record = at;
    e.body = body;
    count(e.record, record_octets(e), +1);
}

void Ledger::move_state(Handle h, Place at) {
    IndexEntry& e = index[h];
    count(e.state, e.state.length, -1);
    e.state = at;
    count(e.state, e.state.length, +1);
}

void Ledger::set_state(Handle h, const StateRecord& s, Place at) {
    move_state(h, at);
    IndexEntry& e = index[h];
    index.forget_settled(h);
    for (const std::uint32_t i : s.settled) {
        if (i < e.recipients) index.settle(h, i);
    }
    e.next = to_disk(s.next_attempt);
    e.attempts = s.attempts;
    e.upstream = index.names.intern(s.upstream);
    set_base(e, s.state);
    e.held = e.held || s.held;
    e.rerouted = s.rerouted;
    index.set_reason(h, e.held ? std::string_view(s.reason) : std::string_view());
}

void Ledger::erase(Handle h) {
    const IndexEntry& e = index[h];
    schedule.remove(h);
    count(e.record, record_octets(e), -1);
    count(e.state, e.state.length, -1);
    index.erase(h);
}

void Ledger::note_end(std::uint32_t segment, std::uint32_t origin) {
    const auto it = segments.find(segment);
    if (it == segments.end() || segment == origin || !segments.contains(origin)) return;
    ++it->second->ends[origin];
}

void Ledger::forget_segment(std::uint32_t number) {
    segments.erase(number);
    for (auto& [n, segment] : segments) {
        segment->ends.erase(number);
        if (segment->seals == number) segment->seals = 0;
    }
}

void Ledger::arrange(Handle h) {
    IndexEntry& e = index[h];
    if (e.slot == Slot::active) return;
    schedule.remove(h);
    if (e.ending || e.held || frozen(e)) return;
    switch (e.base) {
        case EntryState::ready:
            schedule.make_due(h);
            break;
        case EntryState::deferred:
        case EntryState::in_doubt:
            schedule.wait(h);
            break;
        case EntryState::active:
        case EntryState::held:
        case EntryState::frozen:
        case EntryState::damaged:
            break;
    }
}

void Ledger::set_frozen(std::string_view account, bool frozen) {
    const std::uint32_t number = index.names.intern(account);
    const bool changed = frozen ? frozen_.insert(number).second : frozen_.erase(number) > 0;
    if (!changed) return;
    for (Handle h = 0; h < index.bound(); ++h) {
        if (index[h].used && index[h].account == number) arrange(h);
    }
}

void Ledger::restore_frozen(const std::vector<std::string>& accounts) {
    frozen_.clear();
    for (const std::string& account : accounts) frozen_.insert(index.names.intern(account));
}

std::vector<std::string> Ledger::frozen_accounts() const {
    std::vector<std::string> out;
    out.reserve(frozen_.size());
    for (const std::uint32_t n : frozen_) out.push_back(index.names.text(n));
    std::ranges::sort(out);
    return out;
}

EntryState Ledger::shown(const IndexEntry& e) const {
    if (e.slot == Slot::active) return EntryState::active;
    if (e.base == EntryState::damaged) return EntryState::damaged;
    if (frozen(e)) return EntryState::frozen;
    if (e.held) return EntryState::held;
    return e.base;
}

}  // namespace postern::relay::spool
