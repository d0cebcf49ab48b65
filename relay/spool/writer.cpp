#include "relay/spool/writer.hpp"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

namespace postern::relay::spool {
namespace {

using boost::system::result;

constexpr std::size_t group_operations = 4096;
constexpr std::uint64_t group_octets = 16U << 20U;
constexpr auto mark_after = std::chrono::milliseconds(5);
constexpr auto space_every = std::chrono::milliseconds(100);
constexpr unsigned groups_a_compaction_step = 8;

boost::system::error_code error_of(const Failure& failure) {
    return failure.kind;
}

}  // namespace

Writer::Writer(Shared& shared, SegmentLog::Settings settings, LogEnd end)
    : shared_(shared), log_(shared.fs, std::move(settings), std::move(end)), compactor_(shared) {
    look_at_space();
    static_cast<void>(open_segment());
    bodies_.emplace(shared_, [this](Operation operation) { forward(std::move(operation)); });
    thread_ = std::thread([this] { loop(); });
}

void Writer::enqueue(Operation operation) {
    const bool adds = operation.adds_mail();
    const bool has_files = std::ranges::any_of(
        operation.bodies, [](const BodyPlace& b) { return b.kind == BodyPlace::Kind::file; });
    {
        const std::lock_guard lock(mutex_);
        const bool refused = refusing_ || (adds && adding_ >= shared_.settings.max_queued_batches);
        if (!refused) {
            if (adds) ++adding_;
            if (!has_files) {
                queue_.push_back(std::make_unique<Operation>(std::move(operation)));
                wake_.notify_one();
                return;
            }
            // Handed over under the lock: stop() waits for the bodies' thread after it has set
            // `refusing_`.
            bodies_->write(std::move(operation));
            return;
        }
    }
    if (operation.done) operation.done(SpoolError::busy);
}

void Writer::forward(Operation operation) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::make_unique<Operation>(std::move(operation)));
    wake_.notify_one();
}

void Writer::due_changed() {
    const std::lock_guard lock(mutex_);
    due_changed_ = true;
    wake_.notify_one();
}

void Writer::stop() {
    {
        const std::lock_guard lock(mutex_);
        refusing_ = true;
    }
    bodies_->stop();
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
}

void Writer::loop() {
    ::pthread_setname_np(::pthread_self(), "spool");
    for (;;) {
        bool tell_due = false;
        bool last = false;
        {
            const std::lock_guard lock(mutex_);
            std::ranges::move(queue_, std::back_inserter(backlog_));
            queue_.clear();
            tell_due = std::exchange(due_changed_, false);
            last = stopping_;
        }
        if (tell_due && shared_.observer.due_changed) shared_.observer.due_changed();
        if (!backlog_.empty()) {
            commit_group();
            if (Clock::now() >= next_watch_) watch();
            continue;
        }
        if (last) break;
        if (housekeeping()) continue;
        // Not between two mails of one client: the disk would be busy with it for the second.
        if (log_.wants_mark() && woken_within(mark_after)) continue;
        log_.mark_answered();
        if (!woken_within(watch_every)) watch();
    }
    log_.mark_answered();
    log_.sync_mark();
}

bool Writer::woken_within(Clock::duration time) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, time,
                          [this] { return !queue_.empty() || due_changed_ || stopping_; });
}

void Writer::commit_group() {
    if (!log_.current() && Clock::now() >= next_try_) static_cast<void>(open_segment());
    if (!log_.current()) {
        for (const auto& operation : std::exchange(backlog_, {})) answer(*operation, why_not());
        return;
    }
    Group group = gather();
    fit(group);
    if (group.operations.empty() && group.moved.empty()) return;
    const auto began = Clock::now();
    if (const auto failure = write(group)) {
        tell_failed(*failure);
        if (!group.moved.empty()) compactor_.pause(watch_every);
        // The next segment says where the failed one ends, before anybody hears of the failure:
        // what hears an error here is not found later.
        static_cast<void>(open_segment());
        answer_all(group, error_of(*failure));
        return;
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    if (told_ && !no_room_ && !no_segment_) tell_recovered();
    std::size_t entries = 0;
    for (const auto& operation : group.operations) {
        entries += operation->batch.add.size() + operation->batch.update.size();
    }
    if (entries > 0 && shared_.observer.batch_committed) {
        shared_.observer.batch_committed(entries, took.count());
    }
    answer_all(group, {});
    if (Clock::now() - space_seen_ >= space_every) look_at_space();
}

Writer::Group Writer::gather() {
    Group group;
    std::unordered_set<std::string_view> claimed;
    if (++groups_since_compaction_ >= groups_a_compaction_step) {
        groups_since_compaction_ = 0;
        if (!no_room_ && compactor_.has_work(log_.current()->number)) {
            group.moved = compactor_.step(log_.current()->number);
        }
    }
    for (const auto& moved : group.moved) {
        group.octets += moved->frame.size();
        for (const Effect& effect : moved->effects) {
            if (const auto* m = std::get_if<Effect::Moved>(&effect.what)) claimed.insert(m->id);
            if (const auto* m = std::get_if<Effect::StateMoved>(&effect.what)) {
                claimed.insert(m->id);
            }
        }
    }
    while (!backlog_.empty() && group.operations.size() < group_operations &&
           group.octets < group_octets) {
        Operation& operation = *backlog_.front();
        boost::system::error_code error;
        if (operation.failed) {
            tell_failed(*operation.failed);
            error = error_of(*operation.failed);
        } else if (operation.adds_mail() && !enough_space(operation)) {
            error = SpoolError::full;
        } else if (operation.adds() && no_room_ && Clock::now() < next_try_) {
            error = error_of(*no_room_);
        } else if (!claim_ids(operation, claimed)) {
            // It waits for the next group, unless it is at odds with itself.
            if (!group.operations.empty() || !group.moved.empty()) break;
            error = SpoolError::damaged;
        }
        std::unique_ptr<Operation> taken = std::move(backlog_.front());
        backlog_.pop_front();
        if (!error) {
            const std::lock_guard lock(shared_.mutex);
            auto prepared = prepare(shared_.ledger, *taken);
            if (prepared) {
                group.octets += (*prepared)->frame.size();
                group.prepared.push_back(std::move(*prepared));
                group.operations.push_back(std::move(taken));
                continue;
            }
            error = prepared.error();
            release_ids(*taken, claimed);
        }
        answer(*taken, error);
    }
    return group;
}

bool Writer::enough_space(const Operation& operation) const {
    const std::uint64_t octets = operation.octets();
    const std::uint64_t free = shared_.free_bytes.load();
    // What was reserved may dip below; the batch does not say that it was, but somebody's
    // reservation covers it.
    return free >= shared_.reserve.load() + octets || shared_.reserved->load() >= octets;
}

void Writer::fit(Group& group) {
    if (log_.wants_next(group.octets) && (!no_segment_ || Clock::now() >= next_try_)) {
        static_cast<void>(open_segment());
        if (!log_.current()) {
            drop_moved(group);
            answer_all(group, why_not());
            group = {};
            return;
        }
    }
    auto failure = make_room(group);
    if (!failure) {
        if (no_room_) {
            no_room_.reset();
            show_state();
        }
        return;
    }
    no_room_ = *failure;
    next_try_ = Clock::now() + try_again_after;
    show_state();
    tell_failed(*failure);
    // What is allocated already is left to the outcomes.
    drop_moved(group);
    refuse_adds(group, *failure);
    failure = make_room(group);
    // The spare segment is allocated already.
    const bool worth_it = failure && !group.operations.empty() && log_.has_spare();
    if (worth_it && open_segment()) failure = make_room(group);
    if (!failure) return;
    answer_all(group, log_.current() ? error_of(*failure) : why_not());
    group = {};
}

/// Whatever is no outcome must leave the ballast untouched.
std::optional<Failure> Writer::make_room(const Group& group) {
    const bool spares_ballast =
        !group.moved.empty() ||
        std::ranges::any_of(group.operations, [](const auto& o) { return o->adds(); });
    return log_.make_room(group.octets + (spares_ballast ? log_.ballast() : 0));
}

void Writer::drop_moved(Group& group) {
    if (group.moved.empty()) return;
    compactor_.pause(watch_every);
    for (const auto& moved : group.moved) group.octets -= moved->frame.size();
    group.moved.clear();
}

void Writer::refuse_adds(Group& group, const Failure& failure) {
    Group rest;
    for (std::size_t i = 0; i < group.operations.size(); ++i) {
        if (group.operations[i]->adds()) {
            answer(*group.operations[i], error_of(failure));
            continue;
        }
        rest.octets += group.prepared[i]->frame.size();
        rest.operations.push_back(std::move(group.operations[i]));
        rest.prepared.push_back(std::move(group.prepared[i]));
    }
    group = std::move(rest);
}

std::optional<Failure> Writer::write(Group& group) {
    std::vector<FrameBuilder*> frames;
    frames.reserve(group.moved.size() + group.prepared.size());
    for (const auto& p : group.moved) frames.push_back(&p->frame);
    for (const auto& p : group.prepared) {
        if (p->frame.records() > 0) frames.push_back(&p->frame);
    }
    const std::uint64_t offset = log_.group_offset();
    if (auto failure = log_.append(frames)) return failure;
    apply_all(group, offset);
    return std::nullopt;
}

void Writer::apply_all(const Group& group, std::uint64_t offset) {
    std::vector<std::string> body_files;
    bool earlier = false;
    {
        const std::lock_guard lock(shared_.mutex);
        const auto before = shared_.ledger.schedule.next();
        const std::uint32_t segment = log_.current()->number;
        for (const auto* list : {&group.moved, &group.prepared}) {
            for (const auto& p : *list) {
                if (p->frame.records() == 0) continue;
                apply(shared_.ledger, *p, segment, offset, body_files);
                offset += p->frame.size();
            }
        }
        const auto after = shared_.ledger.schedule.next();
        earlier = after && (!before || *after < *before);
    }
    bodies_->remove(std::move(body_files));
    if (earlier && shared_.observer.due_changed) shared_.observer.due_changed();
}

void Writer::answer_all(Group& group, result<void> result) {
    for (const auto& operation : group.operations) answer(*operation, result);
}

void Writer::answer(Operation& operation, result<void> result) {
    if (operation.adds_mail()) {
        const std::lock_guard lock(mutex_);
        --adding_;
    }
    if (!result && result.error() != SpoolError::exists) {
        std::vector<std::string> files;
        for (std::size_t n = 0; n < operation.batch.add.size(); ++n) {
            if (operation.bodies[n].kind == BodyPlace::Kind::file) {
                files.push_back(operation.batch.add[n].id);
            }
        }
        bodies_->remove(std::move(files));
    }
    if (operation.done) operation.done(result);
}

}  // namespace postern::relay::spool
