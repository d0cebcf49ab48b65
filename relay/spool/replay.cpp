#include "relay/spool/replay.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "relay/spool/bytes.hpp"

namespace postern::relay::spool {
namespace {

/// The id in the first record of a frame whose header is lost but which began at `at`.
std::string id_near(const File& file, std::uint64_t at) {
    constexpr std::size_t ulid = 26;
    const std::string bytes = read_what_can_be(file, at, 256);
    for (std::size_t count = 1; count <= 8; ++count) {
        const std::size_t from = frame_header_size + count * table_entry_size;
        if (from >= bytes.size()) break;
        std::string id = id_of_damaged(std::string_view(bytes).substr(from));
        if (id.size() == ulid) return id;
    }
    return {};
}

}  // namespace

void Replay::sealed(Segment& segment, std::uint64_t first_sequence, std::uint64_t limit,
                    std::uint64_t next_sequence) {
    expected_ = first_sequence;
    segment.size = first_frame;
    answered_part(segment, limit, next_sequence);
    segment.size = limit;
}

void Replay::newest(Segment& segment, std::uint64_t first_sequence, std::uint64_t limit) {
    // A group is written only when the one before it was answered. So whatever lies before the
    // start of the last group that left a trace may have been answered, and nothing after it can
    // have been.
    std::uint64_t start = first_frame;
    std::uint64_t sequence = first_sequence;
    Scanner headers(*segment.file, segment.mark, first_frame, limit, Scanner::Depth::headers);
    while (const auto frame = headers.next()) {
        if (frame->group_start < start) continue;
        start = frame->group_start;
        sequence = frame->group_sequence;
    }
    expected_ = first_sequence;
    segment.size = first_frame;
    if (start > first_frame) {
        answered_part(segment, start, sequence);
        segment.size = std::min(start, limit);
        expected_ = std::max(expected_, sequence);
    }
    last_group(segment, start, limit);
}

void Replay::answered_part(Segment& segment, std::uint64_t limit, std::uint64_t next_sequence) {
    Scanner scanner(*segment.file, segment.mark, first_frame, limit, Scanner::Depth::records);
    while (const auto frame = scanner.next()) {
        if (frame->sequence < expected_) continue;  // Written by nobody honest.
        if (frame->sequence != expected_) lost(segment, segment.size, frame->offset);
        apply(segment, *frame);
        segment.size = frame->end;
        expected_ = frame->sequence + 1;
    }
    if (next_sequence > expected_ || next_sequence == 0) {
        const std::uint64_t to = std::max(limit, segment.size);
        const std::string rest = read_what_can_be(*segment.file, segment.size,
                                                  static_cast<std::size_t>(to - segment.size));
        // Where the number of the next frame is not known, zeros are the room that was never used.
        const bool something = rest.find_first_not_of('\0') != std::string::npos;
        if (next_sequence != 0 || something) lost(segment, segment.size, to);
    }
}

void Replay::last_group(Segment& segment, std::uint64_t from, std::uint64_t limit) {
    Scanner scanner(*segment.file, segment.mark, from, limit, Scanner::Depth::records);
    std::uint64_t at = from;
    while (const auto frame = scanner.next()) {
        // Only what is whole from the group's beginning on: a later batch of it may build on an
        // earlier one.
        if (frame->sequence != expected_ || frame->offset != at || !frame->intact()) return;
        apply(segment, *frame);
        at = frame->end;
        segment.size = frame->end;
        expected_ = frame->sequence + 1;
    }
}

void Replay::apply(Segment& segment, const ScannedFrame& frame) {
    for (std::size_t n = 0; n < frame.records.size(); ++n) {
        const ScannedRecord& record = frame.records[n];
        switch (record.type) {
            case RecordType::entry:
            case RecordType::moved:
                apply_entry(segment, frame, n);
                break;
            case RecordType::state:
                apply_state(segment, record);
                break;
            case RecordType::end:
                apply_end(segment, record);
                break;
            case RecordType::body:
                break;  // Taken with its entry.
            case RecordType::opening:
            case RecordType::frozen:
                apply_frozen(segment, record);
                break;
            default:
                lost_record(segment, record, {}, "record of an unknown type");
                break;
        }
    }
}

void Replay::apply_entry(Segment& segment, const ScannedFrame& frame, std::size_t n) {
    const ScannedRecord& record = frame.records[n];
    auto decoded = decode_entry(record.octets);
    const bool has_body =
        n + 1 < frame.records.size() && frame.records[n + 1].type == RecordType::body;
    if (!decoded) {
        const std::string id = id_of_damaged(record.octets);
        lost_record(segment, record, id, "envelope of an entry");
        if (has_body) {
            ScannedRecord body = frame.records[n + 1];
            lost_record(segment, body, id, "body of an entry whose envelope is damaged");
        }
        return;
    }
    const NewEntry& entry = decoded->entry;
    bool body_lost = false;
    if (decoded->body.kind == BodyPlace::Kind::in_segment) {
        body_lost = !has_body || !frame.records[n + 1].intact ||
                    frame.records[n + 1].length != decoded->body.size + record_check_size;
    }
    Handle h = ledger_.index.find(entry.id);
    if (h == no_handle) {
        h = ledger_.add(entry, decoded->body, place_of(segment, record));
    } else {
        // Compaction copied it, and a crash came before the older copy went.
        const auto older = ledger_.segments.find(ledger_.index[h].record.segment);
        if (older != ledger_.segments.end() && older->first != segment.number) {
            older->second->urgent = true;
        }
        ledger_.move(h, place_of(segment, record), decoded->body.kind);
    }
    if (decoded->body.kind == BodyPlace::Kind::lost) ledger_.index[h].base = EntryState::damaged;
    if (body_lost) {
        if (has_body) {
            lost_record(segment, frame.records[n + 1], entry.id, "body of an entry");
        } else {
            lost_record(segment, record, entry.id, "entry without its body");
        }
        ledger_.index[h].base = EntryState::damaged;
    }
}

void Replay::apply_frozen(Segment& segment, const ScannedRecord& record) {
    if (record.type == RecordType::frozen) {
        if (const auto accounts = decode_frozen(record.octets)) {
            ledger_.restore_frozen(*accounts);
            return;
        }
    } else if (const auto opening = decode_opening(record.octets)) {
        ledger_.restore_frozen(opening->frozen);
        return;
    }
    lost_record(segment, record, {}, "list of frozen accounts");
}

void Replay::apply_state(Segment& segment, const ScannedRecord& record) {
    const auto state = decode_state(record.octets);
    if (!state) {
        lost_record(segment, record, id_of_damaged(record.octets), "state of an entry");
        return;
    }
    const Handle h = ledger_.index.find(state->id);
    if (h == no_handle) return;
    const bool was_damaged = ledger_.index[h].base == EntryState::damaged;
    ledger_.set_state(h, *state, place_of(segment, record));
    if (was_damaged) ledger_.index[h].base = EntryState::damaged;
}

void Replay::apply_end(Segment& segment, const ScannedRecord& record) {
    const auto end = decode_end(record.octets);
    std::string id;
    std::uint32_t origin = 0;
    if (end) {
        id = end->id;
        origin = end->segment;
    } else {
        // That it is the end of something is sure (the table of the frame is whole); of what, if
        // its id reads.
        id = id_of_damaged(record.octets);
        lost_record(segment, record, id, "end of an entry");
    }
    const Handle h = ledger_.index.find(id);
    if (h != no_handle) {
        if (origin == 0) origin = ledger_.index[h].record.segment;
        ledger_.erase(h);
    }
    ledger_.note_end(segment.number, origin);
}

void Replay::lost(Segment& segment, std::uint64_t from, std::uint64_t to) {
    segment.urgent = true;
    anything_lost_ = true;
    std::string octets = read_what_can_be(*segment.file, from, static_cast<std::size_t>(to - from));
    octets.resize(octets.find_last_not_of('\0') + 1);
    std::string id = id_near(*segment.file, from);
    if (id.empty()) id = id_near(*segment.file, round_up(from, block));
    const std::string_view piece = octets;
    const std::string where =
        set_aside(fs_, layout_, fmt::format("{:010}-{}.frames", segment.number, from), {&piece, 1});
    damaged_(id, where, fmt::format("octets {} to {} of {} are no frames", from, to, segment.path));
}

void Replay::lost_record(Segment& segment, const ScannedRecord& record, const std::string& id,
                         const std::string& why) {
    segment.urgent = true;
    anything_lost_ = true;
    const std::string octets = read_what_can_be(*segment.file, record.offset, record.length);
    const std::string_view piece =
        std::string_view(octets).substr(std::min(octets.size(), record_check_size));
    const std::string name =
        fmt::format("{}{}{:010}-{}.{}", id, id.empty() ? "" : "-", segment.number, record.offset,
                    record.type == RecordType::body ? "eml" : "record");
    damaged_(id, set_aside(fs_, layout_, name, {&piece, 1}),
             fmt::format("{}: octet {} of {}", why, record.offset, segment.path));
}

}  // namespace postern::relay::spool
