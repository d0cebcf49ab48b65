#include "relay/spool/bodies.hpp"

#include <pthread.h>

#include <cerrno>
#include <utility>

#include "relay/spool/checksum.hpp"

namespace postern::relay::spool {

Bodies::Bodies(Shared& shared, std::function<void(Operation)> forward)
    : shared_(shared), forward_(std::move(forward)), thread_([this] { loop(); }) {}

void Bodies::write(Operation operation) {
    const std::lock_guard lock(mutex_);
    operations_.push_back(std::move(operation));
    wake_.notify_one();
}

void Bodies::remove(std::vector<std::string> ids) {
    if (ids.empty()) return;
    const std::lock_guard lock(mutex_);
    removals_.insert(removals_.end(), std::make_move_iterator(ids.begin()),
                     std::make_move_iterator(ids.end()));
    wake_.notify_one();
}

void Bodies::run(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    wake_.notify_one();
}

void Bodies::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
}

void Bodies::loop() {
    ::pthread_setname_np(::pthread_self(), "bodies");
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] {
            return stopping_ || !operations_.empty() || !removals_.empty() || !work_.empty();
        });
        auto operations = std::exchange(operations_, {});
        const auto removals = std::exchange(removals_, {});
        const auto work = std::exchange(work_, {});
        if (operations.empty() && removals.empty() && work.empty()) return;
        lock.unlock();
        write_all(std::move(operations));
        // A name that stays after a crash is one without an entry: recovery removes it.
        for (const std::string& id : removals) {
            static_cast<void>(shared_.fs.unlink(shared_.layout.body(id)));
        }
        for (const auto& f : work) f();
        lock.lock();
    }
}

void Bodies::write_all(std::vector<Operation> operations) {
    if (operations.empty()) return;
    bool any = false;
    for (Operation& operation : operations) {
        operation.failed = write_bodies(operation);
        any = any || !operation.failed;
    }
    if (any) {
        if (const auto error = shared_.fs.sync_directory(shared_.layout.bodies())) {
            for (Operation& operation : operations) {
                if (!operation.failed) {
                    operation.failed = sync_failure(shared_.layout.bodies(), error);
                }
            }
        }
    }
    for (Operation& operation : operations) {
        if (operation.failed) discard(operation);
        forward_(std::move(operation));
    }
}

std::optional<Failure> Bodies::write_bodies(Operation& operation) {
    for (std::size_t n = 0; n < operation.batch.add.size(); ++n) {
        BodyPlace& place = operation.bodies[n];
        if (place.kind != BodyPlace::Kind::file) continue;
        if (auto failure = write_body(operation.batch.add[n], place)) return failure;
    }
    return std::nullopt;
}

std::optional<Failure> Bodies::write_body(const NewEntry& entry, BodyPlace& place) {
    const std::string path = shared_.layout.body(entry.id);
    auto file = shared_.fs.open(path, FileSystem::Mode::replace);
    if (!file && file.error().value() == ENOENT) {
        // The directory is gone: make it anew, once.
        static_cast<void>(shared_.fs.make_directory(shared_.layout.bodies()));
        static_cast<void>(shared_.fs.sync_directory(shared_.layout.root));
        file = shared_.fs.open(path, FileSystem::Mode::replace);
    }
    if (!file) return write_failure(path, file.error());
    for (const std::string_view piece : entry.pieces) place.check = crc32c(piece, place.check);
    // Lack of space shows before anything is written.
    if (const auto error = (*file)->preallocate(0, place.size)) return write_failure(path, error);
    if (const auto error = (*file)->write(0, entry.pieces)) return write_failure(path, error);
    if (const auto error = (*file)->sync_data()) return sync_failure(path, error);
    return std::nullopt;
}

void Bodies::discard(const Operation& operation) {
    for (std::size_t n = 0; n < operation.batch.add.size(); ++n) {
        if (operation.bodies[n].kind != BodyPlace::Kind::file) continue;
        static_cast<void>(shared_.fs.unlink(shared_.layout.body(operation.batch.add[n].id)));
    }
}

}  // namespace postern::relay::spool
