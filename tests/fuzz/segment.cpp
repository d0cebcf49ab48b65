// A segment file from anybody's hands: recovery and the reading of entries never crash, never hang,
// and what they read stays within the file. The first octet chooses: the file as it is; or frames
// whose checks are right around records whose content is the input's; or a whole segment of ours
// with single octets changed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "relay/spool/bytes.hpp"
#include "relay/spool/checksum.hpp"
#include "relay/spool/details.hpp"
#include "relay/spool/recovery.hpp"
#include "tests/unit/spool/simulated_file_system.hpp"

namespace {

using namespace postern::relay;
using namespace postern::relay::spool;

constexpr std::uint64_t mark = 0x1122334455667789ULL;

std::string begin_segment() {
    SegmentHeader header;
    header.segment = 1;
    header.mark = mark;
    header.first_sequence = 1;
    return encode_header(header);
}

void add_frame(std::string& file, FrameBuilder& frame, std::uint64_t sequence) {
    file.resize(round_up(file.size(), block), '\0');
    std::vector<std::string_view> pieces;
    frame.finish({mark, sequence, file.size(), file.size(), 0}, pieces);
    for (const std::string_view piece : pieces) file += piece;
}

/// type, length, content; type 0 ends a frame.
std::string frames_of(std::string_view input) {
    std::string file = begin_segment();
    FrameBuilder frame;
    std::uint64_t sequence = 1;
    while (input.size() >= 2 && sequence < 64) {
        const auto type = static_cast<unsigned char>(input[0]) % 9U;
        const std::string_view content = input.substr(2, static_cast<unsigned char>(input[1]));
        input.remove_prefix(2 + content.size());
        if (type == 0) {
            add_frame(file, frame, sequence++);
            frame = {};
        } else if (type == static_cast<unsigned>(RecordType::body)) {
            std::string record;
            put_u32(record, crc32c(content));
            frame.add(RecordType::body, record.append(content));
        } else {
            std::string record;
            put_u32(record, crc32c(content));
            frame.add(static_cast<RecordType>(type), record.append(content));
        }
    }
    add_frame(file, frame, sequence);
    return file;
}

std::string own_segment() {
    std::string file = begin_segment();
    for (std::uint64_t i = 1; i <= 4; ++i) {
        NewEntry entry;
        entry.id = "0" + std::to_string(i);
        entry.envelope.recipients.push_back(
            {.address = {"r", "example.org"}, .notify = {}, .orcpt = {}});
        std::string record;
        encode_entry(entry, {BodyPlace::Kind::in_segment, 5, 0}, record);
        FrameBuilder frame;
        frame.add(RecordType::entry, record);
        const std::string_view body = "hello";
        frame.add_body({&body, 1});
        if (i > 2) {
            std::string state;
            encode_state({.id = "01", .settled = {}, .state = EntryState::held}, state);
            frame.add(RecordType::state, state);
        }
        add_frame(file, frame, i);
    }
    return file;
}

std::string changed(std::string_view input) {
    std::string file = own_segment();
    for (; input.size() >= 3; input.remove_prefix(3)) {
        const std::size_t at =
            static_cast<unsigned char>(input[0]) * 256U + static_cast<unsigned char>(input[1]);
        file[at % file.size()] = input[2];
    }
    return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
    static_cast<void>(id_of_damaged(input));
    std::string file;
    switch (data[0] % 3) {
        case 0:
            file = input;
            break;
        case 1:
            file = frames_of(input);
            break;
        default:
            file = changed(input);
            break;
    }
    postern::test::SimulatedFileSystem fs;
    const Layout layout{"/s"};
    static_cast<void>(fs.make_directory("/s"));
    fs.put("/s/0000000001.seg", std::move(file));
    Ledger ledger;
    const auto end = recover(fs, layout, ledger, [](const auto&, const auto&, const auto&) {});
    if (!end) return 0;
    for (Handle h = 0; h < ledger.index.bound(); ++h) {
        if (!ledger.index[h].used) continue;
        const Located located = locate(ledger, h);
        const auto details = read_details(located);
        // What recovery took in can be read.
        if (!details) std::abort();
        static_cast<void>(info_of(located, &*details));
        const auto body = read_body(fs, layout, located, details->record.body);
        if (!body && located.entry.base != EntryState::damaged) std::abort();
    }
    while (ledger.schedule.take(INT64_MAX)) {
    }
    return 0;
}
