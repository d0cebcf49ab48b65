#include "relay/spool/frame.hpp"

#include <algorithm>

#include "relay/spool/bytes.hpp"
#include "relay/spool/checksum.hpp"

namespace postern::relay::spool {
namespace {

constexpr std::string_view magic = "PSTNSPL\n";
constexpr std::size_t header_copy = block / 2;
constexpr std::uint32_t header_length =
    52;  // Octets before the check; its place is the same in all versions.

std::string encode_frame_header(const FrameBuilder::Position& at, std::uint32_t payload,
                                const std::string& table) {
    std::string out;
    out.reserve(frame_header_size + table.size());
    put_u64(out, at.mark);
    put_u64(out, at.sequence);
    put_u32(out, static_cast<std::uint32_t>(at.offset));
    put_u32(out, static_cast<std::uint32_t>(at.group_start));
    put_u32(out, static_cast<std::uint32_t>(table.size() / table_entry_size));
    put_u32(out, payload);
    put_u32(out, at.ordinal);
    put_u32(out, crc32c(table, crc32c(out)));
    out += table;
    return out;
}

std::optional<SegmentHeader> decode_copy(std::string_view bytes) {
    if (!bytes.starts_with(magic)) return std::nullopt;
    ByteReader in(bytes.substr(magic.size()));
    SegmentHeader h;
    h.version = in.u32();
    const std::uint32_t length = in.u32();
    if (!in.ok() || length > bytes.size() - 4) return std::nullopt;
    ByteReader check(bytes.substr(length, 4));
    if (check.u32() != crc32c(bytes.substr(0, length))) return std::nullopt;
    if (!known_version(h.version)) return h;
    h.segment = in.u32();
    h.mark = in.u64();
    h.first_sequence = in.u64();
    h.seals = in.u32();
    h.sealed_size = in.u64();
    if (!in.ok() || h.segment == 0 || h.mark == 0) return std::nullopt;
    return h;
}

}  // namespace

std::string encode_header(const SegmentHeader& header) {
    std::string copy(magic);
    put_u32(copy, header.version);
    put_u32(copy, header_length);
    put_u32(copy, header.segment);
    put_u64(copy, header.mark);
    put_u64(copy, header.first_sequence);
    put_u32(copy, header.seals);
    put_u64(copy, header.sealed_size);
    copy.resize(header_length, '\0');
    put_u32(copy, crc32c(copy));
    copy.resize(header_copy, '\0');
    return copy + copy;
}

std::optional<SegmentHeader> decode_header(std::string_view header_block) {
    if (header_block.size() < block) return std::nullopt;
    if (auto h = decode_copy(header_block.substr(0, header_copy))) return h;
    return decode_copy(header_block.substr(header_copy, header_copy));
}

void FrameBuilder::add(RecordType type, std::string record) {
    const auto length = static_cast<std::uint32_t>(record.size());
    payload_ += length;
    records_.push_back({type, length, std::move(record), {}});
}

void FrameBuilder::add_body(std::span<const std::string_view> pieces) {
    std::uint32_t check = 0;
    std::uint64_t length = record_check_size;
    for (const std::string_view piece : pieces) {
        check = crc32c(piece, check);
        length += piece.size();
    }
    std::string front;
    put_u32(front, check);
    payload_ += length;
    records_.push_back(
        {RecordType::body, static_cast<std::uint32_t>(length), std::move(front), pieces});
}

std::uint64_t FrameBuilder::size() const noexcept {
    return round_up(frame_header_size + table_entry_size * records_.size() + payload_, 8);
}

std::uint64_t FrameBuilder::record_offset(std::size_t n) const noexcept {
    std::uint64_t at = frame_header_size + table_entry_size * records_.size();
    for (std::size_t i = 0; i < n; ++i) at += records_[i].length;
    return at;
}

void FrameBuilder::finish(const Position& at, std::vector<std::string_view>& out) {
    std::string table;
    table.reserve(records_.size() * table_entry_size);
    for (const Record& r : records_) {
        put_u32(table, static_cast<std::uint32_t>(r.type));
        put_u32(table, r.length);
    }
    head_ = encode_frame_header(at, static_cast<std::uint32_t>(payload_), table);
    out.emplace_back(head_);
    for (const Record& r : records_) {
        out.emplace_back(r.octets);
        out.insert(out.end(), r.pieces.begin(), r.pieces.end());
    }
    static constexpr std::string_view zeros("\0\0\0\0\0\0\0", 7);
    const std::uint64_t padding = size() - head_.size() - payload_;
    if (padding > 0) out.push_back(zeros.substr(0, static_cast<std::size_t>(padding)));
}

bool ScannedFrame::intact() const noexcept {
    return std::ranges::all_of(records, &ScannedRecord::intact);
}

Scanner::Scanner(const File& file, std::uint64_t mark, std::uint64_t from, std::uint64_t limit,
                 Depth depth)
    : file_(file), mark_(mark), at_(from), limit_(limit), depth_(depth) {}

std::optional<ScannedFrame> Scanner::next() {
    while (at_ < limit_) {
        if (auto frame = frame_at(at_)) {
            at_ = frame->end;
            return frame;
        }
        at_ = next_mark(at_ + 8);
    }
    return std::nullopt;
}

std::optional<ScannedFrame> Scanner::frame_at(std::uint64_t offset) {
    const std::string_view head = view(offset, frame_header_size);
    if (head.size() < frame_header_size) return std::nullopt;
    ByteReader in(head);
    if (in.u64() != mark_) return std::nullopt;
    ScannedFrame frame;
    frame.offset = offset;
    frame.sequence = in.u64();
    const std::uint32_t own_offset = in.u32();
    frame.group_start = in.u32();
    const std::uint32_t count = in.u32();
    const std::uint32_t payload = in.u32();
    const std::uint32_t ordinal = in.u32();
    const std::uint32_t check = in.u32();
    if (own_offset != offset || frame.group_start > offset || ordinal > frame.sequence) {
        return std::nullopt;
    }
    frame.group_sequence = frame.sequence - ordinal;
    const std::uint64_t table_size = std::uint64_t{count} * table_entry_size;
    const std::uint64_t size = round_up(frame_header_size + table_size + payload, 8);
    if (size > limit_ - offset) return std::nullopt;

    const std::string_view whole =
        view(offset, frame_header_size + static_cast<std::size_t>(table_size));
    if (whole.size() < frame_header_size + table_size) return std::nullopt;
    const std::string_view table = whole.substr(frame_header_size);
    if (crc32c(table, crc32c(whole.substr(0, frame_header_size - 4))) != check) return std::nullopt;

    ByteReader lines(table);
    std::uint64_t at = offset + frame_header_size + table_size;
    std::uint64_t sum = 0;
    frame.records.reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        ScannedRecord r;
        r.type = static_cast<RecordType>(lines.u32());
        r.offset = at;
        r.length = lines.u32();
        at += r.length;
        sum += r.length;
        frame.records.push_back(std::move(r));
    }
    if (sum != payload) return std::nullopt;
    frame.end = offset + size;
    if (depth_ == Depth::records) {
        for (ScannedRecord& r : frame.records) read_record(r);
    }
    return frame;
}

void Scanner::read_record(ScannedRecord& record) {
    if (record.length < record_check_size) return;
    if (record.type != RecordType::body) {
        record.octets = view(record.offset, record.length);
        record.intact = record.octets.size() == record.length && checked(record.octets).has_value();
        return;
    }
    ByteReader front(view(record.offset, record_check_size));
    const std::uint32_t expected = front.u32();
    std::uint32_t check = 0;
    std::uint64_t at = record.offset + record_check_size;
    const std::uint64_t end = record.offset + record.length;
    while (at < end) {
        const auto want = static_cast<std::size_t>(std::min<std::uint64_t>(end - at, 1U << 20U));
        const std::string_view part = view(at, want);
        if (part.empty()) return;
        check = crc32c(part, check);
        at += part.size();
    }
    record.intact = check == expected;
}

std::uint64_t Scanner::next_mark(std::uint64_t from) {
    std::string mark;
    put_u64(mark, mark_);
    std::uint64_t at = round_up(from, 8);
    while (at + 8 <= limit_) {
        const std::string_view part =
            view(at, static_cast<std::size_t>(std::min<std::uint64_t>(limit_ - at, 1U << 16U)));
        if (part.size() < 8) break;
        const std::size_t found = part.find(mark);
        if (found == std::string_view::npos) {
            at += (part.size() / 8) * 8;
            // A mark lies on a multiple of 8, so that none is cut by the part's end.
            continue;
        }
        if (found % 8 == 0) return at + found;
        at += found / 8 * 8 + 8;
    }
    return limit_;
}

std::string_view Scanner::view(std::uint64_t offset, std::size_t n) {
    if (offset >= limit_) return {};
    n = static_cast<std::size_t>(std::min<std::uint64_t>(n, limit_ - offset));
    if (offset < window_at_ || offset + n > window_at_ + window_.size()) {
        constexpr std::uint64_t usual = 1U << 20U;
        const auto want =
            static_cast<std::size_t>(std::min(std::max<std::uint64_t>(n, usual), limit_ - offset));
        window_ = read_what_can_be(file_, offset, want);
        window_at_ = offset;
    }
    return std::string_view(window_).substr(static_cast<std::size_t>(offset - window_at_), n);
}

std::string read_what_can_be(const File& file, std::uint64_t offset, std::size_t n) {
    std::string out(n, '\0');
    const auto whole = file.read(offset, out);
    if (whole) {
        out.resize(*whole);
        return out;
    }
    const auto info = file.info();
    if (!info || info->size <= offset) return {};
    out.resize(static_cast<std::size_t>(std::min<std::uint64_t>(n, info->size - offset)));
    for (std::size_t at = 0; at < out.size();) {
        // To the end of this block of the file.
        const std::size_t step = std::min<std::size_t>(
            static_cast<std::size_t>(block - (offset + at) % block), out.size() - at);
        const std::span<char> part(out.data() + at, step);
        if (!file.read(offset + at, part)) std::ranges::fill(part, '\0');
        at += step;
    }
    return out;
}

std::optional<Opening> find_opening(const File& file, std::uint64_t size) {
    const std::string front = read_what_can_be(file, first_frame, frame_header_size);
    if (front.size() < frame_header_size) return std::nullopt;
    ByteReader in(front);
    const std::uint64_t mark = in.u64();
    if (mark == 0) return std::nullopt;
    Scanner scanner(file, mark, first_frame, size, Scanner::Depth::records);
    const auto frame = scanner.next();
    if (!frame || frame->offset != first_frame || frame->records.size() != 1 ||
        frame->records.front().type != RecordType::opening) {
        return std::nullopt;
    }
    auto record = decode_opening(frame->records.front().octets);
    if (!record) return std::nullopt;
    return Opening{mark, frame->sequence, std::move(*record)};
}

}  // namespace postern::relay::spool
