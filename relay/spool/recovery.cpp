#include "relay/spool/recovery.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "relay/spool/replay.hpp"

namespace postern::relay::spool {
namespace {

using boost::system::error_code;
using boost::system::result;

struct Found {
    SegmentHeader header;
    std::unique_ptr<File> file;
    std::uint64_t size = 0;
};

/// What one pass over the directory saw, by number.
struct Inventory {
    std::map<std::uint32_t, Found> segments;
    std::vector<std::uint32_t> unreadable;
    std::vector<std::string> unfinished;
    std::uint32_t last_number = 0;
    std::uint64_t spare = 0;
};

result<std::unique_ptr<File>> open_either_way(FileSystem& fs, const std::string& path) {
    auto file = fs.open(path, FileSystem::Mode::write);
    if (!file) file = fs.open(path, FileSystem::Mode::read);
    return file;
}

std::optional<SegmentHeader> read_header(const File& file, std::uint64_t size) {
    if (auto header = decode_header(read_what_can_be(file, 0, block))) return header;
    const auto opening = find_opening(file, size);
    if (!opening) return std::nullopt;
    SegmentHeader header;
    header.segment = opening->record.segment;
    header.mark = opening->mark;
    header.first_sequence = opening->sequence;
    header.seals = opening->record.seals;
    header.sealed_size = opening->record.sealed_size;
    return header;
}

result<Inventory> take_inventory(FileSystem& fs, const Layout& layout) {
    const auto names = fs.list(layout.root);
    if (!names) return names.error();
    Inventory inventory;
    for (const FileSystem::Name& name : *names) {
        if (name.name.ends_with(".new")) inventory.unfinished.push_back(name.name);
        if (name.name == "spare") inventory.spare = name.size;
        const auto number = segment_number(name.name);
        if (!number) continue;
        inventory.last_number = std::max(inventory.last_number, *number);
        auto file = open_either_way(fs, segment_path(layout.root, *number));
        if (!file) return file.error();
        const auto header = read_header(**file, name.size);
        if (header && !known_version(header->version)) return SpoolError::newer;
        if (!header || header->segment != *number) {
            inventory.unreadable.push_back(*number);
            continue;
        }
        inventory.segments.emplace(*number, Found{*header, std::move(*file), name.size});
    }
    return inventory;
}

/// Segments that were begun, but whose making failed: the next header steps over them.
std::vector<std::uint32_t> void_numbers(const Inventory& inventory) {
    std::set<std::uint32_t> out;
    for (const auto& [number, found] : inventory.segments) {
        for (const auto& [other, unused] : inventory.segments) {
            if (other > found.header.seals && other < number) out.insert(other);
        }
    }
    return {out.begin(), out.end()};
}

/// `records_lost`: a body without an entry may be all that is left of a mail, and is kept under
/// damaged/.
void remove_orphans(FileSystem& fs, const Layout& layout, Ledger& ledger, bool records_lost,
                    const DamageReport& damaged) {
    std::map<std::string, std::uint64_t, std::less<>> bodies;
    if (const auto names = fs.list(layout.bodies())) {
        for (const FileSystem::Name& name : *names) bodies.emplace(name.name, name.size);
    }
    for (Handle h = 0; h < ledger.index.bound(); ++h) {
        IndexEntry& e = ledger.index[h];
        if (!e.used || e.body != BodyPlace::Kind::file) continue;
        const auto it = bodies.find(e.id.view());
        const bool there = it != bodies.end() && it->second == e.bytes;
        if (it != bodies.end()) bodies.erase(it);
        if (there || e.base == EntryState::damaged) continue;
        e.base = EntryState::damaged;
        damaged(std::string(e.id.view()), layout.body(e.id.view()),
                "the file of its body is gone or cut");
    }
    for (const auto& [name, size] : bodies) {
        if (!records_lost) {
            static_cast<void>(fs.unlink(layout.body(name)));
            continue;
        }
        const std::string to = layout.damaged() + "/" + name + ".eml";
        if (!fs.rename(layout.body(name), to)) damaged(name, to, "a body whose entry is lost");
    }
}

/// What was active is due again; what is in doubt, too: nobody waits for its answer any more.
void schedule_all(Ledger& ledger) {
    for (Handle h = 0; h < ledger.index.bound(); ++h) {
        const IndexEntry& e = ledger.index[h];
        if (!e.used) continue;
        if (e.base == EntryState::in_doubt && !e.held && !ledger.frozen(e)) {
            ledger.schedule.make_due(h);
        } else {
            ledger.arrange(h);
        }
    }
}

}  // namespace

std::string set_aside(FileSystem& fs, const Layout& layout, const std::string& name,
                      std::span<const std::string_view> pieces) {
    std::string path = layout.damaged() + "/" + name;
    static_cast<void>(fs.make_directory(layout.damaged()));
    const auto file = fs.open(path, FileSystem::Mode::replace);
    if (!file || (*file)->write(0, pieces) || (*file)->sync_data()) return layout.root;
    static_cast<void>(fs.sync_directory(layout.damaged()));
    return path;
}

result<LogEnd> recover(FileSystem& fs, const Layout& layout, Ledger& ledger,
                       const DamageReport& damaged) {
    auto inventory = take_inventory(fs, layout);
    if (!inventory) return inventory.error();

    for (const std::string& name : inventory->unfinished) {
        static_cast<void>(fs.unlink(layout.root + "/" + name));
    }
    const bool segments_lost = !inventory->unreadable.empty();
    for (const std::uint32_t number : inventory->unreadable) {
        const std::string from = segment_path(layout.root, number);
        const std::string to = layout.damaged() + from.substr(layout.root.size());
        const bool moved = !fs.rename(from, to);
        damaged({}, moved ? to : from, fmt::format("the header of {} cannot be read", from));
    }
    for (const std::uint32_t number : void_numbers(*inventory)) {
        inventory->segments.erase(number);
        static_cast<void>(fs.unlink(segment_path(layout.root, number)));
    }

    LogEnd end;
    end.last_number = inventory->last_number;
    end.spare = inventory->spare;
    for (auto& [number, found] : inventory->segments) {
        ledger.segments.emplace(
            number, std::make_shared<Segment>(number, segment_path(layout.root, number),
                                              found.header.mark, std::move(found.file)));
    }
    Replay replay(fs, layout, ledger, damaged);
    for (auto it = inventory->segments.begin(); it != inventory->segments.end(); ++it) {
        Segment& segment = *ledger.segments.at(it->first);
        const auto before = inventory->segments.find(it->second.header.seals);
        if (before != inventory->segments.end() &&
            before->second.size > it->second.header.sealed_size) {
            segment.seals = before->first;
        }
        const auto next = std::next(it);
        if (next == inventory->segments.end()) {
            replay.newest(segment, it->second.header.first_sequence, it->second.size);
            end.previous = ledger.segments.at(it->first);
            end.next_sequence = replay.next_sequence();
            break;
        }
        const bool is_sealed = next->second.header.seals == it->first;
        const std::uint64_t limit = is_sealed
                                        ? std::min(it->second.size, next->second.header.sealed_size)
                                        : it->second.size;
        replay.sealed(segment, it->second.header.first_sequence, limit,
                      is_sealed ? next->second.header.first_sequence : 0);
    }
    remove_orphans(fs, layout, ledger, segments_lost || replay.anything_lost(), damaged);
    schedule_all(ledger);
    return end;
}

}  // namespace postern::relay::spool
