#include "relay/event/token_index.hpp"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <iterator>
#include <limits>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "relay/descriptor.hpp"
#include "relay/event/journal_lines.hpp"
#include "relay/event/journal_reader.hpp"
#include "relay/event/json.hpp"
#include "relay/event/token_map.hpp"

namespace postern::relay::event {

namespace {

constexpr std::size_t read_block = 256U << 10U;
/// Keys of the newest lines that are looked through one by one.
constexpr std::size_t most_fresh = 4096;
/// Lines that one question reads at most: of one token there are a message and two a recipient.
constexpr std::size_t most_lines = 32'768;
constexpr std::size_t most_alike = 8;
// A quote inside of a JSON string stands behind a backslash: these stand nowhere but before a
// field's value.
constexpr std::string_view token_mark = "\"token\":\"";
constexpr std::string_view id_mark = "\"message_id\":\"";

/// The text of a field as it stands in the line, escaped.
std::string_view raw_field(std::string_view line, std::string_view mark) {
    const auto at = line.find(mark);
    if (at == std::string_view::npos) return {};
    const auto rest = line.substr(at + mark.size());
    for (std::size_t i = 0; i < rest.size(); ++i) {
        if (rest[i] == '\\') {
            ++i;
        } else if (rest[i] == '"') {
            return rest.substr(0, i);
        }
    }
    return {};
}

std::string string_of(const nlohmann::json& line, const char* field) {
    const auto found = line.find(field);
    return found == line.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

MappedMessage mapped_of(const nlohmann::json& line) {
    MappedMessage out{.token = string_of(line, "token"),
                      .ref = string_of(line, "ref"),
                      .account = string_of(line, "account"),
                      .customer = string_of(line, "customer"),
                      .mail_from = string_of(line, "mail_from"),
                      .message_id = string_of(line, "message_id"),
                      .sent = string_of(line, "t"),
                      .rcpts = {},
                      .told = {}};
    if (const auto rcpts = line.find("rcpts"); rcpts != line.end() && rcpts->is_array()) {
        for (const auto& rcpt : *rcpts) {
            if (rcpt.is_string()) out.rcpts.push_back(rcpt.get<std::string>());
        }
    }
    return out;
}

/// The line that begins at `offset`; empty: it cannot be read.
std::string line_at(int fd, std::uint64_t offset) {
    std::string out;
    std::size_t block = 2048;
    while (out.size() < longest_line) {
        const auto had = out.size();
        out.resize(had + block);
        const auto n = ::pread(fd, out.data() + had, block, static_cast<off_t>(offset + had));
        if (n < 0 && errno == EINTR) {
            out.resize(had);
            continue;
        }
        if (n <= 0) return {};
        out.resize(had + static_cast<std::size_t>(n));
        if (const auto end = out.find('\n', had); end != std::string::npos) {
            out.resize(end);
            return out;
        }
        block = std::min(block * 2, read_block);
    }
    return {};
}

std::tuple<std::string_view, std::uint64_t> place_of(const JournalFile& file) {
    return {file.date, file.number};
}

}  // namespace

std::uint32_t TokenIndex::print_of(std::string_view text) const {
    std::string salted = settings_.salt;
    salted += text;
    const std::uint64_t hash = std::hash<std::string>{}(salted);
    return static_cast<std::uint32_t>(hash ^ (hash >> 32U));
}

void TokenIndex::list() {
    auto found = journal_files(settings_.folder);
    std::vector<File> next;
    next.reserve(found.size());
    auto known = files_.begin();
    for (std::size_t i = 0; i < found.size(); ++i) {
        const bool last = i + 1 == found.size();
        // Both are in order.
        while (known != files_.end() && place_of(known->at) < place_of(found[i])) ++known;
        if (known != files_.end() && place_of(known->at) == place_of(found[i])) {
            next.push_back(std::move(*known++));
        } else {
            next.emplace_back();
            next.back().at = std::move(found[i]);
        }
        // What was appended before the next one began is read once more.
        if (last) next.back().whole = false;
    }
    files_ = std::move(next);
    keys_ = 0;
    for (const File& file : files_) keys_ += file.keys.size() + file.fresh.size();
}

void TokenIndex::note(File& file, std::string_view line, std::uint64_t offset) {
    if (offset > std::numeric_limits<std::uint32_t>::max()) return;
    const auto add = [&](std::string_view text) {
        if (text.empty()) return;
        file.fresh.push_back({print_of(text), static_cast<std::uint32_t>(offset)});
        ++keys_;
    };
    add(raw_field(line, token_mark));
    add(raw_field(line, id_mark));
}

void TokenIndex::read(File& file) {
    const bool was_last = &file == &files_.back();
    const Descriptor fd(::open(file.at.path.c_str(), O_RDONLY | O_CLOEXEC));
    file.began = true;
    if (fd.get() < 0) return;  // It has expired meanwhile.
    std::string held;
    std::string block(read_block, '\0');
    std::uint64_t at = file.read_to;
    for (;;) {
        const auto n = ::pread(fd.get(), block.data(), block.size(), static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        at += static_cast<std::uint64_t>(n);
        held.append(block, 0, static_cast<std::size_t>(n));
        std::size_t from = 0;
        for (auto end = held.find('\n'); end != std::string::npos; end = held.find('\n', from)) {
            note(file, std::string_view(held).substr(from, end - from), file.read_to);
            file.read_to += end - from + 1;
            from = end + 1;
        }
        held.erase(0, from);
        if (held.size() > longest_line) {  // Damage: its end is nobody's line.
            file.read_to += held.size();
            held.clear();
        }
    }
    if (file.fresh.size() > most_fresh) {
        std::ranges::sort(file.fresh, std::less<>(), &Key::print);
        std::vector<Key> merged;
        merged.reserve(file.keys.size() + file.fresh.size());
        std::ranges::merge(file.keys, file.fresh, std::back_inserter(merged), std::less<>(),
                           &Key::print, &Key::print);
        file.keys = std::move(merged);
        std::vector<Key>().swap(file.fresh);
    }
    file.whole = !was_last;
}

/// The oldest keys go first.
void TokenIndex::make_room() {
    for (File& file : files_) {
        if (keys_ <= settings_.max_keys) return;
        if (&file == &files_.back()) return;
        keys_ -= file.keys.size() + file.fresh.size();
        std::vector<Key>().swap(file.keys);
        std::vector<Key>().swap(file.fresh);
        file.blind = true;
    }
}

bool TokenIndex::read_more() {
    list();
    for (auto file = files_.rbegin(); file != files_.rend(); ++file) {
        if (file->began || file->blind) continue;
        // A full memory would only be made room in again.
        if (keys_ >= settings_.max_keys) {
            file->blind = true;
            continue;
        }
        read(*file);
        make_room();
        return true;
    }
    return false;
}

void TokenIndex::read_all() {
    while (read_more()) {
    }
    for (File& file : files_) {
        if (!file.whole && !file.blind) read(file);
    }
    make_room();
}

void TokenIndex::lines_of(std::uint32_t print,
                          const std::function<bool(std::string_view)>& see) const {
    std::size_t read_lines_left = most_lines;
    for (auto file = files_.rbegin(); file != files_.rend(); ++file) {
        std::vector<std::uint32_t> offsets;
        const auto [first, last] =
            std::ranges::equal_range(file->keys, print, std::less<>(), &Key::print);
        for (auto key = first; key != last; ++key) offsets.push_back(key->offset);
        for (const Key& key : file->fresh) {
            if (key.print == print) offsets.push_back(key.offset);
        }
        if (offsets.empty()) continue;
        const Descriptor fd(::open(file->at.path.c_str(), O_RDONLY | O_CLOEXEC));
        if (fd.get() < 0) continue;
        std::ranges::sort(offsets, std::greater<>());
        for (const std::uint32_t offset : offsets) {
            if (read_lines_left-- == 0) return;
            if (const auto line = line_at(fd.get(), offset); !line.empty() && !see(line)) return;
        }
    }
}

void TokenIndex::blind_lines(std::string_view needle, Time now,
                             const std::function<bool(std::string_view)>& see) {
    if (std::ranges::none_of(files_, &File::blind)) return;
    if (searched_blind_ && now - *searched_blind_ < settings_.blind_every) return;
    searched_blind_ = now;
    bool more = true;
    for (auto file = files_.rbegin(); file != files_.rend() && more; ++file) {
        if (!file->blind) continue;
        [[maybe_unused]] const auto read =
            event::read_lines(file->at.path, needle, [&](std::string_view line) {
                more = see(line);
                return more;
            });
    }
}

std::optional<MappedMessage> TokenIndex::by_token(std::string_view token, Time now) {
    const auto wanted = parse_token(token);
    if (!wanted) return std::nullopt;
    read_all();
    std::optional<MappedMessage> found;
    std::vector<MappedMessage::Told> told;
    const auto see = [&](std::string_view text) {
        const auto line = parse_journal_line(text);
        if (!line || string_of(*line, "token") != *wanted) return true;
        const auto kind = string_of(*line, "event");
        if (kind != "message") {
            told.push_back({kind, string_of(*line, "rcpt")});
        } else if (!found) {
            found = mapped_of(*line);
        }
        return true;
    };
    // Nothing that is told of a message stands before it, and these begin at the end.
    lines_of(print_of(*wanted), [&](std::string_view text) { return see(text) && !found; });
    if (!found) blind_lines(*wanted, now, see);
    if (!found || found->ref.empty()) return std::nullopt;
    found->told = std::move(told);
    return found;
}

std::vector<MappedMessage> TokenIndex::by_message_id(std::string_view id, Time now) {
    if (id.size() < 3) return {};
    read_all();
    std::string escaped;
    append_json_string(escaped, id);
    const auto raw = std::string_view(escaped).substr(1, escaped.size() - 2);
    std::vector<MappedMessage> out;
    const auto see = [&](std::string_view text) {
        const auto line = parse_journal_line(text);
        if (!line || string_of(*line, "event") != "message" || string_of(*line, "message_id") != id)
            return true;
        if (auto mapped = mapped_of(*line); !mapped.ref.empty()) out.push_back(std::move(mapped));
        return out.size() < most_alike;
    };
    lines_of(print_of(raw), see);
    if (out.empty()) blind_lines(raw, now, see);
    for (MappedMessage& mapped : out) {
        // What was told of it stands elsewhere.
        if (auto whole = by_token(mapped.token, now)) mapped = std::move(*whole);
    }
    return out;
}

}  // namespace postern::relay::event
