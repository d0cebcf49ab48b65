#include "relay/spool/details.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "relay/spool/bytes.hpp"
#include "relay/spool/checksum.hpp"

namespace postern::relay::spool {
namespace {

using boost::system::result;

SegmentPtr segment_at(const Ledger& ledger, Place place) {
    const auto it = ledger.segments.find(place.segment);
    return it == ledger.segments.end() ? nullptr : it->second;
}

/// All of [offset, offset + size); damaged where the file is shorter.
result<std::shared_ptr<std::string>> read_all(const File& file, std::uint64_t offset,
                                              std::uint64_t size) {
    const auto info = file.info();
    if (!info) return info.error();
    if (info->size < offset || info->size - offset < size) return SpoolError::damaged;
    auto out = std::make_shared<std::string>();
    const auto n = static_cast<std::size_t>(size);
    // Not the length that it is called with: libstdc++ 12 hands over the capacity.
    out->resize_and_overwrite(n, [n](char*, std::size_t) { return n; });
    const auto got = file.read(offset, *out);
    if (!got) return got.error();
    if (*got != n) return SpoolError::damaged;
    return out;
}

}  // namespace

Located locate(const Ledger& ledger, Handle h) {
    const IndexEntry& e = ledger.index[h];
    Located out;
    out.segment = segment_at(ledger, e.record);
    out.state_segment = segment_at(ledger, e.state);
    out.entry = e;
    out.shown = ledger.shown(e);
    out.account = ledger.index.names.text(e.account);
    out.customer = ledger.index.names.text(e.customer);
    out.upstream = ledger.index.names.text(e.upstream);
    out.settled = ledger.index.settled_list(h);
    return out;
}

result<std::string> read_record(const Segment& segment, Place place) {
    auto octets = read_all(*segment.file, place.offset, place.length);
    if (!octets) return octets.error();
    if (!checked(**octets)) return SpoolError::damaged;
    return std::move(**octets);
}

result<Details> read_details(const Located& located) {
    if (!located.segment) return SpoolError::damaged;
    const auto octets = read_record(*located.segment, located.entry.record);
    if (!octets) return octets.error();
    auto record = decode_entry(*octets);
    if (!record || record->entry.id != located.entry.id.view()) return SpoolError::damaged;
    Details details{std::move(*record), std::nullopt};
    if (located.state_segment) {
        // Without it the ledger still knows all that matters.
        if (const auto state = read_record(*located.state_segment, located.entry.state)) {
            details.state = decode_state(*state);
        }
    }
    return details;
}

EntryInfo info_of(const Located& located, const Details* details) {
    const IndexEntry& e = located.entry;
    EntryInfo info;
    info.id = e.id.view();
    info.account = located.account;
    info.customer = located.customer;
    info.upstream = located.upstream;
    info.state = located.shown;
    info.dsn = e.dsn;
    info.rerouted = e.rerouted;
    info.bytes = e.bytes;
    info.created = from_disk(e.created);
    info.next_attempt = from_disk(e.next);
    info.attempts = e.attempts;
    if (details == nullptr) return info;
    const NewEntry& entry = details->record.entry;
    info.ref = entry.ref;
    info.source = entry.source;
    info.mail_from = entry.envelope.sender_text();
    info.last_reply = details->state ? details->state->last_reply : entry.last_reply;
    if (details->state) {
        info.reason = details->state->reason;
        info.delay_notified = details->state->delay_notified;
    }
    const auto& recipients = entry.envelope.recipients;
    for (std::size_t i = 0; i < recipients.size(); ++i) {
        if (std::ranges::binary_search(located.settled, i)) continue;
        info.open_rcpts.push_back(recipients[i].address.text());
    }
    return info;
}

result<std::shared_ptr<const std::string>> read_body(FileSystem& fs, const Layout& layout,
                                                     const Located& located,
                                                     const BodyPlace& body) {
    if (body.kind == BodyPlace::Kind::lost) return SpoolError::damaged;
    if (body.kind == BodyPlace::Kind::file) {
        const auto file = fs.open(layout.body(located.entry.id.view()), FileSystem::Mode::read);
        if (!file) {
            if (file.error().value() == ENOENT) return SpoolError::damaged;
            return file.error();
        }
        auto octets = read_all(**file, 0, body.size);
        if (!octets) return octets.error();
        if (crc32c(**octets) != body.check) return SpoolError::damaged;
        return std::shared_ptr<const std::string>(std::move(*octets));
    }
    const Place& record = located.entry.record;
    const std::uint64_t at = std::uint64_t{record.offset} + record.length;
    const auto front = read_all(*located.segment->file, at, record_check_size);
    if (!front) return front.error();
    auto octets = read_all(*located.segment->file, at + record_check_size, body.size);
    if (!octets) return octets.error();
    ByteReader check(**front);
    if (check.u32() != crc32c(**octets)) return SpoolError::damaged;
    return std::shared_ptr<const std::string>(std::move(*octets));
}

}  // namespace postern::relay::spool
