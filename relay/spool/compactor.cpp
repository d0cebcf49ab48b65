#include "relay/spool/compactor.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "relay/spool/details.hpp"

namespace postern::relay::spool {
namespace {

constexpr std::uint64_t copied_a_step = 256U << 10U;
constexpr std::uint64_t scanned_a_step = 4U << 20U;
constexpr std::size_t small_segments_kept = 4;

bool dead(const Segment& s) {
    return s.live == 0 && s.ends.empty();
}

}  // namespace

/// An urgent segment before all others. Else one that is dead, or the one with the least share of
/// live octets if that is below half, or a small one where restarts left several.
SegmentPtr Compactor::choose(std::uint32_t current) const {
    SegmentPtr best;
    double least = 0.5;
    SegmentPtr smallest;
    std::size_t small = 0;
    bool any_urgent = false;
    for (const auto& [number, segment] : shared_.ledger.segments) {
        if (number == current) continue;
        any_urgent = any_urgent || segment->urgent;
        // One that still has to tell where the segment before it ends stays until that one is
        // trimmed or gone.
        if (segment->seals != 0) continue;
        if (segment->urgent) return segment;
        const double share = dead(*segment) ? -1.0
                                            : static_cast<double>(segment->live) /
                                                  static_cast<double>(segment->size);
        if (share < least) {
            least = share;
            best = segment;
        }
        if (segment->size < shared_.settings.segment_size / 16) {
            ++small;
            if (!smallest || segment->size < smallest->size) smallest = segment;
        }
    }
    if (any_urgent) return before_the_urgent(current);
    if (best) return best;
    return small > small_segments_kept ? smallest : nullptr;
}

/// The urgent ones wait for those that they seal: the first of those.
SegmentPtr Compactor::before_the_urgent(std::uint32_t current) const {
    const auto& segments = shared_.ledger.segments;
    for (const auto& [number, urgent] : segments) {
        if (number == current || !urgent->urgent) continue;
        auto it = segments.find(urgent->seals);
        while (it != segments.end() && it->first != current) {
            if (it->second->seals == 0) return it->second;
            it = segments.find(it->second->seals);
        }
    }
    return nullptr;
}

bool Compactor::has_work(std::uint32_t current) {
    if (std::chrono::steady_clock::now() < retry_at_) return false;
    if (victim_) return true;
    const std::lock_guard lock(shared_.mutex);
    return choose(current) != nullptr;
}

void Compactor::pause(std::chrono::seconds time) {
    retry_at_ = std::chrono::steady_clock::now() + time;
    if (!victim_) return;
    const std::lock_guard lock(shared_.mutex);
    victim_->urgent = true;  // Some of its entries may have moved on.
    forget_victim();
}

void Compactor::forget_victim() {
    scanner_.reset();
    victim_.reset();
    scanned_ = false;
}

Compactor::Batch Compactor::step(std::uint32_t current) {
    if (!victim_) {
        const std::lock_guard lock(shared_.mutex);
        victim_ = choose(current);
        if (!victim_) return {};
        scanned_ = dead(*victim_);
        if (!scanned_) {
            scanner_.emplace(*victim_->file, victim_->mark, first_frame, victim_->size,
                             Scanner::Depth::records);
        }
    }
    unreadable_ = false;
    Batch batch;
    if (!scanned_) {
        batch = copy_some();
    } else {
        batch = copy_left_over();
        if (batch.empty() && !unreadable_) remove_victim();
    }
    // The disk does not give it now; it may later, and what it holds is not to be lost before.
    if (unreadable_) pause(std::chrono::seconds(30));
    return batch;
}

Compactor::Batch Compactor::copy_some() {
    Batch batch;
    std::uint64_t copied = 0;
    std::uint64_t scanned = 0;
    while (copied < copied_a_step && scanned < scanned_a_step) {
        const auto frame = scanner_->next();
        if (!frame) {
            scanned_ = true;
            scanner_.reset();
            break;
        }
        scanned += frame->end - frame->offset;
        const std::size_t before = batch.size();
        copy_frame(*frame, batch);
        for (std::size_t i = before; i < batch.size(); ++i) copied += batch[i]->frame.size();
    }
    return batch;
}

void Compactor::copy_frame(const ScannedFrame& frame, Batch& out) {
    for (std::size_t n = 0; n < frame.records.size(); ++n) {
        const ScannedRecord& record = frame.records[n];
        if (!record.intact) continue;  // What lives of it is dealt with at the end.
        switch (record.type) {
            case RecordType::entry:
            case RecordType::moved:
                copy_entry(frame, n, out);
                break;
            case RecordType::state:
                copy_state(record, out);
                break;
            case RecordType::end:
                copy_end(record, out);
                break;
            case RecordType::body:
            case RecordType::opening:
            case RecordType::frozen:
                // The current segment began with the list of frozen accounts.
                break;
        }
    }
}

void Compactor::add_state(const Located& located, Prepared& out) {
    const std::string id(located.entry.id.view());
    std::string record;
    if (located.state_segment) {
        if (auto octets = read_record(*located.state_segment, located.entry.state)) {
            const auto state = decode_state(*octets);
            const bool tells_of_damage = state && state->state == EntryState::damaged;
            if (state && (tells_of_damage || located.entry.base != EntryState::damaged)) {
                record = std::move(*octets);
            }
        }
    }
    if (record.empty()) {
        const std::lock_guard lock(shared_.mutex);
        const Handle h = shared_.ledger.index.find(id);
        if (h == no_handle) return;
        encode_state(state_of(shared_.ledger, h), record);
    }
    out.effects.push_back({out.frame.records(), Effect::StateMoved{id}});
    out.frame.add(RecordType::state, std::move(record));
}

std::optional<Located> Compactor::look_up(const std::string& id) {
    const std::lock_guard lock(shared_.mutex);
    const Handle h = shared_.ledger.index.find(id);
    if (h == no_handle) return std::nullopt;
    return locate(shared_.ledger, h);
}

void Compactor::copy_entry(const ScannedFrame& frame, std::size_t n, Batch& out) {
    const ScannedRecord& record = frame.records[n];
    auto decoded = decode_entry(record.octets);
    if (!decoded) return;
    const std::string& id = decoded->entry.id;
    auto located = look_up(id);
    if (!located || located->entry.record != place_of(*victim_, record)) return;

    auto prepared = std::make_unique<Prepared>();
    BodyPlace body = decoded->body;
    std::string octets = record.octets;
    if (body.kind == BodyPlace::Kind::in_segment) {
        auto read = read_body(shared_.fs, shared_.layout, *located, body);
        if (read) {
            prepared->body = std::move(*read);
            prepared->body_pieces = {*prepared->body};
        } else if (read.error() != SpoolError::damaged) {
            unreadable_ = true;
            return;
        } else {
            body_is_lost(*located, body);
            body.kind = BodyPlace::Kind::lost;
            octets.clear();
            encode_entry(decoded->entry, body, octets);
        }
    }
    prepared->effects.push_back({0, Effect::Moved{id, body.kind}});
    prepared->frame.add(RecordType::moved, std::move(octets));
    if (body.kind == BodyPlace::Kind::in_segment) prepared->frame.add_body(prepared->body_pieces);
    if (located->entry.state.segment != 0 || located->entry.base == EntryState::damaged) {
        add_state(*located, *prepared);
    }
    out.push_back(std::move(prepared));
}

/// Sets aside what there is of the body, unless that was done before.
void Compactor::body_is_lost(Located& located, const BodyPlace& body) {
    if (located.entry.base == EntryState::damaged) return;
    const std::string id(located.entry.id.view());
    const std::uint64_t at = std::uint64_t{located.entry.record.offset} +
                             located.entry.record.length + record_check_size;
    const std::string octets =
        read_what_can_be(*victim_->file, at, static_cast<std::size_t>(body.size));
    const std::string_view piece = octets;
    const std::string where = set_aside(shared_.fs, shared_.layout, id + ".eml", {&piece, 1});
    if (shared_.observer.damaged) shared_.observer.damaged(id, where, "body of an entry");
    located.entry.base = EntryState::damaged;
    const std::lock_guard lock(shared_.mutex);
    const Handle h = shared_.ledger.index.find(id);
    if (h == no_handle) return;
    shared_.ledger.schedule.remove(h);
    shared_.ledger.index[h].base = EntryState::damaged;
}

void Compactor::copy_state(const ScannedRecord& record, Batch& out) {
    const auto state = decode_state(record.octets);
    if (!state) return;
    const auto located = look_up(state->id);
    // An entry of this segment takes its state with it.
    if (!located || located->entry.state != place_of(*victim_, record) ||
        located->entry.record.segment == victim_->number) {
        return;
    }
    auto prepared = std::make_unique<Prepared>();
    add_state(*located, *prepared);
    out.push_back(std::move(prepared));
}

void Compactor::copy_end(const ScannedRecord& record, Batch& out) {
    const auto end = decode_end(record.octets);
    if (!end) return;
    const std::lock_guard lock(shared_.mutex);
    const auto& segments = shared_.ledger.segments;
    const bool urgent_elsewhere = std::ranges::any_of(
        segments, [this](const auto& s) { return s.second->urgent && s.second != victim_; });
    const bool origin_there = end->segment != victim_->number && segments.contains(end->segment);
    if (!origin_there && !urgent_elsewhere) return;
    auto prepared = std::make_unique<Prepared>();
    prepared->effects.push_back({0, Effect::EndCopied{end->segment}});
    prepared->frame.add(RecordType::end, record.octets);
    out.push_back(std::move(prepared));
}

/// What still counts on the segment though the walk over it did not find it: damage. The ledger
/// knows the states; of entries there is nothing to go on with.
Compactor::Batch Compactor::copy_left_over() {
    Batch out;
    std::vector<Located> entries;
    std::vector<Located> states;
    {
        const std::lock_guard lock(shared_.mutex);
        if (victim_->live == 0) return out;
        for (Handle h = 0; h < shared_.ledger.index.bound(); ++h) {
            const IndexEntry& e = shared_.ledger.index[h];
            if (!e.used) continue;
            if (e.record.segment == victim_->number) {
                entries.push_back(locate(shared_.ledger, h));
            } else if (e.state.segment == victim_->number) {
                states.push_back(locate(shared_.ledger, h));
            }
        }
    }
    for (const Located& located : states) {
        auto prepared = std::make_unique<Prepared>();
        add_state(located, *prepared);
        out.push_back(std::move(prepared));
    }
    for (const Located& located : entries) {
        const auto record = read_record(*victim_, located.entry.record);
        if (!record && record.error() == SpoolError::damaged) {
            give_up_entry(located);
        } else {
            unreadable_ = true;
        }
    }
    return out;
}

void Compactor::give_up_entry(const Located& located) {
    const std::string id(located.entry.id.view());
    const Place& at = located.entry.record;
    const std::uint64_t body =
        located.entry.body == BodyPlace::Kind::in_segment ? located.entry.bytes : 0;
    const std::string octets = read_what_can_be(
        *victim_->file, at.offset, static_cast<std::size_t>(at.length + record_check_size + body));
    const std::string_view piece = octets;
    const std::string where = set_aside(shared_.fs, shared_.layout, id + ".record", {&piece, 1});
    if (shared_.observer.damaged) {
        shared_.observer.damaged(id, where, "the envelope of an entry cannot be read any more");
    }
    const std::lock_guard lock(shared_.mutex);
    const Handle h = shared_.ledger.index.find(id);
    if (h != no_handle) shared_.ledger.erase(h);
}

void Compactor::remove_victim() {
    const auto error = shared_.fs.unlink(victim_->path);
    const bool gone = !error || error.value() == ENOENT;
    if (!gone || shared_.fs.sync_directory(shared_.layout.root)) {
        // As long as its name may come back, nothing else is removed: end records may be needed
        // against it.
        retry_at_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
        return;
    }
    const std::lock_guard lock(shared_.mutex);
    shared_.ledger.forget_segment(victim_->number);
    forget_victim();
}

}  // namespace postern::relay::spool
