// What the writer does beside writing: opening segments, looking at the disk, saying how it is.

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "relay/spool/writer.hpp"

namespace postern::relay::spool {
namespace {

std::string_view kind_of(const Failure& failure) {
    if (failure.kind == SpoolError::full) return "full";
    return failure.kind == SpoolError::sync ? "sync" : "write";
}

}  // namespace

bool Writer::open_segment() {
    std::vector<std::string> frozen;
    {
        const std::lock_guard lock(shared_.mutex);
        frozen = shared_.ledger.frozen_accounts();
    }
    if (auto failure = log_.open_next(frozen)) {
        if (failure->cause.value() == ENOENT) {
            // The directory is gone: made anew for the next try.
            static_cast<void>(shared_.fs.make_directory(shared_.layout.root));
            static_cast<void>(shared_.fs.make_directory(shared_.layout.bodies()));
        }
        next_try_ = Clock::now() + try_again_after;
        no_segment_ = *failure;
        show_state();
        tell_failed(*failure);
        return false;
    }
    no_segment_.reset();
    no_room_.reset();
    show_state();
    const std::lock_guard lock(shared_.mutex);
    const SegmentPtr& segment = log_.current();
    shared_.ledger.segments.emplace(segment->number, segment);
    const auto before = shared_.ledger.segments.find(segment->seals);
    if (before == shared_.ledger.segments.end()) {
        segment->seals = 0;
    } else {
        before->second->urgent = true;
    }
    return true;
}

boost::system::error_code Writer::why_not() const {
    return no_segment_ ? boost::system::error_code(no_segment_->kind)
                       : make_error_code(SpoolError::write);
}

void Writer::show_state() {
    const std::optional<Failure>& why = log_.current() ? no_room_ : no_segment_;
    shared_.full.store(why && why->kind == SpoolError::full);
    shared_.writable.store(!why);
}

void Writer::tell_failed(const Failure& failure) {
    told_ = true;
    if (shared_.observer.failed) {
        shared_.observer.failed(kind_of(failure), failure.path, failure.cause.message());
    }
}

void Writer::tell_recovered() {
    told_ = false;
    if (!space_low_ && shared_.observer.recovered) shared_.observer.recovered();
}

/// Once a second: is there space, does a failing disk work again.
void Writer::watch() {
    next_watch_ = Clock::now() + watch_every;
    look_at_space();
    if (no_segment_ && Clock::now() >= next_try_ && !open_segment()) return;
    if (told_ && log_.current()) probe();
}

/// Tries what failed: more room, or a write and a sync of an empty frame.
void Writer::probe() {
    if (no_room_) {
        if (log_.make_room(log_.room() + block)) return;
        no_room_.reset();
        show_state();
    }
    FrameBuilder frame;
    FrameBuilder* const frames[] = {&frame};
    auto failure = log_.make_room(frame.size());
    if (!failure) failure = log_.append(frames);
    if (!failure) {
        tell_recovered();
        return;
    }
    tell_failed(*failure);
    if (!log_.current()) static_cast<void>(open_segment());
}

void Writer::look_at_space() {
    space_seen_ = Clock::now();
    const auto free = shared_.fs.free_space(shared_.layout.root);
    if (!free) return;
    shared_.free_bytes.store(*free);
    const std::uint64_t reserve = shared_.reserve.load();
    const bool low = *free < reserve;
    if (low == space_low_) return;
    space_low_ = low;
    if (low && shared_.observer.failed) {
        shared_.observer.failed(
            "full", shared_.layout.root,
            fmt::format("{} octets free, {} are kept in reserve", *free, reserve));
    }
    if (!low && !told_ && shared_.observer.recovered) shared_.observer.recovered();
}

void Writer::want_spare() {
    if (log_.has_spare() || Clock::now() < next_spare_ || making_spare_.exchange(true)) return;
    next_spare_ = Clock::now() + watch_every;
    bodies_->run([this] {
        log_.make_spare();
        making_spare_.store(false);
    });
}

bool Writer::housekeeping() {
    if (!log_.current()) return false;
    want_spare();
    if (log_.extend_ahead()) return true;
    const std::uint32_t current = log_.current()->number;
    if (!compactor_.has_work(current)) return false;
    Group group;
    group.moved = compactor_.step(current);
    for (const auto& moved : group.moved) group.octets += moved->frame.size();
    if (group.moved.empty()) return true;
    fit(group);
    if (group.moved.empty()) return true;
    if (const auto failure = write(group)) {
        tell_failed(*failure);
        compactor_.pause(watch_every);
        static_cast<void>(open_segment());
    }
    return true;
}

}  // namespace postern::relay::spool
