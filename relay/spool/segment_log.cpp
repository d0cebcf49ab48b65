#include "relay/spool/segment_log.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace postern::relay::spool {
namespace {

using boost::system::result;

constexpr std::string_view suffix = ".seg";
constexpr std::size_t digits = 10;

constexpr std::uint64_t max_segment = 0xF0000000U;  // Offsets have 32 bits.

/// Zeros from a frame's end to that of its block.
std::string_view padding(std::uint64_t end) {
    static constexpr std::array<char, block> zeros{};
    return std::string_view(zeros.data(), static_cast<std::size_t>(round_up(end, block) - end));
}

std::string spare_path(const std::string& directory) {
    return directory + "/spare";
}

}  // namespace

Failure write_failure(std::string path, boost::system::error_code cause) {
    const bool full = cause.value() == ENOSPC || cause.value() == EDQUOT;
    return {full ? SpoolError::full : SpoolError::write, std::move(path), cause};
}

Failure sync_failure(std::string path, boost::system::error_code cause) {
    return {SpoolError::sync, std::move(path), cause};
}

std::string segment_path(const std::string& directory, std::uint32_t number) {
    return fmt::format("{}/{:010}{}", directory, number, suffix);
}

std::optional<std::uint32_t> segment_number(std::string_view name) {
    if (name.size() != digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
    name.remove_suffix(suffix.size());
    std::uint32_t n = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), n);
    if (error != std::errc{} || end != name.data() + name.size() || n == 0) return std::nullopt;
    return n;
}

SegmentLog::SegmentLog(FileSystem& fs, Settings settings, LogEnd end)
    : fs_(fs),
      settings_(std::move(settings)),
      previous_(std::move(end.previous)),
      last_number_(end.last_number),
      sequence_(end.next_sequence),
      spare_(end.spare >= settings_.chunk) {}

boost::system::error_code SegmentLog::allocate(File& file, std::uint64_t from,
                                               std::uint64_t octets) const {
    if (const auto error = file.preallocate(from, octets)) return error;
    // Written, not only allocated: or each sync would have to record which blocks hold something
    // now.
    static constexpr std::size_t part = 64U << 10U;
    alignas(block) static constexpr std::array<char, part> nothing{};
    static constexpr std::string_view zeros(nothing.data(), nothing.size());
    std::vector<std::string_view> pieces(static_cast<std::size_t>(octets / part), zeros);
    if (octets % part != 0) pieces.push_back(zeros.substr(0, octets % part));
    return file.write(from, pieces);
}

result<std::unique_ptr<File>> SegmentLog::make(const std::string& path) const {
    if (const auto file = fs_.open(path, FileSystem::Mode::replace); !file) return file.error();
    return fs_.open(path, FileSystem::Mode::direct);
}

void SegmentLog::make_spare() {
    const std::string being_made = spare_path(settings_.path) + ".new";
    const auto try_it = [&]() -> boost::system::error_code {
        const auto file = make(being_made);
        if (!file) return file.error();
        if (const auto error = allocate(**file, 0, settings_.chunk)) return error;
        if (const auto error = (*file)->sync_data()) return error;
        if (const auto error = fs_.rename(being_made, spare_path(settings_.path))) return error;
        return fs_.sync_directory(settings_.path);
    };
    if (const auto error = try_it()) {
        // It will be tried again, and without a spare the next segment is made when it is needed.
        static_cast<void>(fs_.unlink(being_made));
        return;
    }
    spare_.store(true);
}

std::optional<Failure> SegmentLog::open_next(const std::vector<std::string>& frozen) {
    const std::uint32_t number = last_number_ + 1;
    const std::string path = segment_path(settings_.path, number);
    std::string from = path + ".new";
    if (spare_.exchange(false)) {
        from = spare_path(settings_.path);
    } else {
        // Without the space for another one the current segment goes on.
        const auto file = make(from);
        if (!file) return write_failure(from, file.error());
        if (const auto error = allocate(**file, 0, settings_.chunk)) {
            static_cast<void>(fs_.unlink(from));
            return write_failure(from, error);
        }
    }
    if (current_) seal();
    last_number_ = number;
    SegmentHeader header;
    header.segment = number;
    header.mark = settings_.random() | 1U;  // Odd: no run of zeros looks like its beginning.
    header.first_sequence = sequence_;
    header.seals = previous_ ? previous_->number : 0;
    header.sealed_size = previous_ ? previous_->size : 0;
    auto failure = open_as(from, path, header, frozen);
    if (failure) {
        // If they cannot be removed either, recovery knows them as void by the next header.
        static_cast<void>(fs_.unlink(from));
        static_cast<void>(fs_.unlink(path));
        return failure;
    }
    trim_previous();
    previous_.reset();
    previous_failed_ = false;
    return std::nullopt;
}

std::optional<Failure> SegmentLog::open_as(const std::string& from, const std::string& to,
                                           const SegmentHeader& header,
                                           const std::vector<std::string>& frozen) {
    auto file = fs_.open(from, FileSystem::Mode::direct);
    if (!file) return write_failure(from, file.error());

    std::string opening;
    encode_opening({header.segment, header.seals, header.sealed_size, frozen}, opening);
    FrameBuilder frame;
    frame.add(RecordType::opening, std::move(opening));
    const std::string head = encode_header(header);
    std::vector<std::string_view> pieces{head};
    const std::uint64_t size = frame.size();
    frame.finish({header.mark, sequence_, first_frame, first_frame, 0}, pieces);
    pieces.push_back(padding(first_frame + size));

    std::uint64_t allocated = settings_.chunk;
    if (first_frame + size > allocated) {
        const std::uint64_t more = round_up(first_frame + size - allocated, block);
        if (const auto error = allocate(**file, allocated, more)) return write_failure(from, error);
        allocated += more;
    }
    if (const auto error = (*file)->write(0, pieces)) return write_failure(from, error);
    if (const auto error = (*file)->sync_data()) return sync_failure(from, error);
    if (const auto error = fs_.rename(from, to)) return write_failure(to, error);
    if (const auto error = fs_.sync_directory(settings_.path)) {
        return sync_failure(settings_.path, error);
    }
    current_ = std::make_shared<Segment>(header.segment, to, header.mark, std::move(*file));
    current_->size = first_frame + size;
    ++sequence_;
    at_ = current_->size;
    allocated_ = allocated;
    mark_at_.reset();
    cannot_extend_ = false;
    return std::nullopt;
}

void SegmentLog::seal() {
    if (mark_at_) {
        // The mark was not durable, and does not count.
        mark_at_.reset();
        --sequence_;
    }
    current_->file->written();
    previous_ = std::exchange(current_, nullptr);
}

void SegmentLog::trim_previous() {
    if (!previous_) return;
    current_->seals = previous_->number;
    if (previous_failed_) return;
    if (previous_->file->truncate(previous_->size)) return;
    if (previous_->file->sync_data()) return;
    current_->seals = 0;
}

std::uint64_t SegmentLog::group_offset() const noexcept {
    return mark_at_ ? at_ : round_up(at_, block);
}

std::uint64_t SegmentLog::room() const noexcept {
    const std::uint64_t from = group_offset();
    return current_ && allocated_ > from ? allocated_ - from : 0;
}

bool SegmentLog::wants_next(std::uint64_t octets) const noexcept {
    // Not one without a group in it: it would not fit into the next one, either.
    const bool has_groups = current_ && current_->size > first_frame + block;
    return has_groups && group_offset() + octets > settings_.segment_size;
}

std::optional<Failure> SegmentLog::make_room(std::uint64_t octets) {
    const std::uint64_t need = group_offset() + octets;
    if (need <= allocated_) return std::nullopt;
    if (need > max_segment) return Failure{SpoolError::full, current_->path, {}};
    const std::uint64_t least = round_up(need - allocated_, block);
    for (const std::uint64_t more : {std::max(least, settings_.chunk), least}) {
        const auto error = allocate(*current_->file, allocated_, more);
        if (!error) {
            allocated_ += more;
            cannot_extend_ = false;
            return std::nullopt;
        }
        cannot_extend_ = true;
        Failure failure = write_failure(current_->path, error);
        if (failure.kind != SpoolError::full || more == least) return failure;
    }
    return std::nullopt;
}

bool SegmentLog::extend_ahead() {
    if (!current_ || cannot_extend_ || room() >= settings_.chunk / 4 ||
        allocated_ >= settings_.segment_size) {
        return false;
    }
    return !make_room(room() + settings_.chunk / 2);
}

std::optional<Failure> SegmentLog::append(std::span<FrameBuilder* const> frames) {
    std::uint64_t offset = group_offset();
    const std::uint64_t group_start = mark_at_.value_or(offset);
    std::vector<std::string_view> pieces;
    // Whole blocks are written: with the mark once more, where it stands in the first.
    if (mark_at_) pieces.emplace_back(mark_);
    std::uint64_t sequence = sequence_;
    std::uint32_t ordinal = mark_at_ ? 1 : 0;
    for (FrameBuilder* const frame : frames) {
        frame->finish({current_->mark, sequence++, offset, group_start, ordinal++}, pieces);
        offset += frame->size();
    }
    pieces.push_back(padding(offset));
    std::optional<Failure> failure;
    if (const auto error = current_->file->write(group_start, pieces)) {
        failure = write_failure(current_->path, error);
    } else if (const auto sync_error = current_->file->sync_data()) {
        failure = sync_failure(current_->path, sync_error);
    } else if (const auto info = current_->file->info(); info && info->links == 0) {
        // Somebody removed the file: what was written is nowhere.
        failure = sync_failure(current_->path, {ENOENT, boost::system::system_category()});
    }
    if (failure) {
        seal();
        previous_failed_ = true;
        return failure;
    }
    sequence_ = sequence;
    at_ = offset;
    current_->size = offset;
    mark_at_.reset();
    return std::nullopt;
}

void SegmentLog::mark_answered() {
    if (!current_ || mark_at_) return;
    FrameBuilder frame;
    const std::uint64_t offset = round_up(at_, block);
    if (offset + frame.size() > allocated_) return;
    std::vector<std::string_view> pieces;
    frame.finish({current_->mark, sequence_, offset, offset, 0}, pieces);
    mark_.clear();
    for (const std::string_view piece : pieces) mark_ += piece;
    pieces.push_back(padding(offset + frame.size()));
    if (current_->file->write(offset, pieces)) return;
    ++sequence_;
    at_ = offset + frame.size();
    mark_at_ = offset;
}

void SegmentLog::sync_mark() {
    if (current_ && mark_at_) static_cast<void>(current_->file->sync_data());
}

}  // namespace postern::relay::spool
